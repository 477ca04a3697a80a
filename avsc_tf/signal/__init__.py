"""Computations that several rooms share: companding, where speech is, similarity transforms."""
