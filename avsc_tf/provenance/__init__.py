"""Finished pictures and sound in, the same with watermarks and signed Content Credentials out."""
