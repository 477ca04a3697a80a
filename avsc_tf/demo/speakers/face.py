"""The talking face: eyes, brows and lips painted on the head, then the whole head warped, one frame at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from avsc_tf.demo.speakers.eyes import paint_brows, paint_eyes
from avsc_tf.demo.speakers.head import CANVAS_PX, CENTRE_X, build_head
from avsc_tf.demo.speakers.lips import paint_mouth, paint_smile_lines
from avsc_tf.demo.speakers.looks import Expression, Look

NECK_Y = 300.0  # the point of the canvas that the head rolls about
JAW_DROP_PX = 22.0
CHEEK_RISE_PX = 5.0
YAW_PX = 26.0
PITCH_PX = 20.0


@dataclass(frozen=True)
class FacePose:
    """One frame. Opening 0 (shut) to about 1.2; width -1 (pursed) to 1 (spread); shifts in canvas pixels."""

    mouth_opening: float = 0.0
    mouth_width: float = 0.0
    blink: float = 0.0  # 1 = lids shut
    yaw: float = 0.0  # -1 to 1, about 15 degrees
    pitch: float = 0.0
    roll_degrees: float = 0.0
    shift_x: float = 0.0
    shift_y: float = 0.0


class FacePainter:
    """Renders one speaker. Painting is done at 512 pixels, warping at the output size.

    Args:
        look: whose face.
        size_px: side of the square frames, even.
    """

    def __init__(self, look: Look, *, size_px: int = 256) -> None:
        self.look = look
        self.size_px = size_px
        layers = build_head(look)
        self._head = layers.head
        self._backdrop = self._resized(layers.backdrop)
        self._alpha = self._resized(layers.alpha)
        self._depth = self._resized(layers.depth)
        self._jaw = self._resized(layers.jaw)
        self._cheeks = self._resized(layers.cheeks)
        rows, columns = np.mgrid[0:size_px, 0:size_px].astype(np.float32)
        self._rows, self._columns = rows, columns
        self._canvases: dict[tuple[Expression, bool], NDArray[Any]] = {}

    def render(self, pose: FacePose, expression: Expression) -> NDArray[Any]:
        """One RGB frame, uint8 [size_px, size_px, 3]."""
        canvas = self._expressed(expression, eyes_open=pose.blink <= 0.0).copy()
        if pose.blink > 0.0:
            paint_eyes(canvas, self.look, expression, blink=pose.blink)
        paint_mouth(canvas, self.look, expression, opening=pose.mouth_opening, width=pose.mouth_width)
        map_x, map_y = self._warp(pose, expression)
        head = cv2.remap(self._resized(canvas), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        alpha = cv2.remap(self._alpha, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
        return cv2.blendLinear(head, self._backdrop, alpha, 1.0 - alpha)

    def _expressed(self, expression: Expression, *, eyes_open: bool) -> NDArray[Any]:
        """The head with all of a mood that does not move: folds, brows and, between blinks, the eyes."""
        key = (expression, eyes_open)
        if key not in self._canvases:
            canvas = self._head.copy()
            paint_smile_lines(canvas, self.look, expression)
            paint_brows(canvas, self.look, expression)
            if eyes_open:
                paint_eyes(canvas, self.look, expression, blink=0.0)
            self._canvases[key] = canvas
        return self._canvases[key]

    def _resized(self, image: NDArray) -> NDArray:
        if self.size_px == CANVAS_PX:
            return image
        way = cv2.INTER_AREA if self.size_px < CANVAS_PX else cv2.INTER_CUBIC
        return cv2.resize(image, (self.size_px, self.size_px), interpolation=way)

    def _warp(self, pose: FacePose, expression: Expression) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Where each output pixel comes from: roll and shift, parallax by depth, jaw down, cheeks up."""
        scale = self.size_px / CANVAS_PX
        centre_x, centre_y = CENTRE_X * scale, NECK_Y * scale
        angle = np.deg2rad(pose.roll_degrees)
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        dx = self._columns - np.float32(centre_x + pose.shift_x * scale)
        dy = self._rows - np.float32(centre_y + pose.shift_y * scale)
        x = cosine * dx + sine * dy + np.float32(centre_x)
        y = -sine * dx + cosine * dy + np.float32(centre_y)
        pitch = pose.pitch + 0.5 * expression.head_pitch
        below_lips = np.clip((y - np.float32(392 * scale)) / np.float32(46 * scale), 0, 1)
        drop = np.float32(JAW_DROP_PX * scale * max(pose.mouth_opening, 0.0)) * self._jaw * below_lips
        rise = np.float32(CHEEK_RISE_PX * scale * expression.cheek_raise) * self._cheeks
        map_x = x - np.float32(YAW_PX * scale * pose.yaw) * self._depth
        map_y = y - np.float32(PITCH_PX * scale * pitch) * self._depth - drop + rise
        return map_x.astype(np.float32), map_y.astype(np.float32)
