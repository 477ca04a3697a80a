"""A clip of A and a run folder in, a video of B out."""
