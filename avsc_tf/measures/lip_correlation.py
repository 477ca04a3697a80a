"""How far sound and lips of a video move together: canonical correlation (paper 4.5, Figure 4), so that it can tell.

The dimensions are reduced; the projections are fitted on natural training sentences of the target and then fixed; other
sentences are scored with them; the score of the same sentence with shifted lips stands beside it. The streams of a
sentence are its mel spectrum [T, 80] and its lips [T, 40] from `lip_streams.sync_streams`; they are standardised by the
target's training sentences for every row alike. What was measured: docs/synchrony.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from avsc_tf.core.errors import RecordError
from avsc_tf.measures.canonical import canonical_pairs
from avsc_tf.measures.mouth import correlation
from avsc_tf.measures.sync import MAX_OFFSET_FRAMES
from avsc_tf.signal.speech import utterance_frames

N_MEL_COMPONENTS, N_LIP_COMPONENTS = 20, 10  # more gain nothing on held-out sentences: docs/synchrony.md
PENALTY = 0.03  # of a standardised dimension's variance
N_PAIRS = 5  # canonical pairs that `offset` looks at; later ones share nothing on held-out sentences
MIN_SHIFT_SECONDS = 0.4  # of the null: longer than a syllable
FROZEN_SHARE = 0.1  # of the training lips' movement: a still picture with film noise re-tracked moves 0.02 to 0.06

NAIVE_MEANING = (
    "Naive r: canonical correlation of all 80 mel bands with all 40 lip coordinates, fitted and scored on the same "
    "sentence. With so many dimensions for so few frames it finds a pair that agrees in any two streams: independent "
    "noise of 150 frames gives 0.965, and 120 frames or fewer give exactly 1. It is shown because others report it; "
    "compare it with its own null, the same figure for shifted lips."
)

Streams = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class BesideNull:
    """A correlation and what the same sentence gives with lips that belong to another time of it."""

    r: float
    null_mean: float
    null_low: float  # 2.5 % of the null
    null_high: float  # 97.5 %
    p: float  # share of the null at or above r, with r itself counted: (1 + exceeding) / (1 + shifts)


@dataclass(frozen=True)
class LipCorrelation:
    """Projections of sound and lips fitted on natural training sentences of one target."""

    mel_weights: np.ndarray  # [n_mels, K], standardisation within them
    lip_weights: np.ndarray  # [n_lips, K], the same
    training_r: np.ndarray  # [K], falling
    lip_deviation: float  # of the first lip variate in the training sentences
    fps: int

    @classmethod
    def fit(
        cls,
        sentences: Sequence[Streams],
        *,
        fps: int = 25,
        n_mel: int = N_MEL_COMPONENTS,
        n_lips: int = N_LIP_COMPONENTS,
        penalty: float = PENALTY,
    ) -> LipCorrelation:
        """Each sentence is centred by itself, so that what differs between sentences (emotion, level) is not fitted.

        Args:
            sentences: training sentences of the natural target, mel [T, n_mels] and lips [T, n_lips] each.
            n_mel, n_lips: principal components of each standardised side.
            penalty: ridge on them; 1 is the variance of one standardised dimension.
        Raises:
            RecordError: fewer frames than three for each component.
        """
        used = [_centred(mel, lips, _used(mel, lips, fps)) for mel, lips in sentences]
        n_frames = sum(len(mel) for mel, _ in used)
        if n_frames < 3 * (n_mel + n_lips):
            raise RecordError(
                f"lip correlation: {len(used)} training sentences have {n_frames} frames of speech with a face; "
                f"{n_mel} + {n_lips} components need {3 * (n_mel + n_lips)}. Give more sentences or fewer components."
            )
        mel, lips = (np.concatenate(side) for side in zip(*used, strict=True))
        mel_scale, lip_scale = _deviation(mel), _deviation(lips)
        pairs = canonical_pairs(mel / mel_scale, lips / lip_scale, n_a=n_mel, n_b=n_lips, penalty=penalty)
        mel_weights, lip_weights = pairs.a_weights / mel_scale[:, None], pairs.b_weights / lip_scale[:, None]
        return cls(mel_weights, lip_weights, pairs.r, float((lips @ lip_weights[:, 0]).std()), fps)

    @classmethod
    def fit_at_best_lag(
        cls, mel: np.ndarray, lips: np.ndarray, *, fps: int = 25, max_lag_frames: int = MAX_OFFSET_FRAMES
    ) -> LipCorrelation:
        """A fit on one long video of somebody of whom no training sentences are at hand.

        Its lips may be early or late, and a fit in place would take that for their way of speaking. So it is fitted at
        every lag, and that fit is kept whose pairs share most variance.

        Raises:
            RecordError: as `fit`.
        """
        n = min(len(mel), len(lips))
        fits = [
            cls.fit([(mel[max(0, -lag) : n - max(0, lag)], lips[max(0, lag) : n + min(0, lag)])], fps=fps)
            for lag in range(-max_lag_frames, max_lag_frames + 1)
        ]
        return max(fits, key=lambda fitted: float((fitted.training_r[:N_PAIRS] ** 2).sum()))

    @property
    def weights(self) -> np.ndarray:
        """[N_PAIRS], sum 1: what each pair counts when several are looked at, by the variance that it shares."""
        shared = self.training_r[:N_PAIRS] ** 2
        return shared / shared.sum()

    def variates(self, mel: np.ndarray, lips: np.ndarray) -> Streams:
        """[T, K] each; NaN outside the speech, where there is no face, and everywhere where the lips are frozen.

        Frozen: `lip_movement` under a tenth, which is the tracker's jitter.
        """
        used = _used(mel, lips, self.fps)
        out = np.full((2, len(used), len(self.training_r)), np.nan)
        if self.lip_movement(mel, lips) >= FROZEN_SHARE:
            heard, seen = _centred(mel, lips, used)
            out[:, used] = heard @ self.mel_weights, seen @ self.lip_weights
        return out[0], out[1]

    def lip_movement(self, mel: np.ndarray, lips: np.ndarray) -> float:
        """Deviation of the first lip variate in units of the training sentences'; NaN without a face in the speech.

        Correlation does not see how far lips move: conversion that dampens them keeps its r and shows here.
        """
        used = _used(mel, lips, self.fps)
        if not used.any():
            return float("nan")
        return float((lips[: len(used)][used] @ self.lip_weights[:, 0]).std() / self.lip_deviation)

    def score(self, mel: np.ndarray, lips: np.ndarray) -> float:
        """r of the first pair in one sentence, -1 to 1; NaN where the lips are frozen."""
        return float(self.scores(mel, lips)[0])

    def scores(self, mel: np.ndarray, lips: np.ndarray) -> np.ndarray:
        """r of every pair in one sentence, [K]; all NaN where the lips are frozen."""
        return _correlations(*self._known(mel, lips))

    def pooled(self, sentences: Sequence[Streams]) -> float:
        """r of the first pair over several sentences together, each centred by itself; frozen ones are left out."""
        known = [self._known(mel, lips) for mel, lips in sentences]
        heard, seen = (np.concatenate(side) for side in zip(*known, strict=True))
        return float(_correlations(heard, seen)[0])

    def null(self, mel: np.ndarray, lips: np.ndarray, n_shifts: int = 200) -> np.ndarray:
        """`score` with the lips shifted in a circle by 0.4 s or more, [<= n_shifts].

        Empty where the lips are frozen or less than 0.8 s of speech is left.
        """
        heard, seen = self._known(mel, lips)
        shifts = circular_shifts(len(heard), n_shifts, fps=self.fps)
        return np.array([correlation(heard[:, 0], np.roll(seen[:, 0], shift)) for shift in shifts])

    def beside_null(self, mel: np.ndarray, lips: np.ndarray, n_shifts: int = 200) -> BesideNull:
        """`score` with mean, range and exceedance of its null; NaN where either is missing."""
        return beside_null(self.score(mel, lips), self.null(mel, lips, n_shifts))

    def _known(self, mel: np.ndarray, lips: np.ndarray) -> Streams:
        heard, seen = self.variates(mel, lips)
        known = np.isfinite(seen[:, 0])
        return heard[known], seen[known]


def beside_null(r: float, null: np.ndarray) -> BesideNull:
    """A correlation beside a null of shifted streams."""
    if np.isnan(r) or not len(null):
        return BesideNull(r, *[float("nan")] * 4)
    low, high = np.percentile(null, (2.5, 97.5))
    p = (1 + int((null >= r).sum())) / (1 + len(null))
    return BesideNull(r, float(null.mean()), float(low), float(high), p)


def circular_shifts(n_frames: int, n_shifts: int, *, fps: int) -> np.ndarray:
    """At most `n_shifts` different shifts, evenly spread, that leave no frame within 0.4 s of its own place."""
    least = round(MIN_SHIFT_SECONDS * fps)
    shifts = np.arange(least, n_frames - least + 1)
    return shifts if len(shifts) <= n_shifts else shifts[np.linspace(0, len(shifts) - 1, n_shifts).astype(int)]


def naive_canonical_r(mel: np.ndarray, lips: np.ndarray) -> float:
    """The first canonical correlation of one sentence in all dimensions, as others report it: see NAIVE_MEANING."""
    known = np.isfinite(mel).all(axis=1) & np.isfinite(lips).all(axis=1)
    if known.sum() < 3:
        return float("nan")
    r = canonical_pairs(mel[known], lips[known]).r
    return float(r[0].clip(0, 1)) if len(r) else float("nan")


def naive_null(mel: np.ndarray, lips: np.ndarray, n_shifts: int = 20, *, fps: int = 25) -> np.ndarray:
    """`naive_canonical_r` with the lips shifted in a circle, [<= n_shifts]."""
    return np.array(
        [naive_canonical_r(mel, np.roll(lips, k, axis=0)) for k in circular_shifts(len(mel), n_shifts, fps=fps)]
    )


def _used(mel: np.ndarray, lips: np.ndarray, fps: int) -> np.ndarray:
    """bool [T]: frames within the speech whose sound and lips are known."""
    n = min(len(mel), len(lips))
    return utterance_frames(mel[:n], fps=fps) & np.isfinite(mel[:n]).all(axis=1) & np.isfinite(lips[:n]).all(axis=1)


def _centred(mel: np.ndarray, lips: np.ndarray, used: np.ndarray) -> Streams:
    """The used frames of one sentence, each dimension without its mean over them."""
    mel, lips = mel[: len(used)][used], lips[: len(used)][used]
    return (mel - mel.mean(axis=0), lips - lips.mean(axis=0)) if used.any() else (mel, lips)


def _correlations(heard: np.ndarray, seen: np.ndarray) -> np.ndarray:
    return np.array([correlation(a, b) for a, b in zip(heard.T, seen.T, strict=True)])


def _deviation(values: np.ndarray) -> np.ndarray:
    """[n], 1 where a dimension does not vary."""
    deviation = values.std(axis=0)
    return np.where(deviation > 1e-9, deviation, 1.0)
