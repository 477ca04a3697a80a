"""report.json and report.html of a records folder: what was measured of each pair, and what to record again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup, escape

from avsc_tf.core.config import Config
from avsc_tf.core.files import write_atomically
from avsc_tf.core.schema import SPEAKERS
from avsc_tf.corpus import drawings
from avsc_tf.corpus.doctor import ClipCheck, PairCheck, Verdict, thinned
from avsc_tf.corpus.report_rows import LABELS, table_rows
from avsc_tf.corpus.take_rules import LEVELS, Reason

JSON_NAME = "report.json"
HTML_NAME = "report.html"
SCHEMA_VERSION = 1
_PATH_POINTS = 100  # of a path in report.json
Takes = Mapping[tuple[str, str], ClipCheck]
Pairs = Mapping[str, PairCheck]
FolderNotes = Mapping[str, Sequence[str]]
_DECIMALS = {"seconds": 3, "share": 5, "lufs": 2, "dbfs": 2, "db": 2, "ppm": 1, "px": 1, "offset": 5}


def write_report(
    out_dir: Path,
    clips: Sequence[ClipCheck],
    pairs: Sequence[PairCheck],
    verdicts: Sequence[Verdict],
    *,
    config: Config,
    counts: Mapping[str, int],
    folder_notes: FolderNotes = MappingProxyType({}),
) -> None:
    """Write both files beside, then rename them. The same measures give the same bytes.

    Args:
        verdicts: of `doctor.judge`; they give the rows and their order by name.
        counts: examples by shard, as in the manifest.
        folder_notes: by speaker, what was assumed of the clip folder or left unused in it.
    """
    takes = {(clip.utterance, clip.speaker): clip for clip in clips}
    paired = {pair.utterance: pair for pair in pairs}
    tree = _tree(takes, paired, verdicts, config, counts, folder_notes)
    text = _json(tree)
    page = _page(takes, paired, verdicts, tree)
    for name, content in ((JSON_NAME, text), (HTML_NAME, page)):
        write_atomically(out_dir / name, content)


def _tree(
    takes: Takes,
    paired: Pairs,
    verdicts: Sequence[Verdict],
    config: Config,
    counts: Mapping[str, int],
    folder_notes: FolderNotes,
) -> dict[str, Any]:
    """Everything as plain values, for report.json."""
    return {
        "schema_version": SCHEMA_VERSION,
        "fingerprint": config.fingerprint,
        "thresholds": asdict(config.doctor),
        "counts": dict(counts),
        "summary": _summary(takes, verdicts),
        "folders": {speaker: list(folder_notes.get(speaker, ())) for speaker in SPEAKERS},
        "record_again": [
            {"utterance": v.utterance, "speakers": list(v.to_blame), "reasons": [r.text for r in _gravest(v)]}
            for v in verdicts
            if v.level == "record_again"
        ],
        "utterances": [_entry(takes, paired.get(verdict.utterance), verdict) for verdict in verdicts],
    }


def _json(tree: Mapping[str, Any]) -> str:
    """A line an entry of the long lists: neither one line of megabytes nor a line a number."""
    parts = []
    for name, value in tree.items():
        if isinstance(value, list):
            lines = ",\n".join("  " + json.dumps(item, ensure_ascii=False, allow_nan=False) for item in value)
            parts.append(f' "{name}": [\n{lines}\n ]' if value else f' "{name}": []')
        else:
            parts.append(f' "{name}": ' + json.dumps(value, ensure_ascii=False, allow_nan=False))
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _summary(takes: Takes, verdicts: Sequence[Verdict]) -> dict[str, Any]:
    seconds = {s: sum(c.seconds or 0.0 for c in takes.values() if c.speaker == s) for s in SPEAKERS}
    return {
        **{level: sum(v.level == level for v in verdicts) for level in LEVELS},
        "pairs": sum(v.kind == "pair" for v in verdicts),
        "left_out": sum(v.kind == "left_out" for v in verdicts),
        "alone": sum(v.kind == "alone" for v in verdicts),
        "minutes": {speaker: round(total / 60, 2) for speaker, total in seconds.items()},
    }


def _gravest(verdict: Verdict) -> list[Reason]:
    return [reason for reason in verdict.reasons if reason.level == verdict.level]


def _entry(takes: Takes, pair: PairCheck | None, verdict: Verdict) -> dict[str, Any]:
    return {
        "utterance": verdict.utterance,
        "kind": verdict.kind,
        "verdict": verdict.level,
        "to_blame": list(verdict.to_blame),
        "reasons": [asdict(reason) for reason in verdict.reasons],
        "pair": None if pair is None else _plain_pair(pair),
        **{s: _plain_take(takes.get((verdict.utterance, s))) for s in SPEAKERS},
    }


def _plain_pair(pair: PairCheck) -> dict[str, Any]:
    path = None if pair.path is None else thinned(np.asarray(pair.path), _PATH_POINTS).tolist()
    numbers = {
        name: _rounded(name, getattr(pair, name), 4) for name in ("duration_ratio", "cost", "cohort_cost", "margin")
    }
    labels = {name: getattr(pair, name) for name in ("sentence", "emotion", "split")}
    return {**labels, **numbers, "is_pair": pair.is_pair, "doubt": pair.doubt, "path": path, "error": pair.error}


def _plain_take(clip: ClipCheck | None) -> dict[str, Any] | None:
    if clip is None:
        return None
    tree: dict[str, Any] = {"file": clip.file, "error": clip.error, "n_frames": clip.n_frames, "n_faces": clip.n_faces}
    for name in ("seconds", "face_share", "sync_offset_seconds", "sync_drift_ppm", "sync_confidence"):
        tree[name] = _rounded(name, getattr(clip, name), 3)
    tree["gaps"] = [[round(float(end), 3) for end in gap] for gap in clip.gaps or ()]
    tree["frame_size"] = None if clip.frame_size is None else [int(size) for size in clip.frame_size]
    tree["crop_side_px"] = _rounded("px", clip.crop_side, 1)
    centres = () if clip.crop_centres is None else thinned(np.asarray(clip.crop_centres, float))
    tree["crop_centres_px"] = [[round(float(x), 1) for x in centre] for centre in centres]
    sound = asdict(clip.sound) if clip.sound is not None else None
    tree["sound"] = None if sound is None else {name: _rounded(name, value, 5) for name, value in sound.items()}
    return tree


def _rounded(name: str, value: Any, decimals: int) -> float | None:
    """By the unit at the end of a name, where it is one of `_DECIMALS`; a value that is no number is None."""
    if value is None or not np.isfinite(value):
        return None
    places = _DECIMALS["offset"] if "offset" in name else _DECIMALS.get(name.rsplit("_", 1)[-1], decimals)
    return round(float(value), places) + 0.0  # no negative zero


def anchor(utterance: str) -> str:
    """Name of an utterance's row in the page: the same in every report, whatever script it is written in."""
    return "u" + hashlib.sha256(utterance.encode()).hexdigest()[:10]


def breakable(utterance: str) -> Markup:
    """Escaped, and a line may end after each underscore."""
    return Markup(str(escape(utterance)).replace("_", "_<wbr>"))


def _page(takes: Takes, paired: Pairs, verdicts: Sequence[Verdict], tree: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(anchor=anchor, breakable=breakable)
    worst_first = sorted(verdicts, key=lambda v: (-LEVELS.index(v.level), v.utterance))
    return environment.get_template(HTML_NAME).render(
        summary=tree["summary"],
        counts=tree["counts"],
        fingerprint=tree["fingerprint"],
        labels=LABELS,
        again=_to_record(worst_first, paired),
        look=[(v, _gravest(v)) for v in worst_first if v.level == "look" and v.kind == "pair"],
        alone=[v for v in worst_first if v.kind == "alone"],
        rows=table_rows(worst_first, takes, paired),
        emotions=sorted({pair.emotion for pair in paired.values() if pair.emotion}),
        splits=sorted({pair.split for pair in paired.values() if pair.split}),
        speakers=[_speaker(speaker, takes, verdicts, tree["folders"][speaker]) for speaker in SPEAKERS],
        ratios=_ratios(paired),
    )


def _to_record(verdicts: Sequence[Verdict], paired: Pairs) -> list[dict[str, Any]]:
    """By whom is to come back: what to read again and why."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {("source",): [], ("target",): [], SPEAKERS: []}
    for verdict in verdicts:
        if verdict.level == "record_again":
            pair = paired.get(verdict.utterance)
            sentence = pair.sentence if pair is not None and pair.sentence != verdict.utterance else ""
            item = {"utterance": verdict.utterance, "sentence": sentence, "reasons": _gravest(verdict)}
            groups[verdict.to_blame].append(item)
    titles = {("source",): "Source speaker", ("target",): "Target speaker", SPEAKERS: "One of the two, or both"}
    return [{"title": titles[who], "items": items} for who, items in groups.items() if items]


def _speaker(speaker: str, takes: Takes, verdicts: Sequence[Verdict], notes: Sequence[str]) -> dict[str, Any]:
    clips = [clip for clip in takes.values() if clip.speaker == speaker]
    heard = [clip for clip in clips if clip.sound is not None]
    flagged = {(v.utterance, reason.rule) for v in verdicts for reason in v.reasons if reason.speaker == speaker}

    def levels(measure: str, rules: Sequence[str]) -> tuple[list[float], list[float]]:
        values = [(clip.utterance, round(getattr(clip.sound, measure), 2)) for clip in heard]
        return [x for _, x in values], [x for name, x in values if any((name, rule) in flagged for rule in rules)]

    loudness, snr = levels("loudness_lufs", ("loudness", "silent")), levels("snr_db", ("noise",))
    return {
        "name": speaker,
        "takes": len(clips),
        "unusable": sum(clip.error is not None for clip in clips),
        "minutes": sum(clip.seconds or 0.0 for clip in clips) / 60,
        "notes": notes,
        "loudness": drawings.strip(*loudness, unit="LUFS", step=6, label=f"Loudness of the {speaker}'s takes"),
        "loudness_median": float(np.median(loudness[0])) if heard else None,
        "snr": drawings.strip(*snr, unit="dB", step=10, label=f"Speech above pauses in the {speaker}'s takes"),
        "snr_median": float(np.median(snr[0])) if heard else None,
    }


def _ratios(paired: Pairs) -> dict[str, Any]:
    ratios = [pair.duration_ratio for pair in paired.values() if pair.duration_ratio]
    return {
        "n": len(ratios),
        "median": float(np.median(ratios)) if ratios else None,
        "plot": drawings.ratio_histogram(ratios, "Duration of the target's takes divided by the source's"),
    }
