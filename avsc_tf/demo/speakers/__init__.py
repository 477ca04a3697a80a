"""A seed in, clips of two synthetic speakers out: a formant synthesiser and a drawn head."""
