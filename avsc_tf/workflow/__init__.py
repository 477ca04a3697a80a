"""The documented commands in order, each with its time and memory."""
