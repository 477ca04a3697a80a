"""Looking for the mark of `picture_mark`: in the whole frame, then in crops of down to 70 % and in mirror images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from avsc_tf.provenance.code import (
    N_SYMBOLS,
    PUBLIC_KEY,
    Detection,
    Match,
    best_of,
    payload_from,
    verdict,
)
from avsc_tf.provenance.picture_mark import GRID, N_PLANES, codebook, small_colours, waves

EDGE_LEVELS, EDGE_PX = 4.0, 3.0  # of the edge-keeping filter: what differs more is picture, not mark
CLIP_LEVELS = 1.5  # softly: nothing counts much more than this
PIECE_SECONDS = 10.0  # longer films are also looked at piece by piece: a marked excerpt may lie in them
CROPS = tuple(round(1.0 - 0.05 * step, 2) for step in range(7))  # shares of width and of height that are left


class PictureSearch:
    """Adds up frames as they come, second by second, and then looks for the mark."""

    def __init__(self) -> None:
        self._sums: list[NDArray[np.float64]] = []
        self._counts: list[int] = []

    def add(self, frame: NDArray[np.uint8], seconds: float) -> None:
        """A frame (RGB, [height, width, 3]) that is shown at `seconds`; times must not fall by more than a second."""
        second = max(int(seconds), len(self._sums) - 1, 0)
        while len(self._sums) <= second:
            self._sums.append(np.zeros((GRID, GRID, N_PLANES)))
            self._counts.append(0)
        self._sums[second] += small_colours(frame)
        self._counts[second] += 1

    def detect(self, *, seconds: float, key: str = PUBLIC_KEY) -> Detection:
        """The verdict on all frames added; `seconds` is how long they last."""
        residuals = [(_residual(mean), place) for mean, place in self._means()]
        matches = [_match(residual, key, place) for residual, place in residuals]
        first = verdict(best_of(matches), n_places=len(matches), seconds=seconds)
        if first.found or not residuals:
            return first
        best, n_searched = _search(residuals[0][0], key)
        return verdict(best_of([*matches, best]), n_places=len(matches) + n_searched, seconds=seconds)

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


def _residual(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """What an edge-keeping filter leaves of mean colours, softly clipped: float32 [GRID, GRID, 2]."""
    rest = []
    for plane in range(N_PLANES):
        colour = np.ascontiguousarray(colours[..., plane])
        detail = colour - cv2.bilateralFilter(colour, 0, EDGE_LEVELS, EDGE_PX)
        rest.append(detail / np.sqrt(detail**2 + CLIP_LEVELS**2))
    return np.stack(rest, axis=-1)


def _spectra(residual: NDArray[np.float32]) -> NDArray[np.complex64]:
    """Components of both planes, each plane of unit power: [planes, waves]."""
    fy, fx = waves()
    spectra = np.fft.fft2(residual, s=(GRID, GRID), axes=(0, 1))[fy, fx].T
    power = np.sqrt(np.mean(np.abs(spectra) ** 2, axis=1, keepdims=True))
    return (spectra / np.maximum(power, 1e-9)).astype(np.complex64)


def _correlations(spectra: NDArray[np.complex64], turns: NDArray[np.complex64], key: str) -> list[NDArray[np.float32]]:
    """In deviations of chance, of every value at every shift, by symbol: [shifts, values]. `turns` [shifts, waves]."""
    owner, phasors = codebook(key)
    deviation = float(np.sqrt((np.abs(spectra) ** 2).sum() / 2))
    found = []
    for symbol in range(N_SYMBOLS):
        total = np.zeros((len(turns), phasors.shape[0]), np.float32)
        for plane in range(N_PLANES):
            own = owner[plane] == symbol
            total += ((turns[:, own] * np.conj(spectra[plane, own])) @ phasors[:, plane, own].T).real
        found.append(total / max(deviation, 1e-9))
    return found


def _match(residual: NDArray[np.float32], key: str, place: str) -> Match:
    still = np.ones((1, len(waves()[0])), np.complex64)
    return _best(_correlations(_spectra(residual), still, key), place)


def _best(scores: Sequence[NDArray[np.float32]], place: str) -> Match:
    total = sum(score.max(axis=1) for score in scores)
    shift = int(np.argmax(total))
    return Match(float(total[shift]), payload_from([int(score[shift].argmax()) for score in scores]), place)  # type: ignore[index]


def _search(residual: NDArray[np.float32], key: str) -> tuple[Match, int]:
    """The best match over crops, their offsets and mirror images, and how many places that were."""
    fy, fx = waves()
    matches, n_places = [], 0
    for mirrored in (False, True):
        picture = residual[:, ::-1] if mirrored else residual
        for tall in CROPS:
            for wide in CROPS:
                height, width = round(GRID * tall), round(GRID * wide)
                part = np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.float32)
                down, across = np.meshgrid(np.arange(GRID - height + 1), np.arange(GRID - width + 1), indexing="ij")
                turns = np.exp(2j * np.pi * (down.reshape(-1, 1) * fy + across.reshape(-1, 1) * fx) / GRID)
                place = f"cropped to {wide:.0%} x {tall:.0%}" + (", mirrored" if mirrored else "")
                matches.append(_best(_correlations(_spectra(part), turns.astype(np.complex64), key), place))
                n_places += len(turns)
    return best_of(matches), n_places
