"""Mel spectrogram and facial features in, waveform out: WaveNet sampling engines and Griffin-Lim."""

from typing import Literal

Vocoder = Literal["wavenet", "griffin-lim", "none"]
VOCODERS: tuple[Vocoder, ...] = ("wavenet", "griffin-lim")
NO_VOICE: Vocoder = "none"  # of networks that convert the face alone
