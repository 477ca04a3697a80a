"""Canonical correlation against scikit-learn, closed forms, and streams that share nothing."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cross_decomposition import CCA

from avsc_tf.measures.canonical import canonical_correlation, canonical_pairs


def test_every_pair_equals_scikit_learns(rng: np.random.Generator) -> None:
    shared = rng.normal(size=(400, 3)) * [1.0, 0.7, 0.4]
    a = shared @ rng.normal(size=(3, 5)) + 0.5 * rng.normal(size=(400, 5))
    b = shared @ rng.normal(size=(3, 4)) + 0.5 * rng.normal(size=(400, 4))
    x, y = CCA(n_components=3, max_iter=20000, tol=1e-14).fit_transform(a, b)
    expected = [np.corrcoef(x[:, k], y[:, k])[0, 1] for k in range(3)]
    found = canonical_pairs(a, b)
    assert found.a_weights.shape == (5, 4) and found.b_weights.shape == (4, 4)
    assert found.r[:3] == pytest.approx(expected, abs=1e-5)  # scikit-learn iterates and deflates; ours decomposes once
    variates = (a - a.mean(0)) @ found.a_weights
    assert variates.T @ variates / len(a) == pytest.approx(np.eye(4), abs=1e-9)


def test_first_correlation_equals_scikit_learns(rng: np.random.Generator) -> None:
    a = rng.normal(size=(200, 4))
    b = np.column_stack([a @ [1, 2, 0, -1] + rng.normal(size=200), rng.normal(size=200)])
    x, y = CCA(n_components=1, max_iter=5000, tol=1e-12).fit_transform(a, b)
    expected = np.corrcoef(x[:, 0], y[:, 0])[0, 1]
    assert canonical_correlation(a, b) == pytest.approx(expected, abs=1e-6)  # an iteration against a decomposition
    assert canonical_correlation(a, a @ rng.normal(size=(4, 2))) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
def test_gaussians_of_known_correlation(rng: np.random.Generator, rho: float) -> None:
    """One pair of directions correlates by rho and is hidden by mixing; the others are independent."""
    n = 40_000
    a, b = rng.normal(size=(n, 3)), rng.normal(size=(n, 2))
    b[:, 0] = rho * a[:, 0] + np.sqrt(1 - rho**2) * b[:, 0]
    found = canonical_pairs(a @ rng.normal(size=(3, 3)), b @ rng.normal(size=(2, 2))).r
    # standard error of r is 1/200; the highest of chance correlations of 3 x 2 dimensions stays under 4 of them
    assert found == pytest.approx([rho, 0.0], abs=0.02)


def test_a_ridge_holds_chance_down(rng: np.random.Generator) -> None:
    a, b = rng.normal(size=(60, 20)), rng.normal(size=(60, 15))
    plain, held = canonical_pairs(a, b), canonical_pairs(a, b, n_a=4, n_b=3, penalty=0.5)
    assert plain.r[0] > 0.8 > 0.6 > held.r[0]
    assert held.a_weights.shape == (20, 3) and held.b_weights.shape == (15, 3)


def test_what_does_not_vary_has_no_correlation(rng: np.random.Generator) -> None:
    a, still = rng.normal(size=(50, 3)), np.full((50, 2), 0.3)
    assert np.isnan(canonical_correlation(a, still)) and len(canonical_pairs(a, still).r) == 0
    assert np.isnan(canonical_correlation(a[:5], a[:5, :2]))  # 5 frames, 5 dimensions: always 1
