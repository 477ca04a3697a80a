"""report.html of an evaluation of finished videos: one self-contained page, for the screen and for print."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import numpy as np

from avsc_tf.core.files import write_atomically
from avsc_tf.evaluation.plots import N_MOMENTS, telling_moments
from avsc_tf.evaluation.texts import MISSING, interval_text, number_text
from avsc_tf.evaluation.videos import drawings
from avsc_tf.evaluation.videos.catalogue import ARROWS, CATALOGUE, FIGURES, HEADLINES, SYNC, WHERE, Figure
from avsc_tf.evaluation.videos.material import (
    CONVERTED,
    RIDGE,
    ROWS,
    SOURCE,
    TARGET,
    VERSUS,
    Material,
    SentenceInfo,
)
from avsc_tf.evaluation.videos.measure import map_by_sound, time_map_between
from avsc_tf.evaluation.videos.watched import FPS, Watch, Watched
from avsc_tf.features.keypoints import mouth_opening

TEMPLATE = "videos/page.html"
MAX_SHEETS = 8
MAX_COLUMNS = 8
SHEET_ROWS = (SOURCE, CONVERTED, VERSUS, RIDGE, TARGET)
TITLES = {
    "voice": "Voice",
    "face": "Face",
    "sync": "Sound and lips together",
    "to_source": "What is left of the source",
}


def write_page(path: Path, found: Mapping[str, Any], material: Material, look: Watch) -> None:
    """Write the page beside, then rename it.

    Args:
        found: content of report.json.
        look: decodes the few videos that are drawn.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent.parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["png"] = lambda data: "data:image/png;base64," + base64.b64encode(data).decode()
    labels = found["about"]["rows"]
    text = environment.get_template(TEMPLATE).render(
        about=found["about"],
        labels=labels,
        tables=[_tables(name, found["tables"].get(name, {}), labels) for name in (*CATALOGUE, "to_source")],
        distribution=_distribution(found, labels),
        versus=_versus(found),
        differences=drawings.differences(found["versus"], labels[CONVERTED], labels.get(VERSUS, "")),
        emotions=_emotions(found),
        sentences=_sentences(found, material),
        extremes=_extremes(found, material, look),
        sheets=_sheets(material, look, labels),
        recipes=[(TITLES[table], figures) for table, figures in CATALOGUE.items()],
        arrows=ARROWS,
    )
    write_atomically(path, text)


def _tables(name: str, rows: Mapping[str, Any], labels: Mapping[str, str]) -> dict[str, Any]:
    """One table's figures in parts that fit on a page."""
    columns = CATALOGUE.get(name) or tuple(FIGURES[f] for f in next(iter(rows.values()), {}))
    columns = tuple(c for c in columns if any(_mean(rows, row, c.name) is not None for row in rows))
    n = max((entry["n"] for row in rows.values() for entry in row.values()), default=0)
    parts = []
    n_parts = -(-len(columns) // MAX_COLUMNS)
    for part in range(n_parts):
        chosen = columns[part * len(columns) // n_parts : (part + 1) * len(columns) // n_parts]
        lines = [
            {
                "label": labels.get(row, row),
                "ours": row in (CONVERTED, VERSUS),
                "cells": [_cell(rows[row].get(c.name) or {}, c, n) for c in chosen],
            }
            for row in ROWS
            if row in rows
        ]
        parts.append({"heads": _heads(chosen), "rows": lines})
    return {"name": name, "title": TITLES[name], "parts": parts, "n": n}


def _heads(columns: Sequence[Figure]) -> list[tuple[str, str]]:
    return [(c.title, ARROWS[c.better]) for c in columns]


def _mean(rows: Mapping[str, Any], row: str, name: str) -> float | None:
    return rows.get(row, {}).get(name, {}).get("mean")


def _cell(entry: Mapping[str, Any], column: Figure, n: int) -> dict[str, str]:
    own_n = f" n = {entry['n']}" if 0 < entry.get("n", 0) < n else ""
    interval = interval_text(entry, column.decimals)
    return {"value": number_text(entry.get("mean"), column.decimals), "interval": f"{interval}{own_n}".strip()}


def _distribution(found: Mapping[str, Any], labels: Mapping[str, str]) -> bytes | None:
    rows = found["tables"].get(SYNC, {})

    def values(row: str, name: str) -> list[float]:
        return [v for v in rows.get(row, {}).get(name, {}).get("sentences", {}).values() if v is not None]

    order = [row for row in (TARGET, CONVERTED, VERSUS, *ROWS) if row in rows]
    drawn = {row: values(row, "canonical_r") for row in dict.fromkeys(order)}
    if not any(drawn.values()):
        return None
    null = [_mean(rows, TARGET, name) for name in ("canonical_null", "canonical_null_high")]
    return drawings.correlation_distribution(drawn, labels, null)


def _versus(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    lines = []
    for table, by in found["versus"].items():
        for name, entry in by.items():
            column, rows = FIGURES[name], found["tables"][table]
            lines.append(
                {
                    "table": TITLES[table],
                    "title": f"{column.title} {ARROWS[column.better]}",
                    "first": number_text(_mean(rows, CONVERTED, name), column.decimals),
                    "second": number_text(_mean(rows, VERSUS, name), column.decimals),
                    "difference": number_text(entry["mean"], column.decimals + 1),
                    "interval": interval_text(entry, column.decimals + 1),
                    "p": _p(entry["p"]),
                    "p_holm": _p(entry["p_holm"]),
                    "n": entry["n"],
                    "better": entry["better"],
                    "headline": name in HEADLINES,
                }
            )
    return lines


def _p(p: float | None) -> str:
    return MISSING if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _emotions(found: Mapping[str, Any]) -> dict[str, Any] | None:
    """As the paper's Table 1: a row an emotion, for each headline figure the system and the one beside it."""
    if not found["by_emotion"]:
        return None
    overall = found["tables"]
    shown = [n for n in HEADLINES if _mean(overall.get(WHERE[n], {}), CONVERTED, n) is not None]
    rows_shown = [row for row in (CONVERTED, VERSUS) if row in overall[WHERE[shown[0]]]] if shown else []
    lines = []
    for emotion, tables in (*found["by_emotion"].items(), ("all", overall)):
        cells = []
        for name in shown:
            for row in rows_shown:
                entry = tables.get(WHERE[name], {}).get(row, {}).get(name) or {}
                cells.append(number_text(entry.get("mean"), FIGURES[name].decimals))
        lines.append({"label": emotion.replace("_", ", "), "cells": cells, "all": emotion == "all"})
    return {"heads": _heads([FIGURES[n] for n in shown]), "systems": rows_shown, "rows": lines}


def _sentences(found: Mapping[str, Any], material: Material) -> dict[str, Any]:
    """The headline figures of the judged system, a row a sentence."""
    by = {n: found["tables"].get(WHERE[n], {}).get(CONVERTED, {}).get(n, {}).get("sentences", {}) for n in HEADLINES}
    shown = [name for name in HEADLINES if by[name]]
    lines = [
        {
            "label": sentence.utterance,
            "text": "" if sentence.text == sentence.utterance else sentence.text,
            "cells": [number_text(by[name].get(sentence.utterance), FIGURES[name].decimals) for name in shown],
        }
        for sentence in material.sentences
    ]
    return {"heads": _heads([FIGURES[n] for n in shown]), "rows": lines}


def _extremes(found: Mapping[str, Any], material: Material, look: Watch) -> list[dict[str, Any]]:
    """The sentences of the least and the largest mel-cepstral distortion."""
    by = found["tables"].get("voice", {}).get(CONVERTED, {}).get("mcd_db", {}).get("sentences", {})
    known = {u: v for u, v in by.items() if v is not None}
    if not known:
        return []
    drawn = []
    for title, utterance in (
        ("best", min(known, key=lambda u: known[u])),
        ("worst", max(known, key=lambda u: known[u])),
    ):
        video, reference = (look(material.rows[row][utterance]) for row in (CONVERTED, TARGET))
        picture = drawings.warping(video, reference, material.label(CONVERTED))
        drawn.append(
            {"title": title, "utterance": utterance, "mcd": number_text(known[utterance], 2), "picture": picture}
        )
    return drawn if len(known) > 1 else drawn[:1]


def _sheets(material: Material, look: Watch, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """One sentence an emotion, in pictures."""
    first: dict[str, SentenceInfo] = {}
    for sentence in material.sentences:
        if sentence.utterance in material.rows[CONVERTED]:
            first.setdefault(sentence.emotion, sentence)
    sheets = []
    for sentence in list(first.values())[:MAX_SHEETS]:
        rows = [row for row in SHEET_ROWS if sentence.utterance in material.rows.get(row, {})]
        watched = {row: look(material.rows[row][sentence.utterance]) for row in rows}
        sheets.append(
            {
                "title": sentence.emotion.replace("_", ", ") or sentence.utterance,
                "utterance": sentence.utterance,
                "text": sentence.text,
                "rows": [labels[row] for row in rows],
                "picture": drawings.contact_sheet(list(watched.values()), _moments(sentence, watched)),
            }
        )
    return sheets


def _moments(sentence: SentenceInfo, watched: Mapping[str, Watched]) -> list[np.ndarray]:
    """The same moments of the sentence in each video's own time, chosen by the target's mouth."""
    converted, target = watched[CONVERTED], watched[TARGET]
    source_frames = watched[SOURCE].n_frames if SOURCE in watched else None
    times = time_map_between(converted, target, sentence.time_map, source_frames)
    there = times((np.arange(converted.n_frames) + 0.5) / FPS)
    opening = mouth_opening(target.keypoints)
    known = np.where(np.isfinite(opening), opening, 0.0)
    frames = np.clip((there * FPS).astype(int), 0, target.n_frames - 1)
    chosen = telling_moments(known[frames], N_MOMENTS)
    own = (np.array(chosen) + 0.5) / FPS
    moments = []
    for row, video in watched.items():
        if row == TARGET:
            moments.append(there[chosen])
        elif abs(video.n_frames - converted.n_frames) <= 1:
            moments.append(own)
        else:
            moments.append(map_by_sound(converted, video)(own))
    return moments
