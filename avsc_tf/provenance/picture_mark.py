"""An invisible mark in pictures: faint blotches of colour, the same in every frame, whose phases spell a payload.

Lossy video throws away what is fine and faint, but keeps broad colours; eyes do the opposite. The mark lives in both
colour differences (BT.601 Cb and Cr) at 2 to 9.5 waves a frame, is stronger in small frames, whose coding is coarser,
and never moves, so it cannot flicker. Waves are counted a frame: no resize moves them. A detector adds up the frames
at 64 x 64, takes away what the picture shows (an edge-keeping filter), and correlates the rest.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from avsc_tf.provenance.code import N_SYMBOLS, N_VALUES, PUBLIC_KEY, generator, symbols_of

GRID = 64  # pixels of the detector's square
LEAST_WAVES, MOST_WAVES = 2.0, 9.5
PEAK_LEVELS = np.array([2.0, 1.2], np.float32)  # of Cb and Cr, of 255, in frames of FULL_SIZE_PX and more
FULL_SIZE_PX, MOST_GAIN = 256, 1.75  # smaller frames get more, up to this
CREST = 1.5  # the pattern goes through tanh: as much energy as can be below a peak
N_PLANES = 2
# R, G, B to Cb, Cr (ITU-R BT.601) and back.
TO_COLOUR = np.array([[-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]], np.float32)
FROM_COLOUR = np.array([[0.0, -0.344136, 1.772], [1.402, -0.714136, 0.0]], np.float32)


def mark_frames(
    frames: Iterable[NDArray[np.uint8]], *, payload: int, key: str = PUBLIC_KEY
) -> Iterator[NDArray[np.uint8]]:
    """Frames with the payload in them, one at a time: uint8 [height, width, 3], RGB, of one size."""
    change: NDArray[np.float32] | None = None
    for frame in frames:
        if change is None or change.shape != frame.shape:
            change = colour_change(payload, key, frame.shape[0], frame.shape[1])
        yield np.clip(np.rint(frame + change), 0, 255).astype(np.uint8)


def colour_change(payload: int, key: str, height: int, width: int) -> NDArray[np.float32]:
    """What is added to R, G and B: float32 [height, width, 3]; luma stays."""
    gain = float(np.clip(FULL_SIZE_PX / min(height, width), 1.0, MOST_GAIN))
    fy, fx = waves()
    owner, phasors = codebook(key)
    chosen = np.asarray(symbols_of(payload))[owner]  # [planes, waves]
    y, x = np.arange(height)[:, None] / height, np.arange(width)[:, None] / width
    planes = []
    for plane in range(N_PLANES):
        phase = phasors[chosen[plane], plane, np.arange(len(fy))]
        rows = np.exp(2j * np.pi * y * fy) * phase  # [height, waves]
        pattern = (rows @ np.exp(2j * np.pi * x * fx).T).real
        planes.append(PEAK_LEVELS[plane] * gain * np.tanh(CREST * pattern / pattern.std()))
    return (np.stack(planes, axis=-1) @ FROM_COLOUR).astype(np.float32)


def small_colours(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Cb and Cr of a frame at the detector's size: float32 [GRID, GRID, 2]."""
    return cv2.resize(frame, (GRID, GRID), interpolation=cv2.INTER_AREA).astype(np.float32) @ TO_COLOUR.T


@functools.lru_cache(maxsize=1)
def waves() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Waves a frame, down and across, of each component: one of each pair of opposite ones."""
    fy, fx = np.meshgrid(np.arange(-GRID // 2, GRID // 2), np.arange(GRID // 2), indexing="ij")
    radius = np.hypot(fy, fx)
    keep = (radius >= LEAST_WAVES) & (radius <= MOST_WAVES) & ((fx > 0) | (fy > 0))
    return fy[keep], fx[keep]


@functools.lru_cache(maxsize=4)
def codebook(key: str) -> tuple[NDArray[np.int64], NDArray[np.complex64]]:
    """Which symbol a component belongs to [planes, waves], and its phasor by the symbol's value [values, ...]."""
    rng, shape = generator(key, "picture"), (N_PLANES, len(waves()[0]))
    owner = rng.permutation(np.arange(shape[0] * shape[1]) % N_SYMBOLS).reshape(shape)
    phasors = np.exp(2j * np.pi * rng.random((N_VALUES, *shape)))
    return owner, phasors.astype(np.complex64)
