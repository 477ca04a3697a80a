"""Training of the conversion network (paper sections 3.1 and 4.3)."""
