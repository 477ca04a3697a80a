"""A synthetic talker whose mel and lips share movements, for measures of synchrony; fixtures."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.measures.lip_correlation import LipCorrelation


class Talker:
    """Three movements of the mouth that mel and lips share; each side has movements and noise of its own."""

    N_SHARED = 3

    def __init__(self, seed: int):
        rng = np.random.default_rng(seed)
        self.to_mel = rng.normal(size=(self.N_SHARED + 3, 80))
        self.to_lips = rng.normal(size=(self.N_SHARED + 2, 40))

    def says(self, n_frames: int, seed: int, *, late_frames: float = 0.0, drift: float = 0.0) -> tuple:
        """mel [n, 80] and lips [n, 40]; the lips come `late_frames` and `drift` frames a frame after the sound."""
        rng = np.random.default_rng(seed)
        fine = 8  # steps a frame
        raw = rng.normal(size=(fine * (n_frames + 60), self.N_SHARED))
        kernel = np.hanning(4 * fine + 1)  # a movement lasts about four frames
        moves = np.apply_along_axis(np.convolve, 0, raw, kernel / np.linalg.norm(kernel), "same")
        t = np.arange(n_frames)
        clock = np.arange(len(moves)) / fine - 30
        heard, seen = (
            np.column_stack([np.interp(at, clock, move) for move in moves.T]) for at in (t, t - late_frames - drift * t)
        )
        heard = np.column_stack([heard, rng.normal(size=(n_frames, 3))])
        seen = np.column_stack([seen, rng.normal(size=(n_frames, 2))])
        mel = heard @ self.to_mel + 0.5 * rng.normal(size=(n_frames, 80))
        lips = seen @ self.to_lips + 0.5 * rng.normal(size=(n_frames, 40))
        return mel, 0.01 * lips + 0.3  # eye distances


@pytest.fixture(scope="session")
def talker_of() -> type[Talker]:
    """`talker_of(seed)`: a made talker, for what is measured between sound and lips."""
    return Talker


@pytest.fixture(scope="session")
def talker() -> Talker:
    return Talker(1)


@pytest.fixture(scope="session")
def fitted(talker: Talker) -> LipCorrelation:
    """On twelve sentences of the talker."""
    return LipCorrelation.fit([talker.says(100 + k, k) for k in range(12)])
