"""Eyes and brows, painted on the 512 canvas in place."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from avsc_tf.demo.speakers.brush import blend, fill, fill_mask, line, moved_down, smooth_curve
from avsc_tf.demo.speakers.head import CENTRE_X, EYE_Y
from avsc_tf.demo.speakers.looks import Expression, Look

Canvas = NDArray[Any]  # uint8 RGB

HALF_WIDTH_PX = 27.0
WHITE = (228.0, 224.0, 220.0)
LASHES = (44.0, 32.0, 30.0)
BROW_Y = 220.0
PATCH = (72, 92)  # rows, columns of the box around one eye


def paint_eyes(canvas: Canvas, look: Look, expression: Expression, *, blink: float) -> None:
    opening = max(expression.eye_opening * (1.0 - blink), 0.0)
    smile = max(expression.mouth_corners, 0.0)
    for side in (-1.0, 1.0):
        x, upper, lower = _lids(look, side, opening, smile)
        _eyeball(canvas, look, side, np.c_[x, upper], np.c_[x, lower])
        skin = np.array(look.skin)
        line(canvas, np.c_[x, lower], skin * 0.62, 1)
        line(canvas, np.c_[x, upper - 7.0 - 2.0 * opening][3:-3], skin * 0.52, 1)
        _lash_line(canvas, x, upper)


def _lids(look: Look, side: float, opening: float, smile: float) -> tuple[NDArray, NDArray, NDArray]:
    """x, upper lid and lower lid of one eye, from left to right."""
    t = np.linspace(-1.0, 1.0, 25)
    size = look.eye_size
    x = CENTRE_X + side * look.eye_distance + HALF_WIDTH_PX * size * t
    tilt = -2.5 * side * t  # the outer corner sits higher
    arch = np.sqrt(np.clip(1.0 - np.abs(t + 0.12 * side) ** 2.3, 0.0, 1.0)) * (1.0 - t**8)
    upper = EYE_Y + 2.0 - 13.5 * opening * size * arch + tilt
    low = 8.5 * (0.45 + 0.55 * min(opening, 1.0)) * size * (1.0 - np.abs(t) ** 2.2)
    lower = EYE_Y + 2.0 + low + tilt - 3.0 * smile * (1.0 - t**2)
    return x, upper, np.maximum(lower, upper)


def _eyeball(canvas: Canvas, look: Look, side: float, upper: NDArray, lower: NDArray) -> None:
    """White, iris with a dark rim, pupil, a glint, and the shadow of the upper lid; seen between the lids."""
    top, left = int(EYE_Y - 34), int(CENTRE_X + side * look.eye_distance - 46)
    origin = np.array([left, top], float)
    ball: Canvas = np.empty((*PATCH, 3), np.uint8)
    ball[:] = np.array(WHITE, np.uint8)
    centre = np.array([CENTRE_X + side * (look.eye_distance - 1.0), EYE_Y - 1.0]) - origin
    iris = np.array(look.iris)
    for radius, colour in ((12.6, iris * 0.5), (11.2, iris), (8.0, iris * 1.18), (5.2, np.full(3, 14.0))):
        _disc(ball, centre, radius, colour)
    ball = cv2.GaussianBlur(ball, (0, 0), 0.8)
    _disc(ball, centre - np.array([4.2, 4.6]), 2.6, np.full(3, 248.0))
    shadow = fill_mask(PATCH, np.concatenate([moved_down(upper, -2.0), moved_down(upper, 5.5)[::-1]]) - origin)
    blend(ball, np.array([70.0, 58.0, 56.0]), 0.45 * cv2.GaussianBlur(shadow, (0, 0), 1.6))
    opening = fill_mask(PATCH, np.concatenate([upper, lower[::-1]]) - origin)
    region = canvas[top : top + PATCH[0], left : left + PATCH[1]]
    region[:] = cv2.blendLinear(ball, np.ascontiguousarray(region), opening, 1.0 - opening)


def _disc(image: Canvas, centre: NDArray, radius: float, colour: NDArray) -> None:
    middle = (round(centre[0] * 16), round(centre[1] * 16))
    cv2.circle(image, middle, round(radius * 16), tuple(map(float, colour)), -1, cv2.LINE_AA, 4)


def _lash_line(canvas: Canvas, x: NDArray, upper: NDArray) -> None:
    t = np.linspace(-1.0, 1.0, len(x))
    thickness = 1.2 + 1.6 * np.sqrt(np.clip(1.0 - t**2, 0.0, 1.0))
    fill(canvas, np.concatenate([np.c_[x, upper - thickness], np.c_[x, upper + 0.6][::-1]]), LASHES)


def paint_brows(canvas: Canvas, look: Look, expression: Expression) -> None:
    """Two tapering strokes, soft at the rim; raised as a whole or at their inner ends."""
    t = np.linspace(0.0, 1.0, 17)  # inner to outer end
    rise = 12.0 * expression.brow_raise + 10.0 * expression.inner_brow * (1.0 - t) ** 1.5
    lift = 3.0 * expression.inner_brow * t
    y = BROW_Y - 9.0 * np.sin(np.pi * np.clip(0.92 * t + 0.06, 0.0, 1.0)) ** 0.8 - rise + lift
    half = 0.5 * look.brow_thickness * smooth_curve(t, [0, 0.12, 0.5, 1], [0.55, 1.0, 0.85, 0.12])
    colour = np.array(look.brow) * 0.75 + np.array(look.skin) * 0.12
    top, bottom = int(BROW_Y - 45), int(BROW_Y + 30)
    mask = np.zeros((bottom - top, canvas.shape[1]), np.float32)
    for side in (-1.0, 1.0):
        x = CENTRE_X + side * (look.eye_distance - 33.0 + 72.0 * t)
        outline = np.concatenate([np.c_[x, y - half], np.c_[x, y + half][::-1]]) - [0, top]
        mask = np.maximum(mask, fill_mask(mask.shape, outline))
    blend(canvas[top:bottom], colour, 0.92 * cv2.GaussianBlur(mask, (0, 0), 1.3))
