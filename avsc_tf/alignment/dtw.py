"""Dynamic time warping between two speakers at the video frame rate (paper section 4.3).

A cost matrix is one matrix product; the path is found in compiled code. Both hold the whole matrix, so its size is
limited: `MAX_CELLS` are two clips of 200 seconds each, and about 1 GB on the way.
"""

from __future__ import annotations

import numpy as np

from avsc_tf.core.errors import AlignmentError

MAX_CELLS = 5000 * 5000


def euclidean_matrix(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distance of every row of `a` [n, d] to every row of `b` [m, d]: float64 [n, m].

    |a|^2 + |b|^2 - 2ab cancels where rows are alike, so it runs in float64, about the common mean.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    centre = a.mean(axis=0)
    a, b = a - centre, b - centre
    squared = np.sum(a * a, axis=1)[:, None] + np.sum(b * b, axis=1)[None, :] - 2.0 * (a @ b.T)
    return np.sqrt(np.maximum(squared, 0.0))


def check_size(n: int, m: int, *, name: str = "pair") -> None:
    """Refuse what would not fit into memory, before it is computed.

    Raises:
        AlignmentError: `n` x `m` video frames are more than MAX_CELLS.
    """
    if n * m > MAX_CELLS:
        raise AlignmentError(
            f"{name}: clips of {n} and {m} video frames are too long to align ({n * m} cells, at most {MAX_CELLS}). "
            "Cut the recordings into sentences."
        )


def tie_mel(mel: np.ndarray, mel_per_video: int) -> np.ndarray:
    """Lay the mel frames of each video frame side by side: [T * mel_per_video, n_mels] to [T, rest]."""
    return mel.reshape(len(mel) // mel_per_video, -1)


def averaged_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Dimension-averaged L2 norm as the paper words it (section 4.3), |a - b| / d: float64 [n, m]."""
    return euclidean_matrix(a, b) / a.shape[1]


def rms_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Root of the mean squared difference, |a - b| / sqrt(d), so that features of any width weigh alike: [n, m]."""
    return euclidean_matrix(a, b) / np.sqrt(a.shape[1])


def warping_path(cost: np.ndarray) -> np.ndarray:
    """Cheapest monotone path from (0, 0) to (n-1, m-1) by steps of one along either axis or both.

    Args:
        cost: [n, m], finite.

    Returns:
        int32 [steps, 2]: row and column of each step.

    Raises:
        AlignmentError: the matrix is empty or holds a value that is not finite.
    """
    from tslearn.metrics import dtw_path_from_metric

    if cost.size == 0 or not np.isfinite(cost).all():
        raise AlignmentError(f"cost matrix of shape {cost.shape} is empty or not finite; check the clips' features.")
    path, _ = dtw_path_from_metric(np.asarray(cost, np.float64), metric="precomputed")
    return np.asarray(path, np.int32)
