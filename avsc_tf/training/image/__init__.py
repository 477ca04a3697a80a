"""Training of the image GAN (paper section 3.3) and its closed-form start."""
