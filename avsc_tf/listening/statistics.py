"""Means, intervals and tests of scores and choices: the paper's, and beside them those that know who rated what.

One rater gives many answers, and they lean the same way. The paper's t-test takes them as independent; the
mixed-effects model, the rank test and the intervals over raters do not.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
import statsmodels.formula.api as formulas
from scipy import stats

from avsc_tf.evaluation.confidence import Estimate, ratio
from avsc_tf.listening.answers import FIRST, SECOND

T_TEST_LEVEL = 0.99  # the paper's


@dataclass(frozen=True)
class Comparison:
    """A test of two systems' scores; `difference` is first minus second, with its interval's ends.

    `n` counts what the test takes as independent: scores (t-test, mixed model) or raters (rank test).
    """

    difference: float
    low: float
    high: float
    p: float
    n: int
    note: str = ""


@dataclass(frozen=True)
class Preference:
    """Choices between two systems. `share` is the first's among those that chose one, [low, high] its 95 % interval."""

    n_first: int
    n_second: int
    n_neither: int
    share: float
    low: float
    high: float
    p: float  # exact, two-sided, against one half
    clustered: Estimate  # the same share with an interval over raters

    @property
    def shares(self) -> tuple[float, float, float]:
        """First, neither, second, of all choices; they sum to 1."""
        n = self.n_first + self.n_neither + self.n_second
        return self.n_first / n, self.n_neither / n, self.n_second / n


def mean_score(ratings: pd.DataFrame) -> Estimate:
    """Mean of `score` with a 95 % interval by a bootstrap over raters, whose scores are drawn together.

    `n` of the estimate counts raters (a cluster bootstrap: Davison and Hinkley 1997, 3.8).
    """
    by_rater = ratings.groupby("rater")["score"].agg(["sum", "count"])
    return ratio(by_rater["sum"].to_numpy(), by_rater["count"].to_numpy())


def t_test(first: np.ndarray, second: np.ndarray) -> Comparison | None:
    """The paper's unpaired two-tailed t-test (Student's, equal variances) with the interval at 99 %.

    None where either has fewer than two scores, or neither varies.
    """
    if min(len(first), len(second)) < 2 or (np.ptp(first) == 0 and np.ptp(second) == 0):
        return None
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Precision loss", RuntimeWarning)  # one of the two does not vary: no harm
        test = stats.ttest_ind(first, second)
    interval = test.confidence_interval(T_TEST_LEVEL)
    return Comparison(
        float(np.mean(first) - np.mean(second)),
        float(interval.low),
        float(interval.high),
        float(test.pvalue),
        len(first) + len(second),
    )


def mixed_model(ratings: pd.DataFrame, first: str, second: str) -> Comparison | None:
    """Score by system with random intercepts of rater and sentence, which are crossed (REML; Wald test, 95 %).

    None where a factor has one level only or the scores are too few or too regular to be fitted. The note tells the
    spreads, and where the fit did not converge.
    """
    both = ratings[ratings["system"].isin([first, second])]
    data = both.assign(is_first=(both["system"] == first).astype(float), one=1)
    if any(data[name].nunique() < 2 for name in ("is_first", "rater", "sentence", "score")):
        return None
    model = formulas.mixedlm(
        "score ~ is_first",
        data,
        groups="one",
        re_formula="0",
        vc_formula={"rater": "0 + C(rater)", "sentence": "0 + C(sentence)"},
    )
    with warnings.catch_warnings():  # nil variances are an answer too; what fails shows in the fit
        warnings.simplefilter("ignore")
        try:  # where a variance is nil the gradient methods stop short of the optimum
            fit = model.fit(reml=True, method="powell")
        except np.linalg.LinAlgError:
            return None
        difference, error = float(fit.fe_params["is_first"]), float(fit.bse_fe["is_first"])
    if not (np.isfinite(error) and error > 0):
        return None
    reach = stats.norm.ppf(0.975) * error
    spread = "; ".join(f"{name} SD {np.sqrt(v):.2f}" for name, v in zip(model.exog_vc.names, fit.vcomp, strict=True))
    note = f"{spread}; residual SD {np.sqrt(fit.scale):.2f}" + ("" if fit.converged else "; DID NOT CONVERGE")
    p = 2 * float(stats.norm.sf(abs(difference) / error))
    return Comparison(difference, difference - reach, difference + reach, p, len(data), note)


def rank_test(ratings: pd.DataFrame, first: str, second: str) -> Comparison | None:
    """Wilcoxon's signed-rank test on the differences of each rater's two mean scores; one value a rater.

    The difference is the raters' mean one, with a 95 % bootstrap interval. None where no rater scored both.
    """
    means = ratings.pivot_table(index="rater", columns="system", values="score", aggfunc="mean")
    if not {first, second} <= set(means.columns):
        return None
    differences = (means[first] - means[second]).dropna().to_numpy()
    if not len(differences):
        return None
    p = 1.0 if not differences.any() else float(stats.wilcoxon(differences).pvalue)
    found = ratio(differences, np.ones(len(differences)))
    return Comparison(found.mean, found.low, found.high, p, len(differences))


def preference(choices: pd.DataFrame) -> Preference | None:
    """Shares of choices, with Wilson's interval (Wilson 1927) and the exact binomial test of those that chose one.

    None where there is no choice at all; share and interval are NaN where nobody chose one of the two.
    """
    if choices.empty:
        return None
    n_first, n_second = ((choices["choice"] == side).sum() for side in (FIRST, SECOND))
    n = int(n_first + n_second)
    by_rater = choices.assign(first_=choices["choice"] == FIRST, decided=choices["choice"].isin([FIRST, SECOND]))
    sums = by_rater.groupby("rater")[["first_", "decided"]].sum()
    sums = sums[sums["decided"] > 0]
    clustered = ratio(sums["first_"].to_numpy(), sums["decided"].to_numpy())
    nan = float("nan")
    if not n:
        return Preference(0, 0, len(choices), nan, nan, nan, nan, clustered)
    test = stats.binomtest(int(n_first), n, 0.5)
    low, high = test.proportion_ci(0.95, method="wilson")
    return Preference(
        int(n_first), int(n_second), len(choices) - n, n_first / n, float(low), float(high), test.pvalue, clustered
    )
