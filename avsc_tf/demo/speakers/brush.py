"""Drawing with sub-pixel edges on uint8 pictures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

Image = NDArray[Any]

_SHIFT = 4  # OpenCV's fixed point: sixteenths of a pixel


def _fixed(points: NDArray) -> NDArray[np.int32]:
    return np.round(np.asarray(points) * (1 << _SHIFT)).astype(np.int32)


def _scalar(colour: ArrayLike) -> tuple[float, ...]:
    return tuple(float(value) for value in np.clip(np.asarray(colour, float), 0.0, 255.0))


def fill(image: NDArray, outline: NDArray, colour: ArrayLike) -> None:
    """Fill the polygon `outline`, [points, 2] as (x, y)."""
    cv2.fillPoly(image, [_fixed(outline)], _scalar(colour), cv2.LINE_AA, _SHIFT)


def line(image: NDArray, points: NDArray, colour: ArrayLike, thickness_px: int) -> None:
    cv2.polylines(image, [_fixed(points)], False, _scalar(colour), thickness_px, cv2.LINE_AA, _SHIFT)


def fill_mask(shape: tuple[int, ...], outline: NDArray) -> Image:
    """The polygon as a float32 mask 0 to 1, [rows, columns]."""
    mask = np.zeros(shape[:2], np.uint8)
    cv2.fillPoly(mask, [_fixed(outline)], (255.0,), cv2.LINE_AA, _SHIFT)
    return mask.astype(np.float32) / 255.0


def blend(image: Image, colour: ArrayLike, alpha: Image) -> None:
    """Lay a plain colour over `image` in place, `alpha` [rows, columns] 0 to 1."""
    paint = np.empty_like(image)
    paint[:] = np.clip(np.asarray(colour, float), 0.0, 255.0).astype(np.uint8)
    image[:] = cv2.blendLinear(paint, np.ascontiguousarray(image), alpha, 1.0 - alpha)


def moved_down(curve: NDArray, by_px: float) -> NDArray:
    """The curve [points, 2] shifted down the picture."""
    return curve + np.array([0.0, by_px])


def smooth_curve(at: NDArray, knots: Sequence[float], values: Sequence[float]) -> NDArray:
    """A monotone spline through (knots, values), without overshoot."""
    return PchipInterpolator(knots, values)(at)
