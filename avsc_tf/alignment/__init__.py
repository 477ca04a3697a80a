"""Two clips of the same sentence brought onto one timeline (paper section 4.3)."""
