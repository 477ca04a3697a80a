"""Smooth warps of a picture by keypoints: a texture in a fixed shape is laid on the shape of each frame.

Positions are in sides of the picture: (0, 0) is its upper left corner, (1, 1) its lower right one, whatever its pixels.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

FIELD_STEPS = 64  # the warp is evaluated on so many places a side and enlarged; it is smoother than that
BORDER_STEPS = 4  # fixed points on each side of the picture's border
_TINY = 1e-9  # r^2 log r at r = 0


def border_points() -> np.ndarray:
    """float32 [4 * BORDER_STEPS, 2]: points on the border that no warp moves."""
    along = np.linspace(0, 1, BORDER_STEPS, endpoint=False, dtype=np.float32)
    zero, one = np.zeros_like(along), np.ones_like(along)
    sides = [(along, zero), (one, along), (1 - along, one), (zero, 1 - along)]
    return np.concatenate([np.stack(side, axis=1) for side in sides])


def pixel_centres(steps: int) -> np.ndarray:
    """float32 [steps, steps, 2] (x, y): centres of a raster of so many cells a side."""
    centres = (np.arange(steps, dtype=np.float32) + 0.5) / steps
    return np.stack(np.meshgrid(centres, centres), axis=-1)


def displacement_field(points: Any, moved: Any, *, smoothing: float, steps: int) -> Any:
    """The smoothest displacement that takes `points` to `moved` and leaves the border where it is.

    A thin-plate spline (Bookstein 1989) through the points, or near them: closed lips put two points on one place,
    which an exact spline would tear.

    Args:
        points, moved: [batch, n, 2].
        smoothing: added to the spline's matrix; 0 passes through every point, 1e-3 lets a lone point off by little.

    Returns:
        [batch, steps, steps, 2] at the places of `pixel_centres`.
    """
    batch = ops.shape(points)[0]
    fixed = ops.broadcast_to(ops.convert_to_tensor(border_points()), (batch, 4 * BORDER_STEPS, 2))
    anchors = ops.concatenate([points, fixed], axis=1)
    shifts = ops.concatenate([moved - points, ops.zeros_like(fixed)], axis=1)
    n = anchors.shape[1]
    kernel = _radial(anchors, anchors) + smoothing * ops.eye(n)
    affine = _with_one(anchors)
    rows = [ops.concatenate([kernel, affine], axis=2)]
    corner = ops.zeros_like(affine[:, :3, :])
    rows.append(ops.concatenate([ops.transpose(affine, (0, 2, 1)), corner], axis=2))
    wanted = ops.concatenate([shifts, ops.zeros_like(shifts[:, :3])], axis=1)
    weights = ops.solve(ops.concatenate(rows, axis=1), wanted)  # [batch, n + 3, 2]
    places = ops.convert_to_tensor(pixel_centres(steps).reshape(1, -1, 2))
    field = ops.matmul(_radial(places, anchors), weights[:, :n]) + ops.matmul(_with_one(places), weights[:, n:])
    return ops.reshape(field, (-1, steps, steps, 2))


def _radial(a: Any, b: Any) -> Any:
    """[batch, m, 2] and [batch, n, 2] -> r^2 log r of all distances, [batch, m, n]."""
    squared = ops.square(a[:, :, None, 0] - b[:, None, :, 0]) + ops.square(a[:, :, None, 1] - b[:, None, :, 1])
    return 0.5 * squared * ops.log(squared + _TINY)


def _with_one(points: Any) -> Any:
    """[batch, n, 2] -> [batch, n, 3]: 1, x, y."""
    return ops.concatenate([ops.ones_like(points[..., :1]), points], axis=-1)


def enlarged(field: Any, size_px: int) -> Any:
    """[batch, steps, steps, channels] -> [batch, size_px, size_px, channels], straight between the places."""
    if field.shape[1] == size_px:
        return field
    return ops.image.resize(field, (size_px, size_px), interpolation="bilinear", data_format="channels_last")


def sampled(pictures: Any, positions: Any) -> Any:
    """Pictures [batch, height, width, channels] at positions [batch, h, w, 2], straight between four pixels' centres.

    Outside of the picture its border is repeated. Returns [batch, h, w, channels].
    """
    height, width, channels = pictures.shape[1:]
    x, y = positions[..., 0] * width - 0.5, positions[..., 1] * height - 0.5
    left, top = ops.floor(x), ops.floor(y)
    across, down = (x - left)[..., None], (y - top)[..., None]
    left, top = ops.cast(left, "int32"), ops.cast(top, "int32")
    flat = ops.reshape(pictures, (-1, channels))
    first = ops.reshape(ops.arange(ops.shape(pictures)[0], dtype="int32") * (height * width), (-1, 1, 1))

    def at(row: Any, column: Any) -> Any:
        row, column = ops.clip(row, 0, height - 1), ops.clip(column, 0, width - 1)
        return ops.take(flat, first + row * width + column, axis=0)

    upper = at(top, left) * (1 - across) + at(top, left + 1) * across
    lower = at(top + 1, left) * (1 - across) + at(top + 1, left + 1) * across
    return upper * (1 - down) + lower * down


@keras.saving.register_keras_serializable("avsc_tf")
class FaceWarp(keras.layers.Layer):
    """Texture of the mean face and a frame's keypoints -> the picture of that frame.

    Inputs: texture [batch, texture_px, texture_px, channels], drawn in the speaker's mean shape; keypoints
    [batch, 2 * n], standardised by the speaker's statistics, which are the layer's fixed weights `mean` and `deviation`
    (pixels of the crop). Output [batch, size_px, size_px, channels]. Computes in float32.

    Args:
        crop_px: side of the crop whose pixels the keypoints are in.
        smoothing: see `displacement_field`.
    """

    def __init__(self, size_px: int, *, crop_px: int, smoothing: float, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "trainable": False, **kwargs})
        self.size_px = size_px
        self.crop_px = crop_px
        self.smoothing = smoothing

    def build(self, input_shape: Any) -> None:
        n_values = input_shape[1][-1]
        self.mean = self.add_weight(name="mean", shape=(n_values,), initializer=_spread_points, trainable=False)
        self.deviation = self.add_weight(name="deviation", shape=(n_values,), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        texture, keypoints = inputs
        shape = ops.reshape(keypoints * self.deviation + self.mean, (-1, self.mean.shape[0] // 2, 2)) / self.crop_px
        mean = ops.broadcast_to(ops.reshape(self.mean / self.crop_px, (1, -1, 2)), ops.shape(shape))
        field = displacement_field(
            shape, mean, smoothing=self.smoothing, steps=min(FIELD_STEPS, self.size_px)
        )  # backwards: where in the texture a pixel of the frame is found
        return sampled(texture, enlarged(field, self.size_px) + pixel_centres(self.size_px))

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (input_shape[0][0], self.size_px, self.size_px, input_shape[0][-1])

    def get_config(self) -> dict[str, Any]:
        own = {"size_px": self.size_px, "crop_px": self.crop_px, "smoothing": self.smoothing}
        return super().get_config() | own


@keras.saving.register_keras_serializable("avsc_tf")
class InsideFace(keras.layers.Layer):
    """A picture [batch, h, w, channels], enlarged to [batch, size_px, size_px, channels], faded out around a face.

    The fixed weight `mask` [size_px, size_px, 1] holds 1 inside of the face, 0 outside; it starts as 1 everywhere.
    """

    def __init__(self, size_px: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", "trainable": False, **kwargs})
        self.size_px = size_px

    def build(self, input_shape: Any) -> None:
        shape = (self.size_px, self.size_px, 1)
        self.mask = self.add_weight(name="mask", shape=shape, initializer="ones", trainable=False)

    def call(self, picture: Any) -> Any:
        return enlarged(picture, self.size_px) * self.mask

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (input_shape[0], self.size_px, self.size_px, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"size_px": self.size_px}


def _spread_points(shape: Any, dtype: Any = None) -> Any:
    """Until they are set: points far enough from each other for a spline, pixels of any crop of some size."""
    n = shape[0] // 2
    turn = 2.4 * np.arange(n)  # a sunflower's spiral
    radius = 40 * np.sqrt((np.arange(n) + 0.5) / n)
    points = np.stack([64 + radius * np.cos(turn), 64 + radius * np.sin(turn)], axis=1)
    return ops.convert_to_tensor(points.reshape(-1), dtype=dtype)
