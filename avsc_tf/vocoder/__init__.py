"""Mel spectrogram and facial features in, waveform out: WaveNet sampling engines and Griffin-Lim."""
