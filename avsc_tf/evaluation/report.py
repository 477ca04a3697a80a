"""report.html: one self-contained page of a run (figures, spectrograms, frames, curves, times, files)."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from avsc_tf.core.config import Config, config_text
from avsc_tf.core.files import write_atomically
from avsc_tf.core.runs import NETWORKS, history_path
from avsc_tf.evaluation import plots
from avsc_tf.evaluation.aims import MAX_PITCH_CENTS, MAX_VOICING_ERROR
from avsc_tf.evaluation.held_out import Sentence
from avsc_tf.evaluation.recipe import recipe
from avsc_tf.evaluation.rows import LABELS, Answer
from avsc_tf.evaluation.texts import MISSING, interval_text, number_text
from avsc_tf.features.keypoints import mouth_opening
from avsc_tf.media.audio import read_audio

TEMPLATE = "report.html"
VIDEO_SUFFIXES = (".mp4", ".webm")
SIDE_BY_SIDE = "side_by_side"
COPY_DIR = "copy_synthesis"  # as `evaluation.copy_synthesis` writes it
COPIED_BY = ("wavenet", "griffin-lim")


@dataclass(frozen=True)
class Shown:
    """A sentence to be shown; all on the source's timeline."""

    sentence: Sentence
    source: Answer
    converted: Answer
    target: Answer


@dataclass(frozen=True)
class Column:
    """One figure in a table."""

    figure: str
    title: str
    decimals: int
    better: str  # "↓" lower, "↑" higher, "1" or "0" the ideal value


FEATURE_COLUMNS = (
    Column("mcd_db", "MCD, dB", 2, "↓"),
    Column("mcd_db_of_source", "MCD / source's", 2, "↓"),
    Column("log_mel_l1", "log-mel L1", 2, "↓"),
    Column("lip_error", "lip error, eye dist.", 4, "↓"),
    Column("lip_error_of_source", "lip error / source's", 2, "↓"),
    Column("opening_r", "opening r", 2, "↑"),
    Column("width_r", "width r", 2, "↑"),
    Column("opening_sd_ratio", "opening sd ratio", 2, "1"),
    Column("width_sd_ratio", "width sd ratio", 2, "1"),
)
FRAME_COLUMNS = (
    Column("mouth_ssim", "mouth SSIM", 3, "↑"),
    Column("mouth_ssim_aligned", "mouth SSIM, eyes aligned", 3, "↑"),
    Column("mouth_l1", "mouth L1, of 255", 2, "↓"),
    Column("frame_ssim", "frame SSIM", 3, "↑"),
    Column("frame_l1", "frame L1, of 255", 2, "↓"),
    Column("texture_distance", "texture distance", 3, "↓"),
    Column("edge_ratio", "edges / the film's", 2, "1"),
    Column("flicker_ratio", "flicker / the film's", 2, "1"),
    Column("retracked_opening_r", "re-tracked opening r", 2, "↑"),
    Column("retracked_width_r", "re-tracked width r", 2, "↑"),
    Column("retracked_opening_sd_ratio", "re-tracked opening sd ratio", 2, "1"),
    Column("face_share", "frames with a face", 3, "↑"),
)
VOICE_COLUMNS = (
    Column("pitch_cents", "pitch error, cents", 0, "↓"),
    Column("voicing_error", "voicing error", 3, "↓"),
    Column("mcd_db", "MCD, dB", 2, "↓"),
    Column("log_mel_l1", "log-mel L1", 3, "↓"),
    Column("predicted_mos", "predicted MOS", 2, "↑"),
)
COPY_COLUMNS = (
    Column("pitch_cents", "pitch error, cents", 0, "↓"),
    Column("voicing_error", "voicing error", 3, "↓"),
    Column("voicing_error_raw", "with pauses' noise", 3, "↓"),
    Column("predicted_mos", "predicted MOS", 2, "↑"),
    Column("stoi", "STOI", 3, "↑"),
    Column("mcd_db", "MCD, dB", 2, "↓"),
    Column("log_mel_l1", "log-mel L1", 3, "↓"),
)
SYNC_COLUMNS = (
    Column("sound_to_lips_lag", "lips after sound, frames", 2, "0"),
    Column("lag_size", "size of the lag", 2, "↓"),
    Column("within_one_frame", "sentences within 1 frame", 2, "↑"),
    Column("sound_lag_to_source", "sound after source's", 2, "0"),
    Column("lips_lag_to_source", "lips after source's", 2, "0"),
)
ROW_LABELS = {
    "converted, wavenet": "converted, WaveNet",
    "converted, griffin-lim": "converted, Griffin-Lim",
    "wavenet": "WaveNet",
    "griffin-lim": "Griffin-Lim",
    "natural": "natural recording",
    "converted": LABELS["converted"],
    "source": LABELS["source"],
    "pitch_match": "source's pitch, mean and range matched",
    **LABELS,
    "target": "target's recording",
}


def write_report(
    path: Path,
    figures: Mapping[str, Any],
    shown: Sequence[Shown],
    *,
    config: Config,
    run: Path,
    stages: Path | None = None,
    files: Sequence[Path] = (),
) -> None:
    """Write the page beside, then rename it to `path`.

    Args:
        figures: as in figures.json (`evaluation.run`).
        shown: one sentence an emotion.
        run: its `history.csv` files are drawn.
        stages: `stages.json` of a workflow, or None.
        files: named at the end, videos also shown; linked relative to the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["png"] = lambda data: "data:image/png;base64," + base64.b64encode(data).decode()
    curves = plots.loss_curves([(network, history_path(run, network)) for network in NETWORKS])
    links = [os.path.relpath(file, path.parent) for file in files]
    videos = [link for link in links if link.endswith(VIDEO_SUFFIXES)]
    text = environment.get_template(TEMPLATE).render(
        about=figures["about"],
        aims=[_aim(verdict) for verdict in figures["aims"]],
        tables=_tables(figures),
        gate=figures.get("gate"),
        gate_bounds={"pitch_cents": MAX_PITCH_CENTS, "voicing_error": MAX_VOICING_ERROR},
        copies=_copies(path.parent / COPY_DIR, shown, config),
        vocoder=_vocoder_reason(figures),
        sentences=[_sentence(one) for one in shown],
        curves=curves,
        stages=_stages(stages),
        recipe=recipe(config),
        settings=config_text(config),
        side_by_side=[v for v in videos if SIDE_BY_SIDE in v],
        videos=[v for v in videos if SIDE_BY_SIDE not in v],
        files=links,
    )
    write_atomically(path, text)


def _aim(verdict: Mapping[str, Any]) -> dict[str, Any]:
    decimals = 3 if verdict["bound"] is not None and verdict["bound"] < 1 else 2
    mark = {True: "reached", False: "falls short", None: "not measured"}[verdict["passed"]]
    bound = number_text(verdict["bound"], decimals)
    return {
        "label": verdict["label"],
        "value": number_text(verdict["value"], decimals),
        "interval": interval_text(verdict, decimals),
        "bound": f"{verdict['sign']} {bound}",
        "mark": mark,
        "kind": {True: "good", False: "bad", None: "none"}[verdict["passed"]],
    }


def _tables(figures: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    chosen = {
        "features": ("features", FEATURE_COLUMNS),
        "frames": ("features", FRAME_COLUMNS),
        "copy_synthesis": ("copy_synthesis", COPY_COLUMNS),
        "voices": ("voices", VOICE_COLUMNS),
        "sync": ("sync", SYNC_COLUMNS),
    }
    return {name: _table(figures.get(table, {}), columns) for name, (table, columns) in chosen.items()}


def _table(rows: Mapping[str, Mapping[str, Any]], columns: Sequence[Column]) -> dict[str, Any]:
    """Heads and rows of text; rows without any of the columns are left out, `LABELS` give the order."""
    order = [name for name in ROW_LABELS if name in rows] + [name for name in rows if name not in ROW_LABELS]
    n = max((entry["n"] for row in rows.values() for entry in row.values()), default=0)
    lines = []
    for name in order:
        cells = [_cell(rows[name].get(column.figure) or {}, column, n) for column in columns]
        if any(cell["value"] != MISSING for cell in cells):
            ours = name.startswith("converted") or name == "wavenet"
            lines.append({"label": ROW_LABELS.get(name, name), "cells": cells, "ours": ours})
    return {"heads": [(c.title, c.better) for c in columns], "rows": lines, "n": n}


def _cell(entry: Mapping[str, Any], column: Column, n: int) -> dict[str, str]:
    """Mean and interval; the number of sentences only where it is not the table's."""
    own_n = f" n = {entry['n']}" if 0 < entry.get("n", 0) < n else ""
    interval = interval_text(entry, column.decimals)
    return {"value": number_text(entry.get("mean"), column.decimals), "interval": f"{interval}{own_n}".strip()}


def _vocoder_reason(figures: Mapping[str, Any]) -> str:
    """Which vocoder the shown videos use, and why."""
    vocoders, gate = figures["about"]["vocoders"], figures.get("gate")
    label = ROW_LABELS.get(vocoders[0], vocoders[0])
    if gate is None:
        return f"The videos shown first use {label}. Copy synthesis was not measured, so the gate is open."
    if gate["passed"]:
        return f"The videos shown first use {label}: the WaveNet passes the gate."
    if vocoders[0] == "wavenet":
        return "The videos shown first use the WaveNet as asked, though it does not pass the gate yet."
    return f"The videos shown first use {label}, because the WaveNet does not pass the gate yet."


def _sentence(one: Shown) -> dict[str, Any]:
    timebase, answers = one.sentence.timebase, (one.source, one.converted, one.target)
    openings = [mouth_opening(answer.keypoints) for answer in answers]
    frames = [answer.frames for answer in answers if answer.frames is not None]
    return {
        "emotion": one.sentence.emotion.replace("_", ", ") or "no emotion named",
        "utterance": one.sentence.utterance,
        "text": one.sentence.source["sentence"],
        "mels": plots.mel_panels([answer.mel for answer in answers], openings, timebase),
        "strip": plots.frame_strip(frames, openings[2]) if len(frames) == len(answers) else None,
    }


def _copies(folder: Path, shown: Sequence[Shown], config: Config) -> dict[str, Any] | None:
    """The first shown sentence that the vocoders copied (FOLDER/VOCODER/NAME.wav), beside the recording."""
    for one in shown:
        files = {vocoder: folder / vocoder / f"{one.sentence.utterance}.wav" for vocoder in COPIED_BY}
        if not all(file.is_file() for file in files.values()):
            continue
        waveforms = {ROW_LABELS["natural"]: one.sentence.waveform("target")}
        for vocoder, file in files.items():
            waveforms[ROW_LABELS[vocoder]] = read_audio(file, sample_rate_hz=config.time.sample_rate_hz)
        picture = plots.voice_panels(waveforms, config)
        return {"utterance": one.sentence.utterance, "text": one.sentence.source["sentence"], "picture": picture}
    return None


def _stages(path: Path | None) -> dict[str, Any] | None:
    if path is None or not path.is_file():
        return None
    stamps = json.loads(path.read_text(encoding="utf-8"))
    rows = [
        {
            "name": name,
            "command": stamp.get("command", ""),
            "time": _duration(stamp["seconds"]),
            "cpu": _duration(stamp["cpu_seconds"]) if stamp.get("cpu_seconds") else MISSING,
            "memory": f"{stamp['peak_memory_bytes'] / 2**30:.1f} GiB",
        }
        for name, stamp in stamps.items()
        if stamp.get("state", "finished") == "finished"
    ]
    seconds = sum(stamp["seconds"] for stamp in stamps.values())  # that of this page's own stage comes after it
    peak = max((stamp["peak_memory_bytes"] for stamp in stamps.values()), default=0)
    return {"rows": rows, "total": _duration(seconds), "peak": f"{peak / 2**30:.1f} GiB"}


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
