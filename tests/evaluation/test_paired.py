"""Paired comparison of two systems: hand-worked permutation tests, and Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.evaluation.paired import holm, paired_difference, sign_flip_p


def by_name(values) -> dict[str, float | None]:
    return {f"u{i}": v for i, v in enumerate(values)}


def test_sign_flips_of_three_by_hand():
    # means of (±1 ±2 ±3)/3: 8 of them, |mean| >= 2 for +++ and --- alone, so p = 2/8
    assert sign_flip_p(np.array([1.0, 2.0, 3.0])) == pytest.approx(0.25)
    # |mean| >= 4/3 for +++, -++ and their mirrors: 4/8
    assert sign_flip_p(np.array([-1.0, 2.0, 3.0])) == pytest.approx(0.5)


def test_difference_of_what_both_have():
    first = {"a": 3.0, "b": 5.0, "c": None, "d": 1.0}
    second = {"a": 1.0, "b": 2.0, "c": 4.0, "e": 9.0}
    found = paired_difference(first, second)
    assert found.difference.mean == pytest.approx(2.5)
    assert found.difference.n == 2
    assert found.p == pytest.approx(0.5)  # two of four turns of sign reach 2.5


def test_pairing_sees_what_means_do_not():
    rng = np.random.default_rng(1)
    sentence = rng.normal(0, 10, 18)  # sentences differ by far more than the systems do
    found = paired_difference(by_name(sentence + 0.5 + rng.normal(0, 0.2, 18)), by_name(sentence))
    assert found.p < 0.001
    assert found.difference.low > 0.3
    unpaired = paired_difference(by_name(sentence + 0.5), by_name(rng.permutation(sentence)))
    assert unpaired.p > 0.2


def test_p_is_uniform_where_nothing_differs():
    rng = np.random.default_rng(2)
    p = [sign_flip_p(rng.normal(size=8)) for _ in range(300)]
    assert 0.02 < np.mean(np.array(p) < 0.05) < 0.09  # 0.047 expected of 2/256 steps; three binomial deviations


def test_nothing_to_compare():
    assert np.isnan(paired_difference({"a": 1.0}, {"b": 1.0}).p)
    assert np.isnan(sign_flip_p(np.array([1.0])))
    assert sign_flip_p(np.zeros(5)) == 1.0


def test_same_answer_every_time():
    values = np.random.default_rng(3).normal(0.3, 1, 25)
    assert sign_flip_p(values) == sign_flip_p(values)


def test_holm_by_hand():
    # sorted 0.01, 0.03, 0.04 -> x3, x2, x1, never falling
    assert holm([0.04, 0.01, float("nan"), 0.03])[:2] == pytest.approx([0.06, 0.03])
    assert np.isnan(holm([0.04, 0.01, float("nan"), 0.03])[2])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
