"""Canonical correlation analysis (Hotelling 1936): the projections of two streams that go together most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_RANK_TOLERANCE = 1e-9  # of the largest singular value: a direction below it does not vary


@dataclass(frozen=True)
class CanonicalPairs:
    """K pairs of projections in falling order of what they share; `a @ a_weights` are the variates of `a`."""

    a_weights: np.ndarray  # [p, K]
    b_weights: np.ndarray  # [q, K]
    r: np.ndarray  # [K], correlation of each pair on the data of the fit


def canonical_pairs(
    a: np.ndarray, b: np.ndarray, *, n_a: int | None = None, n_b: int | None = None, penalty: float = 0.0
) -> CanonicalPairs:
    """Canonical pairs of [n, p] and [n, q] by singular values of the whitened cross-covariance.

    Args:
        n_a, n_b: principal components of each side that are kept; None keeps all that vary.
        penalty: ridge, a variance added to every principal component; 0 is the plain analysis, whose variates have
            unit variance.
    Returns:
        K = the smaller number of components; 0 where one side does not vary.
    """
    a, b = (np.asarray(x, np.float64) - np.mean(x, axis=0, dtype=np.float64) for x in (a, b))
    to_a, to_b = _whitening(a, n_a, penalty), _whitening(b, n_b, penalty)
    left, _, right = np.linalg.svd((a @ to_a).T @ (b @ to_b) / len(a), full_matrices=False)
    a_weights, b_weights = to_a @ left, to_b @ right.T
    u, v = a @ a_weights, b @ b_weights
    norms = np.linalg.norm(u, axis=0) * np.linalg.norm(v, axis=0)
    return CanonicalPairs(a_weights, b_weights, (u * v).sum(axis=0) / norms)


def _whitening(x: np.ndarray, n_components: int | None, penalty: float) -> np.ndarray:
    """Centred [n, p] -> [p, components]: on the principal components, each divided by its deviation."""
    _, sizes, axes = np.linalg.svd(x, full_matrices=False)
    keep = np.flatnonzero(sizes > max(_RANK_TOLERANCE * sizes[0], 1e-12))[:n_components]
    return axes[keep].T / np.sqrt(sizes[keep] ** 2 / len(x) + penalty)


def canonical_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """The first canonical correlation of [n, p] and [n, q]; NaN where n does not pass p + q or a side is still."""
    if len(a) <= a.shape[1] + b.shape[1]:
        return float("nan")
    r = canonical_pairs(a, b).r
    return float(r[0].clip(0, 1)) if len(r) else float("nan")
