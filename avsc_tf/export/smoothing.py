"""Keypoints made steady, as `features.smoothing` does it, in the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from avsc_tf.features.smoothing import HEAD_POINTS

Tensor = Any


def smooth_keypoints(keypoints: Tensor, *, head_frames: float, face_frames: float) -> Tensor:
    """[T, n, 2] float32 -> the same; see `features.smoothing.smooth_keypoints`."""
    values = tf.cast(keypoints, tf.float64)
    points = tf.complex(values[..., 0], values[..., 1])
    turn, shift = _head(points)
    within = (points - shift[:, None]) / turn[:, None]
    track = _smooth(tf.stack([turn, shift], axis=1), head_frames)
    moved = _smooth(within, face_frames) * track[:, :1] + track[:, 1:]
    return tf.cast(tf.stack([tf.math.real(moved), tf.math.imag(moved)], axis=-1), keypoints.dtype)


def _head(points: Tensor) -> tuple[Tensor, Tensor]:
    """Similarity nearest to the head's points of every frame: turn and shift, complex [T] each."""
    head = HEAD_POINTS.astype(np.int32)
    there = tf.gather(points, head, axis=1)
    here = tf.reduce_mean(there, axis=0)
    middle = tf.reduce_mean(here)
    centred = here - middle
    size = tf.cast(tf.reduce_sum(tf.abs(centred) ** 2), tf.complex128)
    turn = tf.reduce_sum(there * tf.math.conj(centred), axis=1) / size
    return turn, tf.reduce_mean(there, axis=1) - turn * middle


def _smooth(tracks: Tensor, frames: float) -> Tensor:
    """complex [T, n], each column on its own."""
    if frames <= 0:
        return tracks
    n = tracks.shape[1]
    columns = smooth_tracks(tf.concat([tf.math.real(tracks), tf.math.imag(tracks)], axis=1), frames)
    return tf.complex(columns[:, :n], columns[:, n:])


def smooth_tracks(tracks: Tensor, frames: float) -> Tensor:
    """float64 [T, n] -> x with (1 + frames^4 D'D) x = tracks, D the second difference: `features.crop.smooth_track`.

    The matrix has two diagonals on each side of its middle one; L D L' by one way down and one up, linear in T.
    """
    n_frames, weight = tf.shape(tracks)[0], float(frames) ** 4
    place = tf.range(n_frames)

    def count(*conditions: Tensor) -> Tensor:
        return tf.add_n([tf.cast(c, tf.float64) for c in conditions])

    in_middle = (place >= 1) & (place <= n_frames - 2)
    middle = 1.0 + weight * count(place <= n_frames - 3, place >= 2, *[in_middle] * 4)
    inner = place <= n_frames - 2
    beside = -2.0 * weight * count(inner & (place <= n_frames - 3), inner & (place >= 1))
    beyond = weight * count(place <= n_frames - 3)
    zero, row = tf.zeros((), tf.float64), tf.zeros_like(tracks[0])

    # State: D, first and second factor of a row and of the row before it, and the forward solution of both.
    def down(state: tuple[Tensor, ...], k: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        d1, c1, e1, y1, d2, _, e2, y2 = state
        a, b, f, y = k
        d = a - c1 * c1 * d1 - e2 * e2 * d2
        return d, (b - c1 * e1 * d1) / d, f / d, y - c1 * y1 - e2 * y2, d1, c1, e1, y1

    start = (zero, zero, zero, row, zero, zero, zero, row)
    d, c, e, forward, *_ = tf.scan(down, (middle, beside, beyond, tracks), start)

    def up(state: tuple[Tensor, Tensor], k: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
        after, later = state
        y, dk, ck, ek = k
        return y / dk - ck * after - ek * later, after

    solution, _ = tf.scan(up, (forward, d, c, e), (row, row), reverse=True)
    return solution
