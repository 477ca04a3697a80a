"""The rows of report.html: text, sort key and colour of every cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from avsc_tf.core.schema import SPEAKERS
from avsc_tf.corpus import drawings
from avsc_tf.corpus.doctor import ClipCheck, PairCheck, Verdict
from avsc_tf.corpus.take_rules import LEVELS

MISSING = "\N{EN DASH}"
LABELS = {"ok": "ok", "look": "look", "record_again": "record again"}


@dataclass(frozen=True)
class Column:
    """A measure of both takes: how it is written, how it sorts, and which rules colour it."""

    value: Callable[[ClipCheck], float | None]
    text: Callable[[float], str]
    worst: Callable[[Sequence[float]], float]  # of the two takes
    rules: tuple[str, ...]


def _of_sound(measure: str) -> Callable[[ClipCheck], float | None]:
    return lambda clip: None if clip.sound is None else getattr(clip.sound, measure)


def number(value: float | None, decimals: int) -> str:
    """With a true minus sign, and a dash where there is nothing."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.lstrip("-")


def _share(value: float) -> str:
    if value >= 1:
        return "100 %"
    return f"{min(99.9, value * 100):.1f} %"


def _clipped(value: float) -> str:
    if value == 0:
        return "none"
    return f"{value * 100:.2g} %" if value >= 1e-4 else "< 0.01 %"


def _largest(values: Sequence[float]) -> float:
    return max(abs(value) for value in values)


COLUMNS: dict[str, Column] = {
    "face": Column(lambda clip: clip.face_share, _share, min, ("face",)),
    "loudness": Column(_of_sound("loudness_lufs"), lambda v: number(v, 1), min, ("loudness", "silent")),
    "peak": Column(_of_sound("true_peak_dbfs"), lambda v: number(v, 1), max, ()),
    "clipped": Column(_of_sound("clipped_share"), _clipped, max, ("clipping",)),
    "snr": Column(_of_sound("snr_db"), lambda v: number(v, 0), min, ("noise",)),
    "offset": Column(
        lambda clip: None if clip.sync_offset_seconds is None else clip.sync_offset_seconds * 1000,
        lambda v: number(v, 1),
        _largest,
        ("sync", "drift"),
    ),
}
_CROP_RULES = ("faces", "small_face", "edge", "travel")
_PAIR_RULES = {"cost": ("no_pair", "doubtful", "cost", "margin"), "ratio": ("duration",)}


def table_rows(
    verdicts: Sequence[Verdict], takes: Mapping[tuple[str, str], ClipCheck], paired: Mapping[str, PairCheck]
) -> list[dict[str, Any]]:
    """A row a verdict, in their order, ready for the template."""
    rows = []
    for verdict in verdicts:
        both = {speaker: takes.get((verdict.utterance, speaker)) for speaker in SPEAKERS}
        rows.append(_row(verdict, both, paired.get(verdict.utterance)))
    return rows


def _row(verdict: Verdict, takes: Mapping[str, ClipCheck | None], pair: PairCheck | None) -> dict[str, Any]:
    sentence = pair.sentence if pair is not None and pair.sentence != verdict.utterance else ""
    return {
        "verdict": verdict,
        "rank": LEVELS.index(verdict.level),
        "sentence": sentence,
        "emotion": pair.emotion if pair is not None else "",
        "split": pair.split if pair is not None else "",
        "ratio": _pair_cell(verdict, "ratio", pair.duration_ratio if pair else None, 2),
        "cost": _pair_cell(verdict, "cost", pair.cost if pair else None, 3),
        "margin": number(pair.margin, 3) if pair is not None and pair.margin is not None else "",
        "path": drawings.path_plot(None if pair is None else pair.path, _kind(verdict, ("stall",), None)),
        "takes": {name: _take_cell(verdict, column, takes) for name, column in COLUMNS.items()},
        "crops": [_crop(takes[speaker], speaker, _kind(verdict, _CROP_RULES, speaker)) for speaker in SPEAKERS],
    }


def _pair_cell(verdict: Verdict, column: str, value: float | None, decimals: int) -> dict[str, Any]:
    return {
        "text": number(value, decimals),
        "sort": _sort_key(value),
        "kind": _kind(verdict, _PAIR_RULES[column], None),
    }


def _take_cell(verdict: Verdict, column: Column, takes: Mapping[str, ClipCheck | None]) -> dict[str, Any]:
    values = {s: None if clip is None else column.value(clip) for s, clip in takes.items()}
    known = [value for value in values.values() if value is not None]
    return {
        "sort": _sort_key(column.worst(known) if known else None),
        "values": [
            {
                "speaker": speaker,
                "text": MISSING if value is None else column.text(value),
                "kind": _kind(verdict, column.rules, speaker),
            }
            for speaker, value in values.items()
        ],
    }


def _kind(verdict: Verdict, rules: Sequence[str], speaker: str | None) -> str:
    """The gravest level of those reasons that a cell shows."""
    levels = [
        LEVELS.index(reason.level)
        for reason in verdict.reasons
        if reason.rule in rules and speaker in (None, reason.speaker)
    ]
    return LEVELS[max(levels, default=0)]


def _sort_key(value: float | None) -> str:
    return "" if value is None or not math.isfinite(value) else f"{value:.6g}"


def _crop(clip: ClipCheck | None, speaker: str, kind: str) -> Any:
    if clip is None:
        return ""
    return drawings.crop_plot(clip.crop_centres, clip.crop_side, clip.frame_size, speaker, kind)
