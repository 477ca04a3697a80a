"""The self-made two-speaker corpus: a formant synthesiser and a painted talking head, both exact in time."""
