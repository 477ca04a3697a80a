"""16-bit samples and floating-point samples of full scale 1."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

INT16_SCALE = 32768


def to_int16(waveform: np.ndarray) -> NDArray[np.int16]:
    """Samples of full scale 1, rounded and clipped to 16 bits."""
    return np.clip(np.rint(waveform * INT16_SCALE), -INT16_SCALE, INT16_SCALE - 1).astype(np.int16)


def to_float32(samples: NDArray[np.int16]) -> NDArray[np.float32]:
    """16-bit samples as full scale 1."""
    return samples.astype(np.float32) / INT16_SCALE
