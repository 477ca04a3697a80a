"""Keras losses of the three networks."""
