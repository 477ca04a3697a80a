"""Pair or not: what a pair costs beside what the same clips cost with other sentences.

A path's cost depends on the two voices and on the recording, so that no threshold on it holds for all corpora. The
costs of the same source with other targets, and of other sources with the same target (the cohort), depend on them
alike: in deviations of the cohort's log costs, matching sentences stand far below 0 and others around it.

Sound only, in small descriptors (160 bytes a video frame), in which the parts that speak weigh most. Lips do not help
here (docs/alignment.md).
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from avsc_tf.alignment.dtw import check_size, rms_distance, tie_mel, warping_path
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.statistics import Statistics
from avsc_tf.signal.speech import speech_activity

BANDS, PARTS = 20, 4  # of a descriptor: means of mel bands, and of the mel frames in a video frame
POOL_CLIPS = 64  # descriptors kept of a speaker: the memory of a corpus of any length is flat
MIN_COHORT = 3  # other sentences on a side; fewer say nothing
# A cohort of eight is a poor estimate of a deviation: it is taken together with PRIOR_WEIGHT sentences of
# PRIOR_DEVIATION, the usual deviation of log costs.
PRIOR_DEVIATION, PRIOR_WEIGHT = 0.06, 6
# Verdicts by margin. A corpus of many words separates well (pairs near -7, others above -3), one of few words badly
# (GRID: pairs near -2.8, others above -2.3): half of the median margin of its named pairs, within limits, is near the
# point of equal errors in both.
STRICTEST, LOOSEST, USUAL = -4.0, -1.2, -2.5
DOUBT = 1.2  # deviations above the limit in which a pair is called doubtful, not refused
MAX_DURATION_RATIO = 3.0  # of the longer clip's speech to the shorter's: nobody says a sentence so much more slowly

Verdict = Literal["pair", "doubtful", "no pair", "not compared"]


@dataclass(frozen=True)
class ClipDescriptor:
    """A clip as small as telling sentences apart allows."""

    name: str
    sentence: str  # what is said; clips of the same sentence are no cohort of each other
    mel: np.ndarray  # [T, PARTS * BANDS] float16, standardised
    activity: np.ndarray  # [T] float16, 0 silence to 1 speech

    @property
    def speech_frames(self) -> float:
        """Video frames of speech, weighed by their activity."""
        return float(self.activity.sum(dtype=np.float64))


@dataclass(frozen=True)
class PairMatch:
    """How two clips match."""

    cost: float  # mean over the speech on the path, standardised
    cohort_cost: float  # geometric mean of the costs with other sentences; nan without a cohort
    margin: float  # deviations of the cohort's log costs, negative is better; nan without a cohort
    straightness: float  # 1: evenly slower or faster; 0: one clip stands while the other runs
    duration_ratio: float  # target's speech divided by the source's
    better: str  # the clip of the cohort that matches better than the named partner; "" where none does
    verdict: Verdict
    reason: str

    @property
    def is_pair(self) -> bool:
        """False only where the clips are refused; look at `verdict` for doubtful ones."""
        return self.verdict != "no pair"


def describe(
    mel: np.ndarray, statistics: Statistics, speaker: str, *, name: str, sentence: str = "", timebase: Timebase
) -> ClipDescriptor:
    """Descriptor of a clip's mel spectrogram ([T * mel_per_video, n_mels], natural log, not standardised)."""
    standardised = statistics.standardise(speaker, "mel", mel)
    parts = int(np.gcd(PARTS, timebase.mel_per_video))
    frames = standardised.reshape(len(mel) * parts // timebase.mel_per_video, -1, mel.shape[1]).mean(axis=1)
    edges = np.linspace(0, mel.shape[1], min(BANDS, mel.shape[1]) + 1).astype(int)
    bands = np.add.reduceat(frames, edges[:-1], axis=1) / np.diff(edges)
    activity = speech_activity(mel, mel_fps=timebase.mel_fps).reshape(-1, timebase.mel_per_video).mean(axis=1)
    return ClipDescriptor(name, sentence or name, tie_mel(bands, parts).astype(np.float16), activity.astype(np.float16))


class Cohort:
    """Descriptors of one speaker to compare with: the same ones whatever the order in which clips are added."""

    def __init__(self, clips: Iterable[ClipDescriptor] = (), *, limit: int = POOL_CLIPS):
        self._limit = limit
        self._clips: dict[str, tuple[str, ClipDescriptor]] = {}  # name -> digest of the name, descriptor
        for clip in clips:
            self.add(clip)

    def add(self, clip: ClipDescriptor) -> None:
        """Keep the clip if its name's digest is among the `limit` lowest."""
        self._clips[clip.name] = (hashlib.sha256(clip.name.encode()).hexdigest(), clip)
        if len(self._clips) > self._limit:
            del self._clips[max(self._clips, key=lambda name: self._clips[name][0])]

    def nearest(self, clip: ClipDescriptor, k: int, *, apart_from: Sequence[ClipDescriptor]) -> list[ClipDescriptor]:
        """The `k` clips nearest to `clip` in length of speech, none of a name or a sentence in `apart_from`."""
        taken = {other.name for other in apart_from} | {other.sentence for other in apart_from}
        free = [other for _, other in self._clips.values() if not {other.name, other.sentence} & taken]

        def distance(other: ClipDescriptor) -> tuple[float, str]:
            return abs(np.log((other.speech_frames + 1) / (clip.speech_frames + 1))), other.name

        return sorted(free, key=distance)[:k]


def match_pair(
    source: ClipDescriptor,
    target: ClipDescriptor,
    *,
    sources: Cohort,
    targets: Cohort,
    cohort: int,
    limit: float = USUAL,
) -> PairMatch:
    """Compare two clips with each other and each with `cohort` other sentences of the other's speaker.

    Args:
        sources, targets: other clips of the two speakers (the pair's own may be among them).
        cohort: sentences to compare with on each side (`alignment.cohort`).
        limit: margin above which a pair is doubtful; `margin_limit` finds it for a corpus.

    Raises:
        AlignmentError: the clips are too long to align.
    """
    both = (source, target)
    cost, straightness = _path_cost(source, target)
    with_targets = {c.name: _path_cost(source, c)[0] for c in targets.nearest(target, cohort, apart_from=both)}
    with_sources = {c.name: _path_cost(c, target)[0] for c in sources.nearest(source, cohort, apart_from=both)}
    sides = [np.log(list(side.values())) for side in (with_targets, with_sources) if len(side) >= MIN_COHORT]
    found = PairMatch(
        cost=cost,
        cohort_cost=float(np.exp(np.mean([side.mean() for side in sides]))) if sides else float("nan"),
        margin=float(np.mean([_deviations(np.log(cost), side) for side in sides])) if sides else float("nan"),
        straightness=straightness,
        duration_ratio=(target.speech_frames + 1) / (source.speech_frames + 1),
        better=_better(cost, with_targets, with_sources),
        verdict="not compared",
        reason="",
    )
    return judge(found, limit=limit)


def margin_limit(margins: Iterable[float]) -> float:
    """Margin above which a pair of this corpus is doubtful, from those of all its named pairs (most are true)."""
    known = [margin for margin in margins if np.isfinite(margin)]
    return float(np.clip(np.median(known) / 2, STRICTEST, LOOSEST)) if len(known) >= MIN_COHORT else USUAL


def judge_corpus(matches: Mapping[str, PairMatch]) -> dict[str, PairMatch]:
    """All named pairs of a corpus judged by their common limit."""
    limit = margin_limit(match.margin for match in matches.values())
    return {name: judge(match, limit=limit) for name, match in matches.items()}


def judge(match: PairMatch, *, limit: float) -> PairMatch:
    """The same figures with the verdict under `limit`, and why."""
    ratio = max(match.duration_ratio, 1 / match.duration_ratio)
    better = f"; {match.better} matches better" if match.better else ""
    figures = f"margin {match.margin:.1f} to other sentences, limit {limit:.1f}{better}"
    verdict: Verdict
    if ratio > MAX_DURATION_RATIO:
        verdict, reason = "no pair", f"one clip speaks {ratio:.1f} times as long as the other"
    elif not np.isfinite(match.margin):
        verdict, reason = "not compared", f"fewer than {MIN_COHORT} other sentences to compare with"
    elif match.margin <= limit:
        verdict, reason = "pair", figures
    else:
        verdict, reason = ("doubtful" if match.margin <= limit + DOUBT else "no pair"), figures
    return dataclasses.replace(match, verdict=verdict, reason=reason)


def _path_cost(source: ClipDescriptor, target: ClipDescriptor) -> tuple[float, float]:
    """Mean cost of the path where either clip speaks, and the path's straightness."""
    check_size(len(source.mel), len(target.mel), name=f"{source.name} and {target.name}")
    cost = rms_distance(source.mel, target.mel)
    path = warping_path(cost)
    rows, columns = path.T
    weight = np.maximum(source.activity[rows], target.activity[columns]).astype(np.float64)
    along = path / np.maximum(np.array(cost.shape) - 1, 1)
    straightness = 1 - 2 * float(np.abs(along[:, 0] - along[:, 1]).mean())
    return float(np.average(cost[rows, columns], weights=weight + 1e-6)), straightness


def _deviations(value: float, others: np.ndarray) -> float:
    variance = len(others) * others.var() + PRIOR_WEIGHT * PRIOR_DEVIATION**2
    return float((value - others.mean()) / np.sqrt(variance / (len(others) + PRIOR_WEIGHT)))


def _better(cost: float, with_targets: Mapping[str, float], with_sources: Mapping[str, float]) -> str:
    """`target NAME` or `source NAME` of the cheapest clip of the cohort, if it is cheaper than the named partner."""
    candidates = [(c, f"target {name}") for name, c in with_targets.items()]
    candidates += [(c, f"source {name}") for name, c in with_sources.items()]
    cheapest = min(candidates, default=(cost, ""))
    return cheapest[1] if cheapest[0] < cost else ""
