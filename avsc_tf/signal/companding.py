"""Waveform to classes and back: pre-emphasis and mu-law companding (G.711, at any number of levels). NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

Floats = NDArray[np.float32]

LINEAR_SCALE = 4.0  # of linear samples as network inputs: they are small beside companded ones
PEAK_WIDTH = 1.0 / 64.0  # of `layers.predictive_logits`, companded units: 2 classes of an 8-bit softmax
START_SHARPNESS = 0.25
START_LOG_SCALE = -3.5  # of `layers.logistic_mixture`: about four classes of an 8-bit softmax
MIN_LOG_SCALE = -7.0


def compand(linear: Floats, n_classes: int) -> Floats:
    """mu-law of values in [-1, 1]; beyond, they are clipped."""
    mu = n_classes - 1
    clipped = np.clip(linear, -1.0, 1.0)
    return (np.sign(clipped) * np.log1p(mu * np.abs(clipped)) / np.log1p(mu)).astype(np.float32)


def expand(companded: Floats, n_classes: int) -> Floats:
    """Inverse of `compand`."""
    mu = n_classes - 1
    return (np.sign(companded) * np.expm1(np.abs(companded) * np.log1p(mu)) / mu).astype(np.float32)


def to_classes(companded: Floats, n_classes: int) -> NDArray[np.int32]:
    """Nearest of `n_classes` even steps over [-1, 1]."""
    steps = np.floor((companded.astype(np.float64) + 1.0) / 2.0 * (n_classes - 1) + 0.5)
    return np.clip(steps, 0, n_classes - 1).astype(np.int32)


def class_values(n_classes: int) -> Floats:
    """Companded value of each class, [n_classes]."""
    return (2.0 * np.arange(n_classes) / (n_classes - 1) - 1.0).astype(np.float32)


def silence_class(n_classes: int) -> int:
    """The class that stands before the first sample (the one just above 0: there is an even number of them)."""
    return n_classes // 2


def pre_emphasise(waveform: Floats, coefficient: float) -> Floats:
    """y[t] = x[t] - coefficient * x[t-1]; speech's spectrum becomes flatter, so 8 bits reach further."""
    return lfilter([1.0, -coefficient], [1.0], waveform).astype(np.float32) if coefficient else waveform


def de_emphasise(waveform: Floats, coefficient: float) -> Floats:
    """Inverse of `pre_emphasise`."""
    return lfilter([1.0], [1.0, -coefficient], waveform).astype(np.float32) if coefficient else waveform
