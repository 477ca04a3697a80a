"""Converted sentences and their recordings in; tables of figures and report pages out."""
