"""Training of the WaveNet (paper sections 3.2 and 4.3), pretraining, and the pitch estimator."""
