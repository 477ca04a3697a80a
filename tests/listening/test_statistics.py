"""Tests and intervals against closed forms, printed values and made data whose effect is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from avsc_tf.listening.statistics import mean_score, mixed_model, preference, rank_test, t_test


def scores(
    rng: np.random.Generator, *, effect: float, raters: int = 24, sentences: int = 15, lean_sd: float = 0.6
) -> pd.DataFrame:
    """Every rater scores every sentence by both systems; raters lean, sentences differ (SD 0.4), noise 0.5."""
    lean, hard = rng.normal(0, lean_sd, raters), rng.normal(0, 0.4, sentences)
    rows = [
        (f"r{r}", f"s{s}", system, 3 + (effect if system == "a" else 0) + lean[r] + hard[s] + rng.normal(0, 0.5))
        for r in range(raters)
        for s in range(sentences)
        for system in ("a", "b")
    ]
    return pd.DataFrame(rows, columns=["rater", "sentence", "system", "score"])


def test_t_test_by_hand() -> None:
    """1..5 against 2, 2, 4: means 3 and 8/3; pooled variance (10 + 8/3) / 6; 6 degrees of freedom."""
    first, second = np.arange(1.0, 6.0), np.array([2.0, 2.0, 4.0])
    found = t_test(first, second)
    assert found is not None
    error = math.sqrt((10 + 8 / 3) / 6 * (1 / 5 + 1 / 3))
    t = (3 - 8 / 3) / error
    assert found.difference == pytest.approx(1 / 3)
    assert found.p == pytest.approx(2 * stats.t.sf(t, 6), rel=1e-12)
    critical = 3.707428  # printed tables: t(6) at 0.995
    assert (found.low, found.high) == pytest.approx((1 / 3 - critical * error, 1 / 3 + critical * error), abs=1e-5)
    assert found.n == 8


def test_t_test_has_nothing_to_say() -> None:
    assert t_test(np.array([3.0]), np.array([1.0, 2.0])) is None
    assert t_test(np.full(4, 3.0), np.full(5, 2.0)) is None


def test_wilson_and_binomial_by_hand() -> None:
    """81 of 100, and 263 pages without a choice of one: Wilson 0.7222 to 0.8749; 7 of 10: p = 2 (120+45+10+1)/1024."""
    choices = pd.DataFrame({"rater": ["r"] * 363, "choice": ["first"] * 81 + ["second"] * 19 + ["neither"] * 263})
    found = preference(choices)
    assert found is not None
    z, n, p = stats.norm.ppf(0.975), 100, 0.81
    middle, reach = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    wilson = ((middle - reach) / (1 + z * z / n), (middle + reach) / (1 + z * z / n))
    assert (found.low, found.high) == pytest.approx(wilson, rel=1e-9)
    assert (found.low, found.high) == pytest.approx((0.7222, 0.8749), abs=5e-5)
    assert found.shares == pytest.approx((81 / 363, 263 / 363, 19 / 363))
    few = preference(pd.DataFrame({"rater": list("aabbccddee"), "choice": ["first"] * 7 + ["second"] * 3}))
    assert few is not None and few.p == pytest.approx(2 * (120 + 45 + 10 + 1) / 1024)
    assert few.clustered.n == 5 and few.clustered.low < 0.7 < few.clustered.high


def test_preference_without_a_choice() -> None:
    assert preference(pd.DataFrame({"rater": [], "choice": []})) is None
    found = preference(pd.DataFrame({"rater": ["a", "b"], "choice": ["neither"] * 2}))
    assert found is not None and math.isnan(found.share) and found.shares == (0, 1, 0)


def test_mean_is_of_all_scores_and_raters_are_drawn_whole(rng: np.random.Generator) -> None:
    """Raters who lean make an interval wider than that of independent scores: sqrt(1 + (30 - 1) ICC), ICC 0.47."""
    ratings = scores(rng, effect=0.0)
    found = mean_score(ratings)
    assert found.mean == pytest.approx(ratings["score"].mean()) and found.n == 24
    independent = 2 * 1.96 * ratings["score"].std() / math.sqrt(len(ratings))
    by_rater = 2 * 1.96 * ratings.groupby("rater")["score"].mean().std() / math.sqrt(24)
    assert found.high - found.low == pytest.approx(by_rater, rel=0.15)  # percentile ends on 24 raters
    assert found.high - found.low > 2.5 * independent


def test_mixed_model_of_a_balanced_table_by_hand(rng: np.random.Generator) -> None:
    """In a full crossing rater and sentence fall out: the effect is the difference of means, its error sqrt(2 s2 / n).

    s2 is the mean square of what rater, sentence and system leave (the two-way ANOVA's).
    """
    ratings = scores(rng, effect=0.3)
    found = mixed_model(ratings, "a", "b")
    means = ratings.groupby("system")["score"].mean()
    assert found is not None and found.difference == pytest.approx(means["a"] - means["b"], abs=1e-8)
    left = ratings["score"] - ratings.groupby("rater")["score"].transform("mean")
    left -= ratings.groupby("sentence")["score"].transform("mean") - ratings["score"].mean()
    left -= ratings.groupby("system")["score"].transform("mean") - ratings["score"].mean()
    s2 = float((left**2).sum()) / (len(ratings) - 1 - 23 - 14 - 1)
    error = math.sqrt(2 * s2 / 360)
    assert found.high - found.low == pytest.approx(2 * 1.959964 * error, rel=0.01)  # REML by search, not closed form
    spreads = dict(part.split(" SD ") for part in found.note.split("; "))
    assert float(spreads["rater"]) == pytest.approx(0.6, abs=0.25)
    assert float(spreads["sentence"]) == pytest.approx(0.4, abs=0.2)
    assert float(spreads["residual"]) == pytest.approx(0.5, abs=0.05)


def test_an_effect_is_found_where_the_t_test_is_blind(rng: np.random.Generator) -> None:
    """A quarter of a point under raters who lean by 2: under 1 standard error blindly, 3.9 by who knows the raters."""
    ratings = scores(rng, effect=0.25, raters=12, sentences=10, lean_sd=2.0)
    sides = [ratings.loc[ratings["system"] == name, "score"].to_numpy() for name in "ab"]
    blind, model, ranks = t_test(*sides), mixed_model(ratings, "a", "b"), rank_test(ratings, "a", "b")
    assert blind is not None and model is not None and ranks is not None
    assert blind.p > 0.01 and blind.low < 0 < blind.high
    assert model.p < 0.001 and model.low < 0.25 < model.high
    assert ranks.p < 0.01 and ranks.n == 12


def test_no_effect_is_found_where_there_is_none() -> None:
    """Of 40 sets without an effect about 2 pass 5 %; 7 or more would happen once in 300 times."""
    passed = np.zeros(2, int)
    for seed in range(40):
        ratings = scores(np.random.default_rng(seed), effect=0.0, raters=8, sentences=6)
        for i, test in enumerate((mixed_model, rank_test)):
            found = test(ratings, "a", "b")
            assert found is not None
            passed[i] += found.p < 0.05
    assert passed.max() <= 6


def test_rank_test_by_hand() -> None:
    """Five raters, all for the first: 2 / 2^5. Scores weigh by rater, not by number: the busy one counts once."""
    rows = [(f"r{r}", system, 4 + r / 10 if system == "a" else 3) for r in range(5) for system in "ab"]
    rows += [("r0", "a", 4)] * 30
    found = rank_test(pd.DataFrame(rows, columns=["rater", "system", "score"]), "a", "b")
    assert found is not None and found.p == pytest.approx(2 / 32)
    assert found.difference == pytest.approx(1.2) and found.n == 5
    same = pd.DataFrame([("r", s, 3) for s in "ab"], columns=["rater", "system", "score"])
    even = rank_test(same, "a", "b")
    assert even is not None and even.p == 1.0
    assert rank_test(same[same["system"] == "a"], "a", "b") is None and mixed_model(same, "a", "b") is None


def test_few_or_regular_scores_give_an_answer_or_none() -> None:
    """Two raters, all scores alike, one system steady: no warning (they are errors here), no NaN."""
    for seed in range(24):
        draw = np.random.default_rng(seed)
        n = int(draw.integers(2, 20))
        ratings = pd.DataFrame(
            {
                "rater": draw.integers(0, 3, n).astype(str),
                "sentence": draw.integers(0, 4, n).astype(str),
                "system": draw.choice(["a", "b"], n),
                "score": draw.integers(1, int(draw.integers(1, 5)), n, endpoint=True),
            }
        )
        if seed % 3 == 0:
            ratings.loc[ratings["system"] == "a", "score"] = 4
        sides = [ratings.loc[ratings["system"] == name, "score"].to_numpy(float) for name in "ab"]
        for found in (t_test(*sides), mixed_model(ratings, "a", "b"), rank_test(ratings, "a", "b")):
            assert found is None or (math.isfinite(found.p) and math.isfinite(found.difference))
