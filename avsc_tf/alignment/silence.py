"""Warping paths that match silence with silence."""

from __future__ import annotations

import numpy as np

from avsc_tf.alignment.dtw import warping_path
from avsc_tf.signal.speech import Span


def anchored_path(cost: np.ndarray, source: Span, target: Span) -> np.ndarray:
    """Warping path through the beginnings and the ends of both speech spans; straight through the silence outside.

    Where only one of the clips has silence before (or after) its speech, nothing is there to match it with, and that
    side is left to the warping.

    Args:
        cost: [n, m], finite.
        source, target: speech spans in rows and columns.
    Returns:
        int32 [steps, 2] from (0, 0) to (n-1, m-1) by steps of one.
    """
    (first_row, end_row), (first_column, end_column) = matched_spans(cost.shape, source, target)
    speech = warping_path(cost[first_row:end_row, first_column:end_column])
    before = _straight_path(first_row, first_column)
    after = _straight_path(cost.shape[0] - end_row, cost.shape[1] - end_column)
    starts = np.array([[0, 0], [first_row, first_column], [end_row, end_column]], np.int32)
    return np.concatenate([part + start for part, start in zip((before, speech, after), starts, strict=True)])


def matched_spans(shape: tuple[int, ...], source: Span, target: Span) -> tuple[Span, Span]:
    """The spans, widened to a clip's end on each side where only one of the clips has silence."""
    first = (source[0], target[0]) if min(source[0], target[0]) > 0 else (0, 0)
    both = source[1] < shape[0] and target[1] < shape[1]
    end = (source[1], target[1]) if both else (shape[0], shape[1])
    return (first[0], end[0]), (first[1], end[1])


def _straight_path(n: int, m: int) -> np.ndarray:
    """Steps of one from (0, 0) to (n-1, m-1), as straight as they go: int32 [max(n, m), 2]; none if a side is empty."""
    if min(n, m) == 0:
        return np.zeros((0, 2), np.int32)
    steps = np.arange(max(n, m))
    last = max(len(steps) - 1, 1)
    return np.stack([np.rint(steps * (size - 1) / last) for size in (n, m)], axis=1).astype(np.int32)
