"""Two systems on the same sentences: the mean difference, its interval, and whether chance could give as much."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.stats

from avsc_tf.evaluation.confidence import SEED, Estimate, estimate

N_SIGN_FLIPS = 20_000  # up to 14 sentences are tried in every way, 16,384 at most


@dataclass(frozen=True)
class PairedDifference:
    """`first` less `second` over the sentences that both have."""

    difference: Estimate
    p: float  # two-sided sign-flip permutation test; NaN for fewer than two sentences


def paired_difference(first: Mapping[str, float | None], second: Mapping[str, float | None]) -> PairedDifference:
    """Compare sentence by sentence; what one of the two lacks is left out.

    The test turns the signs of the differences at random (Fisher 1935): it asks nothing of their distribution but that
    it be symmetric about 0 where the two are alike.
    """
    pairs = [(first[u], second[u]) for u in first if u in second]
    known = np.array([a - b for a, b in pairs if a is not None and b is not None], np.float64)
    known = known[np.isfinite(known)]
    return PairedDifference(estimate(known), sign_flip_p(known))


def sign_flip_p(differences: np.ndarray) -> float:
    """Two-sided p that the mean difference is 0; 1 where all differences are."""
    if len(differences) < 2:
        return float("nan")
    if not differences.any():
        return 1.0
    found = scipy.stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=N_SIGN_FLIPS,
        vectorized=True,
        random_state=np.random.default_rng([SEED, len(differences)]),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values that hold for all tests together (Holm 1979); NaN stays NaN and does not count."""
    p = np.asarray(p_values, np.float64)
    adjusted = np.full(len(p), np.nan)
    known = np.flatnonzero(np.isfinite(p))
    order = known[np.argsort(p[known])]
    scaled = p[order] * (len(order) - np.arange(len(order)))
    adjusted[order] = np.minimum(np.maximum.accumulate(scaled), 1.0)
    return adjusted.tolist()
