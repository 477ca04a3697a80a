"""Warping paths that match silence with silence."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from avsc_tf.alignment.dtw import warping_path
from avsc_tf.alignment.silence import anchored_path, matched_spans


@st.composite
def spans(draw):
    sizes = [draw(st.integers(3, 40)) for _ in range(2)]
    firsts = [draw(st.integers(0, n - 2)) for n in sizes]
    ends = [draw(st.integers(first + 1, n)) for first, n in zip(firsts, sizes, strict=True)]
    return sizes, *zip(firsts, ends, strict=True)


@settings(max_examples=60, deadline=None)  # the first call compiles
@given(spans(), st.integers(0, 99))
def test_anchored_path_is_a_path_through_both_anchors(case, seed):
    (n, m), source, target = case
    path = anchored_path(np.random.default_rng(seed).random((n, m)), source, target)
    assert path.dtype == np.int32
    assert path[0].tolist() == [0, 0] and path[-1].tolist() == [n - 1, m - 1]
    steps = np.diff(path, axis=0)
    assert steps.size == 0 or (steps.min() >= 0 and steps.max() == 1 and steps.sum(axis=1).min() >= 1)
    rows, columns = matched_spans((n, m), source, target)
    visited = {tuple(step) for step in path.tolist()}
    assert (rows[0], columns[0]) in visited and (rows[1] - 1, columns[1] - 1) in visited


def test_without_silence_the_path_is_the_warping_path(rng):
    cost = rng.random((13, 17))
    np.testing.assert_array_equal(anchored_path(cost, (0, 13), (0, 17)), warping_path(cost))


def test_silence_of_one_clip_alone_is_left_to_the_warping(rng):
    cost = rng.random((13, 17))
    assert matched_spans(cost.shape, (4, 13), (0, 17)) == ((0, 13), (0, 17))
    assert matched_spans(cost.shape, (4, 10), (2, 17)) == ((4, 13), (2, 17))
    np.testing.assert_array_equal(anchored_path(cost, (4, 13), (0, 17)), warping_path(cost))


def test_long_silence_is_walked_through_evenly():
    """24 silent frames against 6: four steps a frame, whatever the noise costs."""
    cost = np.ones((30, 12))
    path = anchored_path(cost, (24, 30), (6, 12))
    silence = path[:24]
    assert silence[:, 0].tolist() == list(range(24))
    assert np.bincount(silence[:, 1]).tolist() == [3, 4, 5, 5, 4, 3]  # rounded to the nearest: half as many at the ends
    assert path[24].tolist() == [24, 6]
