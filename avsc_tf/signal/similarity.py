"""Similarity transforms of points in the plane (shift, turn and size), as complex numbers x + iy.

A transform maps z to `turn * z + shift`. Coordinates are pixels, and a pixel's centre lies at half numbers.
"""

from __future__ import annotations

import cv2
import numpy as np


def to_complex(points: np.ndarray) -> np.ndarray:
    """Points [..., 2] as complex128 [...]."""
    return points[..., 0].astype(np.float64) + 1j * points[..., 1]


def fit_similarity(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares similarity from source points to target points.

    Args:
        source: complex [n].
        target: complex [..., n].

    Returns:
        turn and shift, complex [...] each: `source * turn + shift` is nearest to `target`.

    Examples:
        >>> square = np.array([0, 1, 1 + 1j, 1j])
        >>> turn, shift = fit_similarity(square, 2j * square + 3)
        >>> complex(np.round(turn, 9)), complex(np.round(shift, 9))
        (2j, (3+0j))
    """
    centre = source.mean()
    centred = source - centre
    turn = (target * centred.conj()).sum(axis=-1) / np.sum(np.abs(centred) ** 2)
    return turn, target.mean(axis=-1) - turn * centre


def warp_image(
    image: np.ndarray, turn: complex, shift: complex, size_px: tuple[int, int], *, interpolation: int
) -> np.ndarray:
    """Move the pixels of an image by a similarity; outside of the image its border is repeated.

    Args:
        image: [H, W, 3].
        size_px: width and height of the result.
        interpolation: an OpenCV flag, for example `cv2.INTER_CUBIC`.
    """
    shift = shift + (turn - 1) * (0.5 + 0.5j)  # OpenCV counts pixel centres at whole numbers
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    return cv2.warpAffine(image, matrix, size_px, flags=interpolation, borderMode=cv2.BORDER_REPLICATE)
