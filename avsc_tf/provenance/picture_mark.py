"""A mark in pictures: faint blotches of blue and yellow, the same in every frame, whose phases spell a symbol.

Lossy video throws away what is fine and faint, but keeps broad colours; eyes do the opposite, and are dullest between
blue and yellow. The mark lives in the blue colour difference (BT.601 Cb) at 2 to 9.5 waves a frame, is stronger in
small frames, whose coding is coarser, and never moves, so it cannot flicker. Waves are counted a frame: no resize moves
them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from avsc_tf.provenance.code import N_VALUES, PUBLIC_KEY, generator, symbols_of

GRID = 64  # pixels of the detector's square
LEAST_WAVES, MOST_WAVES = 2.0, 9.5
PEAK_LEVELS = 1.8  # of Cb, of 255, in frames of FULL_SIZE_PX and more
FULL_SIZE_PX, MOST_GAIN = 256, 1.8  # smaller frames get more, up to this
CREST = 1.5  # the pattern goes through tanh: as much energy as can be below a peak
TO_CB = np.array([-0.168736, -0.331264, 0.5], np.float32)  # of R, G, B (ITU-R BT.601)
FROM_CB = np.array([0.0, -0.344136, 1.772], np.float32)  # to R, G, B; luma stays


def mark_frames(
    frames: Iterable[NDArray[np.uint8]], *, payload: int, key: str = PUBLIC_KEY
) -> Iterator[NDArray[np.uint8]]:
    """Frames with the payload's first symbol in them, one at a time: uint8 [height, width, 3], RGB, of one size."""
    change: NDArray[np.float32] | None = None
    for frame in frames:
        if change is None or change.shape != frame.shape:
            change = colour_change(payload, key, frame.shape[0], frame.shape[1])
        yield np.clip(np.rint(frame + change), 0, 255).astype(np.uint8)


def colour_change(payload: int, key: str, height: int, width: int) -> NDArray[np.float32]:
    """What is added to R, G and B: float32 [height, width, 3]."""
    gain = float(np.clip(FULL_SIZE_PX / min(height, width), 1.0, MOST_GAIN))
    fy, fx = waves()
    phase = codebook(key)[symbols_of(payload)[0]]
    y, x = np.arange(height)[:, None] / height, np.arange(width)[:, None] / width
    pattern = ((np.exp(2j * np.pi * y * fy) * phase) @ np.exp(2j * np.pi * x * fx).T).real
    cb = PEAK_LEVELS * gain * np.tanh(CREST * pattern / pattern.std())
    return (cb[..., None] * FROM_CB).astype(np.float32)


def small_cb(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Cb of a frame at the detector's size: float32 [GRID, GRID]."""
    return cv2.resize(frame, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float32) @ TO_CB


@functools.lru_cache(maxsize=1)
def waves() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Waves a frame, down and across, of each component: one of each pair of opposite ones."""
    fy, fx = np.meshgrid(np.arange(-GRID // 2, GRID // 2), np.arange(GRID // 2), indexing="ij")
    radius = np.hypot(fy, fx)
    keep = (radius >= LEAST_WAVES) & (radius <= MOST_WAVES) & ((fx > 0) | (fy > 0))
    return fy[keep], fx[keep]


@functools.lru_cache(maxsize=4)
def codebook(key: str) -> NDArray[np.complex64]:
    """Phasors of the components by the symbol's value: [values, waves]."""
    turns = generator(key, "picture").random((N_VALUES, len(waves()[0])))
    return np.exp(2j * np.pi * turns).astype(np.complex64)
