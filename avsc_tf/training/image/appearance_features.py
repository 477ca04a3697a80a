"""Random features that the closed-form paths of the image network see the keypoints through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class RandomFeatures:
    """ReLU features of standardised inputs: random directions of unit gain, random thresholds."""

    kernel: np.ndarray  # [n_in, units]
    bias: np.ndarray  # [units]

    @classmethod
    def draw(cls, n_in: int, units: int, *, seed: int) -> RandomFeatures:
        rng = np.random.default_rng(seed)
        kernel = rng.standard_normal((n_in, units)) / np.sqrt(n_in)
        return cls(kernel.astype(np.float32), rng.standard_normal(units).astype(np.float32))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[frames, n_in] -> [frames, units]."""
        return np.maximum(x @ self.kernel + self.bias, 0)
