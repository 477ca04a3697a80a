"""Attention checks: beeps to be counted by ear, flashes to be counted by eye.

Nobody who plays the clips on a muted device, or answers without playing them, can count; nobody who listens and looks
can go wrong, which a trick question ("choose 2 here") or two equal clips cannot promise.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

HIGHEST_COUNT = 5
FPS = 25
_EVENT_FRAMES, _STEP_FRAMES, _LEAD_FRAMES = 6, 15, 10  # an event, from one's start to the next one's, before the first
# (beeps, flashes): each number from 1 to 5 once, and never the same by ear and by eye.
NUMBERS = tuple((n, (n + 1) % HIGHEST_COUNT + 1) for n in range(1, HIGHEST_COUNT + 1))
N_FRAMES = _LEAD_FRAMES + HIGHEST_COUNT * _STEP_FRAMES  # all checks are equally long
SECONDS = N_FRAMES / FPS
_BEEP_HZ, _FADE_SECONDS = 880.0, 0.02
_SIDE = 240


def beeps(n: int, sample_rate_hz: int) -> np.ndarray:
    """`n` tones on a silent ground: float32 [samples], loud enough to be levelled."""
    step, lead = (round(frames / FPS * sample_rate_hz) for frames in (_STEP_FRAMES, _LEAD_FRAMES))
    length = round(_EVENT_FRAMES / FPS * sample_rate_hz)
    t = np.arange(length) / sample_rate_hz
    fade = np.clip(np.minimum(t, t[::-1]) / _FADE_SECONDS, 0, 1)
    tone = 0.2 * np.sin(2 * np.pi * _BEEP_HZ * t) * fade
    waveform = np.zeros(round(SECONDS * sample_rate_hz), np.float32)
    for i in range(n):
        waveform[lead + i * step : lead + i * step + length] = tone
    return waveform


def flashes(n: int) -> Iterator[np.ndarray]:
    """A white disc that lights up `n` times on grey: uint8 [side, side, 3] a frame. Rare enough for WCAG 2.3.1."""
    y, x = np.mgrid[:_SIDE, :_SIDE] - _SIDE / 2
    disc = x**2 + y**2 < (_SIDE / 4) ** 2
    dark = np.full((_SIDE, _SIDE, 3), 70, np.uint8)
    light = np.where(disc[..., None], np.uint8(245), dark)
    for frame in range(N_FRAMES):
        event, within = divmod(frame - _LEAD_FRAMES, _STEP_FRAMES)
        yield light if 0 <= event < n and within < _EVENT_FRAMES else dark
