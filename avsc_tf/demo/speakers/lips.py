"""Lips, teeth, tongue and the lines of a smile, painted on the 512 canvas in place."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from avsc_tf.demo.speakers.brush import blend, fill, fill_mask, line, moved_down, smooth_curve
from avsc_tf.demo.speakers.head import CENTRE_X, MOUTH_Y
from avsc_tf.demo.speakers.looks import Expression, Look

Canvas = NDArray[Any]  # uint8 RGB

OPENING_PX = 34.0  # between the lips at opening 1
UPPER_SHARE = 0.22  # of the opening that lifts the upper lip; the jaw does the rest
TOP, BOTTOM, LEFT, RIGHT = 322, 442, 164, 348  # the box around the mouth
CAVITY = (52.0, 20.0, 22.0)
TEETH = (226.0, 220.0, 210.0)
TONGUE = (164.0, 82.0, 84.0)

_T = np.linspace(-1.0, 1.0, 41)
_UPPER_SHAPE = smooth_curve(np.abs(_T), [0, 0.24, 0.62, 1], [0.78, 1.0, 0.56, 0.0])
_LOWER_SHAPE = smooth_curve(np.abs(_T), [0, 0.40, 0.75, 1], [1.0, 0.86, 0.42, 0.0])
_GAP_SHAPE = np.sqrt(np.clip(1.0 - np.abs(_T) ** 2.2, 0.0, 1.0))


def lip_curves(look: Look, expression: Expression, *, opening: float, width: float) -> dict[str, NDArray]:
    """The four lip lines, each [41, 2] from left to right: outer_upper, inner_upper, inner_lower, outer_lower."""
    smile = expression.mouth_corners
    pursed, spread = max(-width, 0.0), max(width, 0.0)
    gap = OPENING_PX * max(opening, 0.0)
    half_width = look.lip_half_width * (1.0 + 0.20 * spread - 0.28 * pursed + 0.15 * max(smile, 0.0))
    corners = -11.0 * smile * np.abs(_T) ** 2.0 + 1.5 * smile
    x = CENTRE_X + half_width * _T
    inner_x = CENTRE_X + half_width * (0.94 - 0.10 * pursed) * _T
    thin = 1.0 / (1.0 + 0.25 * max(smile, 0.0) + 0.15 * spread)
    pressed = 0.75 if opening < 0 else 1.0
    upper_px = 10.5 * look.lip_fullness * thin * pressed * (1.0 + 0.25 * pursed)
    lower_px = 13.0 * look.lip_fullness * thin * pressed * (1.0 + 0.20 * pursed)
    bow = 0.6 * np.cos(np.pi * _T)  # the line between shut lips is not straight
    inner_upper = MOUTH_Y + corners + bow - UPPER_SHARE * gap * _GAP_SHAPE
    inner_lower = MOUTH_Y + corners + bow + (1.0 - UPPER_SHARE) * gap * _GAP_SHAPE
    return {
        "outer_upper": np.c_[x, inner_upper - upper_px * _UPPER_SHAPE],
        "inner_upper": np.c_[inner_x, inner_upper],
        "inner_lower": np.c_[inner_x, inner_lower],
        "outer_lower": np.c_[x, inner_lower + lower_px * _LOWER_SHAPE],
    }


def paint_mouth(canvas: Canvas, look: Look, expression: Expression, *, opening: float, width: float) -> None:
    origin = np.array([LEFT, TOP], float)
    curves = {k: v - origin for k, v in lip_curves(look, expression, opening=opening, width=width).items()}
    region = canvas[TOP:BOTTOM, LEFT:RIGHT]
    _shadow_below(region, look, curves)
    _lips(region, look, curves)
    gap = curves["inner_lower"][:, 1] - curves["inner_upper"][:, 1]
    if gap.max() > 0.8:
        _inside(region, curves)
    lip = np.array(look.lip)
    seam = 0.5 if gap.max() > 2.0 else 0.42
    line(region, curves["inner_upper"][2:-2], lip * seam, 2 if gap.max() < 2.0 else 1)


def _between(upper: NDArray, lower: NDArray) -> NDArray:
    return np.concatenate([upper, lower[::-1]])


def _shadow_below(region: Canvas, look: Look, curves: dict[str, NDArray]) -> None:
    lower = curves["outer_lower"][8:-8]
    shadow = fill_mask(region.shape, _between(moved_down(lower, -2.0), moved_down(lower, 6.0)))
    blend(region, np.array(look.skin) * [0.62, 0.50, 0.46], 0.40 * cv2.GaussianBlur(shadow, (0, 0), 3.5))


def _lips(region: Canvas, look: Look, curves: dict[str, NDArray]) -> None:
    """Two tones a lip, softened, then blended by a soft mask so that the rim is not a line."""
    lip = np.array(look.lip)
    paint: Canvas = np.empty_like(region)
    paint[:] = (lip * 0.92).astype(np.uint8)
    upper, lower = curves["outer_upper"], curves["outer_lower"]
    inner_up, inner_low = curves["inner_upper"], curves["inner_lower"]
    fill(paint, _between(moved_down(upper, -9.0), 0.45 * upper + 0.55 * inner_up), lip * 0.96 + 6)
    fill(paint, _between(0.45 * upper + 0.55 * inner_up, moved_down(inner_up, 3.0)), lip * 0.80)
    fill(paint, _between(inner_low, 0.4 * inner_low + 0.6 * lower), lip * 1.06 + 4)
    centre = 0.55 * inner_low[12:-12] + 0.45 * lower[12:-12]
    fill(paint, _between(moved_down(centre, -1.6), moved_down(centre, 1.6)), lip * 1.1 + 34)
    fill(paint, _between(0.4 * inner_low + 0.6 * lower, moved_down(lower, 9.0)), lip * 0.88)
    paint = cv2.GaussianBlur(paint, (0, 0), 2.0)
    mask = fill_mask(region.shape, _between(upper, lower))
    mask = cv2.GaussianBlur(mask, (0, 0), 1.1)
    region[:] = cv2.blendLinear(paint, np.ascontiguousarray(region), mask, 1.0 - mask)


def _inside(region: Canvas, curves: dict[str, NDArray]) -> None:
    """Dark cavity, upper teeth with faint gaps, a hint of lower teeth and tongue."""
    inner_up, inner_low = curves["inner_upper"], curves["inner_lower"]
    cavity: Canvas = np.empty_like(region)
    cavity[:] = np.array(CAVITY, np.uint8)
    middle_x = CENTRE_X - LEFT
    top, bottom = float(inner_up[:, 1].min()), float(inner_low[:, 1].max())
    tongue_y = max(bottom + 4.0, top + 26.0)
    cv2.ellipse(cavity, (round(middle_x), round(tongue_y)), (30, 14), 0, 0, 360, TONGUE, -1, cv2.LINE_AA)
    arch = 2.0 * _T**2 + 9.0 * np.clip(np.abs(_T) - 0.55, 0.0, 1.0)  # the back teeth are in shadow
    edge = np.maximum(inner_up[:, 1], top) + 8.0 - arch
    fill(cavity, _between(moved_down(inner_up, -8.0), np.c_[inner_up[:, 0], edge]), TEETH)
    for offset in (-21.0, -13.0, -5.0, 5.0, 13.0, 21.0):
        gap = np.array([[middle_x + offset, top - 6.0], [middle_x + offset, top + 7.0]])
        line(cavity, gap, np.array(TEETH) * 0.86, 1)
    cavity = cv2.GaussianBlur(cavity, (0, 0), 1.0)
    shade = fill_mask(region.shape, _between(moved_down(inner_up, -4.0), moved_down(inner_up, 3.5)))
    blend(cavity, np.array(CAVITY), 0.55 * cv2.GaussianBlur(shade, (0, 0), 1.8))
    mask = fill_mask(region.shape, _between(inner_up, inner_low))
    region[:] = cv2.blendLinear(cavity, np.ascontiguousarray(region), mask, 1.0 - mask)


def paint_smile_lines(canvas: Canvas, look: Look, expression: Expression) -> None:
    """Folds from the nose past the mouth: faint at rest, deep in a smile."""
    depth = 0.10 + 0.30 * max(expression.mouth_corners, 0.0) + 0.16 * max(-expression.mouth_corners, 0.0)
    top, bottom, left, right = 320, 400, 170, 342
    mask = np.zeros((bottom - top, right - left), np.float32)
    t = np.linspace(0.0, 1.0, 13)
    for side in (-1.0, 1.0):
        reach = look.lip_half_width + 13.0 + 6.0 * max(expression.mouth_corners, 0.0)
        x = CENTRE_X + side * (24.0 * look.nose_size + (reach - 24.0) * t**0.8) - left
        y = 336.0 + 38.0 * t**1.3 - top
        fold = np.concatenate([np.c_[x - 1.4, y], np.c_[x + 1.4, y][::-1]])
        mask = np.maximum(mask, fill_mask(mask.shape, fold))
    mask = np.minimum(2.0 * cv2.GaussianBlur(mask, (0, 0), 2.4), 1.0)
    blend(canvas[top:bottom, left:right], np.array(look.skin) * [0.60, 0.46, 0.42], depth * mask)
