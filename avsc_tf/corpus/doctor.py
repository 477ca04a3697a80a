"""The corpus doctor: is each pair of takes fit to train on, and if not, whose take is to be recorded again, and why.

Measures come in as `ClipCheck` and `PairCheck`; `judge` gives a `Verdict` an utterance. Thresholds are settings
(`DoctorConfig`); loudness, duration, cost and margin are judged against the corpus itself.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from avsc_tf.core.config import DoctorConfig
from avsc_tf.core.schema import SPEAKERS
from avsc_tf.corpus.take_rules import LEVELS, Level, Reason, take_reasons
from avsc_tf.features.health import SoundHealth

MAX_CROP_POINTS = 100
_MIN_FOR_MEDIAN = 5  # clips or pairs; of fewer nothing is usual
_MAD_TO_DEVIATION = 1.4826  # of a normal distribution
_SMALLEST_DEVIATION_SHARE = 0.03  # of the median: pairs alike to the last digit are no measure of spread
_SHORTEST_PAUSE_SECONDS = 1e-6

Kind = Literal["pair", "left_out", "alone"]
_Check = TypeVar("_Check")
_Name = TypeVar("_Name", str, tuple[str, str])


@dataclass(frozen=True)
class ClipCheck:
    """Measures of one take; all but the first three are None where `error` says why it could not be used."""

    speaker: str  # one of schema.SPEAKERS
    utterance: str
    file: str
    seconds: float | None = None
    n_frames: int | None = None
    face_share: float | None = None  # frames with a face, 0 to 1, before gaps were filled
    gaps: tuple[tuple[float, float], ...] | None = None  # filled, start and end in seconds
    n_faces: int | None = None  # most seen at once
    crop_centres: np.ndarray | Sequence[tuple[float, float]] | None = None  # [T, 2] pixels of the frame; see thinned
    crop_side: float | None = None  # pixels of the frame
    frame_size: tuple[int, int] | None = None  # width, height
    sound: SoundHealth | None = None
    sync_offset_seconds: float | None = None  # None: no separate sound
    sync_drift_ppm: float | None = None
    sync_confidence: float | None = None
    notes: tuple[str, ...] = ()  # what the files hold beside one plain recording, and what was chosen of it
    error: str | None = None


@dataclass(frozen=True)
class PairCheck:
    """Measures of two takes of one utterance; None where `error` says why they could not be aligned."""

    utterance: str
    sentence: str = ""
    emotion: str = ""
    split: str = ""
    duration_ratio: float | None = None  # target / source
    cost: float | None = None  # mean cost of a step of the path
    cohort_cost: float | None = None  # typical cost against other sentences
    margin: float | None = None  # how clearly the pair beats the others; larger is better
    is_pair: bool | None = None  # None: not known
    path: np.ndarray | None = None  # int [steps, 2], source frame and target frame
    error: str | None = None
    doubt: str | None = None  # why it may be none: margin, and what matches better


@dataclass(frozen=True)
class Verdict:
    """What to do about one utterance."""

    utterance: str
    level: Level
    reasons: tuple[Reason, ...]  # the gravest first
    kind: Kind  # "left_out": both takes were there; "alone": one speaker has no take

    @property
    def to_blame(self) -> tuple[str, ...]:
        """Speakers whose takes the gravest reasons name; both where either may be wrong; none where all is well."""
        gravest = [reason.speaker for reason in self.reasons if reason.level == self.level != "ok"]
        return tuple(s for s in SPEAKERS if s in gravest or "" in gravest)


@dataclass(frozen=True)
class _Usual:
    """What is usual in this corpus; None or missing where there is too little to know."""

    loudness_lufs: Mapping[tuple[str, str], float]  # (speaker, emotion); emotion "" is all of the speaker's
    duration_ratio: float | None
    highest_cost: float | None
    lowest_margin: float | None


def thinned(points: np.ndarray, at_most: int = MAX_CROP_POINTS) -> np.ndarray:
    """Rows of [n, ...] evenly chosen, the first and the last among them."""
    if len(points) <= at_most:
        return points
    return points[np.round(np.linspace(0, len(points) - 1, at_most)).astype(int)]


def judge(clips: Iterable[ClipCheck], pairs: Iterable[PairCheck], doctor_config: DoctorConfig) -> list[Verdict]:
    """A verdict an utterance, sorted by name: of pairs, of pairs left out, and of takes without a partner.

    Raises:
        ValueError: one take or one pair is named twice.
    """
    takes = _by_name(clips, lambda clip: (clip.utterance, clip.speaker))
    paired = _by_name(pairs, lambda pair: pair.utterance)
    usual = _usual(list(takes.values()), paired, doctor_config)
    verdicts = []
    for utterance in sorted({name for name, _ in takes} | paired.keys()):
        both = [takes[utterance, speaker] for speaker in SPEAKERS if (utterance, speaker) in takes]
        verdicts.append(_verdict(utterance, both, paired.get(utterance), usual, doctor_config))
    return verdicts


def _by_name(items: Iterable[_Check], key: Callable[[_Check], _Name]) -> dict[_Name, _Check]:
    named: dict[_Name, _Check] = {}
    for item in items:
        if key(item) in named:
            raise ValueError(f"{key(item)} is named twice; a take or a pair is checked once")
        named[key(item)] = item
    return named


def _verdict(
    utterance: str, takes: Sequence[ClipCheck], pair: PairCheck | None, usual: _Usual, doctor: DoctorConfig
) -> Verdict:
    emotion = pair.emotion if pair else ""
    reasons: list[Reason] = []
    for take in takes:
        loudness = usual.loudness_lufs.get((take.speaker, emotion), usual.loudness_lufs.get((take.speaker, "")))
        reasons += take_reasons(take, doctor, usual_loudness_lufs=loudness)
    kind: Kind = "pair"
    if pair is None and len(takes) == 1:
        kind = "alone"
        reasons.append(_no_partner(takes[0]))
    elif pair is None or pair.error is not None or any(take.error is not None for take in takes):
        kind = "left_out"
        reasons += _left_out(pair, takes)
    else:
        reasons += _pair_reasons(pair, takes, usual, doctor)
    reasons.sort(key=lambda reason: -LEVELS.index(reason.level))
    level = reasons[0].level if reasons else "ok"
    return Verdict(utterance, level, tuple(reasons), kind)


def _no_partner(take: ClipCheck) -> Reason:
    missing = next(speaker for speaker in SPEAKERS if speaker != take.speaker)
    return Reason("alone", "look", missing, "no take of this utterance", "record it, or check the file's name")


def _left_out(pair: PairCheck | None, takes: Sequence[ClipCheck]) -> list[Reason]:
    """The error of a pair, unless a take's own error says it already."""
    if any(take.error is not None for take in takes):
        return []
    error = pair.error if pair is not None and pair.error is not None else "No pair was made of it."
    return [Reason("left_out", "record_again", "", f"left out. {error}", "")]


def _pair_reasons(pair: PairCheck, takes: Sequence[ClipCheck], usual: _Usual, doctor: DoctorConfig) -> list[Reason]:
    return [*_matching(pair, usual), *_duration(pair, usual, doctor), *_stalls(pair, takes, doctor)]


def _matching(pair: PairCheck, usual: _Usual) -> list[Reason]:
    cost = "" if pair.cost is None else f"cost {pair.cost:.2f}"
    if pair.is_pair is False:
        others = "" if pair.cohort_cost is None else f", other sentences {pair.cohort_cost:.2f}"
        about = f" ({cost}{others})" if cost else ""
        remedy = "check the files' names, or record again the one that is wrong"
        return [Reason("no_pair", "record_again", "", f"the takes seem to say different sentences{about}", remedy)]
    remedy = "listen whether both say the same words"
    if pair.doubt is not None:
        return [Reason("doubtful", "look", "", f"hardly closer than other sentences ({pair.doubt})", remedy)]
    if pair.cost is not None and usual.highest_cost is not None and pair.cost > usual.highest_cost:
        return [Reason("cost", "look", "", f"the takes match worse than the corpus ({cost})", remedy)]
    if pair.margin is not None and usual.lowest_margin is not None and pair.margin < usual.lowest_margin:
        finding = f"hardly closer than other sentences (margin {pair.margin:.2f})"
        return [Reason("margin", "look", "", finding, remedy)]
    return []


def _duration(pair: PairCheck, usual: _Usual, doctor: DoctorConfig) -> list[Reason]:
    if pair.duration_ratio is None or usual.duration_ratio is None:
        return []
    factor = pair.duration_ratio / usual.duration_ratio
    if max(factor, 1 / factor) <= doctor.look_duration_factor:
        return []
    word = "longer" if factor > 1 else "shorter"
    finding = (
        f"target {pair.duration_ratio:.2f} times as long as the source, {word} than usual ({usual.duration_ratio:.2f})"
    )
    if max(factor, 1 / factor) > doctor.record_duration_factor:
        return [
            Reason("duration", "record_again", "", finding, "words are missing or added; record the wrong one again")
        ]
    return [Reason("duration", "look", "", finding, "listen for a pause, a slip or other words")]


def _stalls(pair: PairCheck, takes: Sequence[ClipCheck], doctor: DoctorConfig) -> list[Reason]:
    """Where one take goes on while the other waits: a pause or a false start that the other does not have."""
    fps = next((t.n_frames / t.seconds for t in takes if t.n_frames and t.seconds), None)
    if pair.path is None or len(pair.path) == 0 or fps is None:
        return []
    reasons = []
    for axis, speaker in enumerate(SPEAKERS):  # this one goes on
        begin, end = longest_stall(np.asarray(pair.path), waiting=1 - axis)
        if (end - begin) / fps > doctor.max_stall_seconds + _SHORTEST_PAUSE_SECONDS:
            finding = f"goes on at {begin / fps:.1f}\N{EN DASH}{end / fps:.1f} s where the other waits"
            reasons.append(Reason("stall", "look", speaker, finding, "listen for a pause or a false start"))
    return reasons


def longest_stall(path: np.ndarray, *, waiting: int) -> tuple[int, int]:
    """First and last frame of the going one during its longest run against one frame of the waiting one.

    At both ends of the path one take's silence is longer than the other's, as it may be: those runs do not count.
    """
    waits, goes = path[:, waiting], path[:, 1 - waiting]
    starts = np.flatnonzero(np.diff(waits, prepend=waits[0] - 1))
    ends = np.append(starts[1:], len(waits)) - 1
    inner = [(int(goes[b]), int(goes[e])) for b, e in zip(starts[1:-1], ends[1:-1], strict=True)]
    return max(inner, key=lambda run: run[1] - run[0], default=(0, 0))


def _usual(clips: Sequence[ClipCheck], pairs: Mapping[str, PairCheck], doctor: DoctorConfig) -> _Usual:
    good = [pair for pair in pairs.values() if pair.error is None and pair.is_pair is not False]
    ratios = [math.log(pair.duration_ratio) for pair in good if pair.duration_ratio]
    median_ratio = _median(ratios)
    return _Usual(
        loudness_lufs=_usual_loudness(clips, pairs, doctor),
        duration_ratio=None if median_ratio is None else math.exp(median_ratio),
        highest_cost=_outlier_bound([p.cost for p in good if p.cost is not None], doctor.look_deviations),
        lowest_margin=_outlier_bound([p.margin for p in good if p.margin is not None], -doctor.look_deviations),
    )


def _usual_loudness(
    clips: Sequence[ClipCheck], pairs: Mapping[str, PairCheck], doctor: DoctorConfig
) -> dict[tuple[str, str], float]:
    """Medians of a speaker's takes of each emotion (anger is louder than sadness) and of all, of five and more."""
    groups: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    for clip in clips:
        if clip.sound is None or clip.sound.loudness_lufs < doctor.record_loudness_lufs:
            continue
        emotion = pairs[clip.utterance].emotion if clip.utterance in pairs else ""
        for key in {(clip.speaker, emotion), (clip.speaker, "")}:
            groups[key].append(clip.sound.loudness_lufs)
    medians = {key: _median(levels) for key, levels in groups.items()}
    return {key: median for key, median in medians.items() if median is not None}


def _median(values: Sequence[float]) -> float | None:
    return float(np.median(values)) if len(values) >= _MIN_FOR_MEDIAN else None


def _outlier_bound(values: Sequence[float], deviations: float) -> float | None:
    """The median and so many robust standard deviations above (or, negative, below) it."""
    median = _median(values)
    if median is None:
        return None
    spread = _MAD_TO_DEVIATION * float(np.median(np.abs(np.asarray(values) - median)))
    return median + deviations * max(spread, _SMALLEST_DEVIATION_SHARE * abs(median))
