"""One training loop for all three networks: steps, devices, checkpoints, early stop, TensorBoard."""
