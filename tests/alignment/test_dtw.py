"""Distances exact, and the path the cheapest of all paths."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from avsc_tf.alignment.dtw import averaged_distance, euclidean_matrix, rms_distance, tie_mel, warping_path
from avsc_tf.core.errors import AlignmentError


def all_paths(n: int, m: int):
    """Every monotone path from (0, 0) to (n-1, m-1) by steps of one."""
    if (n, m) == (1, 1):
        yield [(0, 0)]
    for i, j in ((n - 1, m), (n, m - 1), (n - 1, m - 1)):
        if i >= 1 and j >= 1:
            for path in all_paths(i, j):
                yield [*path, (n - 1, m - 1)]


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 4), (5, 1), (2, 3), (5, 4), (4, 6)])
def test_path_costs_least_of_all_paths(rng, n, m):
    cost = rng.random((n, m))
    path = warping_path(cost)
    found = cost[path[:, 0], path[:, 1]].sum()
    cheapest = min(sum(cost[i, j] for i, j in candidate) for candidate in all_paths(n, m))
    # 1e-12: both sum the same float64 numbers, in another order
    assert found == pytest.approx(cheapest, abs=1e-12)


def test_path_is_monotone_and_joins_the_corners(rng):
    path = warping_path(rng.random((17, 11)))
    assert path.dtype == np.int32
    assert path[0].tolist() == [0, 0]
    assert path[-1].tolist() == [16, 10]
    steps = np.diff(path, axis=0)
    assert steps.min() >= 0
    assert steps.max() == 1
    assert steps.sum(axis=1).min() >= 1


def test_equal_sequences_run_along_the_diagonal(rng):
    x = rng.standard_normal((9, 5))
    assert warping_path(rms_distance(x, x)).tolist() == [[i, i] for i in range(9)]


@pytest.mark.parametrize("bad", [np.zeros((0, 3)), np.full((2, 3), np.nan), np.full((2, 3), np.inf)])
def test_matrix_without_a_path_is_refused(bad):
    with pytest.raises(AlignmentError, match="empty or not finite"):
        warping_path(bad)


def test_distance_is_exact_also_far_from_the_origin(rng):
    # Keypoints lie near 128 px and differ by fractions of one: there |a|^2 + |b|^2 - 2ab loses digits.
    a = (128 + 0.1 * rng.standard_normal((7, 140))).astype(np.float32)
    b = (128 + 0.1 * rng.standard_normal((6, 140))).astype(np.float32)
    expected = np.linalg.norm(a[:, None].astype(np.float64) - b[None], axis=2)
    # 1e-12: float64 about the common mean; the naive float32 product is off by 1e-2 here
    np.testing.assert_allclose(euclidean_matrix(a, b), expected, rtol=1e-12)


def test_distance_of_a_row_to_itself_is_near_zero(rng):
    a = rng.standard_normal((5, 640))
    # 1e-6: the square root of float64's rounding of a sum of 640 squares
    assert np.abs(np.diag(euclidean_matrix(a, a))).max() < 1e-6


def test_the_two_averages_by_hand():
    a, b = np.zeros((1, 4)), np.full((1, 4), 3.0)
    assert euclidean_matrix(a, b)[0, 0] == pytest.approx(6.0)
    assert averaged_distance(a, b)[0, 0] == pytest.approx(1.5)  # 6 / 4 dimensions
    assert rms_distance(a, b)[0, 0] == pytest.approx(3.0)  # root of the mean square


def test_tied_mel_keeps_the_frames_of_a_video_frame_together():
    mel = np.arange(6 * 2).reshape(6, 2)  # 2 video frames of 3 mel frames, 2 bands
    assert tie_mel(mel, 3).tolist() == [list(range(6)), list(range(6, 12))]


def test_all_paths_of_the_brute_force_are_counted():
    """The brute force itself: Delannoy numbers D(2, 2) = 13, D(3, 2) = 25."""
    assert len(list(all_paths(3, 3))) == 13
    assert len({tuple(itertools.chain(*p)) for p in all_paths(4, 3)}) == 25
