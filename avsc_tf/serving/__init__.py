"""A trained run, checked and loaded."""
