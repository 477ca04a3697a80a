"""Bytes to arrays and back: reading pictures and sound by presentation time, and writing clips."""
