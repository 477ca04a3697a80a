"""Looking for the mark of `picture_mark`: in the whole frame, then in crops of down to 70 % and in mirror images."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from avsc_tf.provenance.code import (
    PUBLIC_KEY,
    Detection,
    Match,
    best_of,
    verdict,
)
from avsc_tf.provenance.picture_mark import GRID, codebook, small_cb, waves

EDGE_LEVELS, EDGE_PX = 4.0, 3.0  # of the edge-keeping filter: what differs more is picture, not mark
CLIP_LEVELS = 1.5  # softly: nothing counts much more than this
PIECE_SECONDS = 10.0  # longer films are also looked at piece by piece: a marked excerpt may lie in them
CROPS = tuple(round(1.0 - 0.05 * step, 2) for step in range(7))  # shares of width and of height that are left

_STILL = np.ones((1, len(waves()[0])), np.complex64)  # no shift


class PictureSearch:
    """Adds up frames as they come, second by second, and then looks for the mark."""

    def __init__(self) -> None:
        self._sums: list[NDArray[np.float64]] = []
        self._counts: list[int] = []

    def add(self, frame: NDArray[np.uint8], seconds: float) -> None:
        """A frame (RGB, [height, width, 3]) that is shown at `seconds`; times must not fall by more than a second."""
        second = max(int(seconds), len(self._sums) - 1, 0)
        while len(self._sums) <= second:
            self._sums.append(np.zeros((GRID, GRID)))
            self._counts.append(0)
        self._sums[second] += small_cb(frame)
        self._counts[second] += 1

    def detect(self, *, seconds: float, key: str = PUBLIC_KEY) -> Detection:
        """The verdict on all frames added; `seconds` is how long they last."""
        residuals = [(_residual(mean), place) for mean, place in self._means()]
        matches = [_match(residual, key, place) for residual, place in residuals]
        first = verdict(best_of(matches), n_symbols=1, n_places=len(matches), seconds=seconds)
        if first.found or not residuals:
            return first
        best, n_searched = _search(residuals[0][0], key)
        return verdict(best_of([*matches, best]), n_symbols=1, n_places=len(matches) + n_searched, seconds=seconds)

    def _means(self) -> Iterator[tuple[NDArray[np.float32], str]]:
        n, length = len(self._sums), int(PIECE_SECONDS)
        pieces = [(0, n)] if n else []
        if n > 2 * length:
            pieces += [(start, start + length) for start in range(0, n - length // 2, length // 2)]
        for start, end in pieces:
            count = sum(self._counts[start:end])
            if count:
                place = "" if (start, end) == (0, n) else f"from {start} s"
                yield (sum(self._sums[start:end]) / count).astype(np.float32), place  # type: ignore[union-attr]


def detect_picture(frames: Iterable[NDArray[np.uint8]], *, fps: float, key: str = PUBLIC_KEY) -> Detection:
    """Look for the mark in frames of a constant rate: uint8 [height, width, 3], RGB."""
    search, number = PictureSearch(), 0
    for frame in frames:
        search.add(frame, number / fps)
        number += 1
    return search.detect(seconds=number / fps, key=key)


def scores_in_place(frames: Sequence[NDArray[np.uint8]], *, key: str) -> NDArray[np.float32]:
    """Correlations of all values in the uncropped frame, in deviations of chance: [1, values].

    Of unmarked pictures each has mean 0 and deviation 1 over keys, and is near to normal.
    """
    mean = sum(small_cb(frame) for frame in frames) / np.float32(len(frames))
    return _correlations(_spectrum(_residual(np.asarray(mean))), _STILL, key)


def _residual(cb: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an edge-keeping filter leaves of the mean Cb, softly clipped: float32 [GRID, GRID]."""
    detail = cb - cv2.bilateralFilter(np.ascontiguousarray(cb), 0, EDGE_LEVELS, EDGE_PX)
    return np.asarray(detail / np.sqrt(detail**2 + CLIP_LEVELS**2), np.float32)


def _spectrum(residual: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Components at the mark's waves: [waves]."""
    fy, fx = waves()
    return np.fft.fft2(residual, s=(GRID, GRID))[fy, fx].astype(np.complex64)


def _correlations(spectrum: NDArray[np.complex64], turns: NDArray[np.complex64], key: str) -> NDArray[np.float32]:
    """In deviations of chance, of every value at every shift: [shifts, values]. `turns` [shifts, waves]."""
    deviation = max(float(np.sqrt((np.abs(spectrum) ** 2).sum() / 2)), 1e-9)
    return ((turns * np.conj(spectrum)) @ codebook(key).T).real.astype(np.float32) / np.float32(deviation)


def _match(residual: NDArray[np.float32], key: str, place: str) -> Match:
    return _best(_correlations(_spectrum(residual), _STILL, key), place)


def _best(scores: NDArray[np.float32], place: str) -> Match:
    shift, value = np.unravel_index(int(scores.argmax()), scores.shape)
    return Match(float(scores[shift, value]), (int(value),), place)


def _search(residual: NDArray[np.float32], key: str) -> tuple[Match, int]:
    """The best match over crops, their offsets and mirror images, and how many places that were."""
    matches, n_places = [], 0
    for mirrored in (False, True):
        picture = residual[:, ::-1] if mirrored else residual
        for tall in CROPS:
            for wide in CROPS:
                height, width = round(GRID * tall), round(GRID * wide)
                part = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.float32)
                turns = _turns(GRID - height, GRID - width)
                place = f"cropped to {wide:.0%} x {tall:.0%}" + (", mirrored" if mirrored else "")
                matches.append(_best(_correlations(_spectrum(part), turns, key), place))
                n_places += len(turns)
    return best_of(matches), n_places


@functools.lru_cache(maxsize=len(CROPS) ** 2)
def _turns(most_down: int, most_across: int) -> NDArray[np.complex64]:
    """What shifts of up to so many pixels do to the components: [shifts, waves]."""
    fy, fx = waves()
    down, across = np.meshgrid(np.arange(most_down + 1), np.arange(most_across + 1), indexing="ij")
    return np.exp(2j * np.pi * (down.reshape(-1, 1) * fy + across.reshape(-1, 1) * fx) / GRID).astype(np.complex64)
