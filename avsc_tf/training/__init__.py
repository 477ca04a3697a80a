"""Records and settings in, weights of the three networks in a run folder out."""
