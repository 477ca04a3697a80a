"""Prepared clips and aligned pairs on disk: made by `prepare`, read by `reader`."""
