"""Features of two clips of one sentence in, the DTW path between them out (paper section 4.3)."""
