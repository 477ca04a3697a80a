"""The probe's page, plot and figures: probe.html, probe.png, probe.json."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsc_tf.core.files import write_atomically
from avsc_tf.evaluation.copy_synthesis import write_json
from avsc_tf.evaluation.plots import STYLE
from avsc_tf.evaluation.probe import DAMAGES, GIVEN, INPUTS, OUTPUTS

LABELS = {"mel": "sound", "facial": "face"}
OUTPUT_LABELS = {"mel": "mel spectrogram", "mouth": "mouth", "keypoints": "all keypoints", "vgg": "VGG feature"}
COLOURS = {"mel": "#1d4ed8", "facial": "#c2410c"}
COST_COLUMNS = {
    "mcd_db": ("MCD, dB", 2),
    "lip_error": ("lip error, eye dist.", 4),
    "opening_r": ("mouth opening r", 3),
    "width_r": ("mouth width r", 3),
    "sound_lips_r": ("loudness and opening r", 3),
}
GIVEN_LABELS = {"both": "sound and picture", "sound": "sound alone", "picture": "picture alone"}
OFFSETS = {"mel": -0.17, "facial": 0.17}


def write_probe(found: Mapping[str, Any], out: Path) -> None:
    """Write the three files into `out`, each whole or not at all.

    Args:
        found: from `probe.probe_figures`.
    """
    write_json(out / "probe.json", found)
    picture = draw_probe(found)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("probe.html").render(
        about=found["about"], rows=cost_rows(found), heads=[head for head, _ in COST_COLUMNS.values()],
        picture="data:image/png;base64," + base64.b64encode(picture).decode(),
    )  # fmt: skip
    for name, content in (("probe.png", picture), ("probe.html", page.encode())):
        write_atomically(out / name, content)


def cost_rows(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row each for both streams, sound alone and picture alone: label and cells (value, interval)."""
    rows = []
    for given in GIVEN:
        cells = [_cell(found["cost"][given][name], decimals) for name, (_, decimals) in COST_COLUMNS.items()]
        rows.append({"label": GIVEN_LABELS[given], "cells": cells})
    return rows


def cost_text(found: Mapping[str, Any]) -> str:
    """The same rows for a terminal."""
    heads = "".join(f"{head:>24s}" for head, _ in COST_COLUMNS.values())
    lines = [f"{row['label']:18s}" + "".join(f"{value:>24s}" for value, _ in row["cells"]) for row in cost_rows(found)]
    return "\n".join([f"{'converted from':18s}{heads}", *lines])


def _cell(entry: Mapping[str, Any], decimals: int) -> tuple[str, str]:
    if entry["mean"] is None:
        return "-", ""
    interval = "" if entry["low"] is None else f"{entry['low']:.{decimals}f} to {entry['high']:.{decimals}f}"
    return f"{entry['mean']:.{decimals}f}", interval


def draw_probe(found: Mapping[str, Any]) -> bytes:
    """A row an output: how much it changes, how much worse it gets, and its change by emotion; with intervals."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 9.2), layout="constrained")
        panels = figure.subplots(len(OUTPUTS), 3, width_ratios=[1, 1, 1.3], squeeze=False)
        for axes, output in zip(panels, OUTPUTS, strict=True):
            for stream in INPUTS:
                rows = [found["owes"][f"{stream} {damage}"] for damage in DAMAGES]
                _bars(axes[0], [row[f"{output}_change"] for row in rows], stream)
                _bars(axes[1], [row[f"{output}_worse"] for row in rows], stream, scale=100)
                emotions = [by[f"{stream} shuffled"][f"{output}_change"] for by in found["by_emotion"].values()]
                _dots(axes[2], emotions, stream)
            axes[0].set_ylabel(f"{OUTPUT_LABELS[output]}\nchange / its movement")
            axes[1].set_ylabel("error grows, %")
            for panel in axes[:2]:
                panel.set_xticks(range(len(DAMAGES)), DAMAGES)
                panel.axhline(0, color="#8a8f98", lw=0.8)
            names = [name.replace("_", "\n") for name in found["by_emotion"]]
            axes[2].set_xticks(range(len(names)), names, fontsize=7)
            axes[2].set_ylim(bottom=0)
        panels[0][0].set_title("change of the output")
        panels[0][1].set_title("what the reference says")
        panels[0][2].set_title("change by emotion, stream shuffled")
        handles, _ = panels[0][0].get_legend_handles_labels()
        figure.legend(
            handles, [f"{LABELS[s]} damaged" for s in INPUTS], loc="outside upper right", ncols=2, frameon=False
        )
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=90)
        return buffer.getvalue()


def _bars(axes: Axes, entries: list[Mapping[str, Any]], stream: str, *, scale: float = 1.0) -> None:
    x = np.arange(len(entries)) + OFFSETS[stream]
    means, whiskers = _with_whiskers(entries, scale)
    axes.bar(x, means, 0.32, color=COLOURS[stream], label=stream)
    axes.errorbar(x, means, whiskers, fmt="none", ecolor="#1f2328", elinewidth=0.9, capsize=2)


def _dots(axes: Axes, entries: list[Mapping[str, Any]], stream: str) -> None:
    x = np.arange(len(entries)) + OFFSETS[stream] / 2
    means, whiskers = _with_whiskers(entries, 1.0)
    axes.errorbar(x, means, whiskers, fmt="o", ms=4, color=COLOURS[stream], elinewidth=0.9, capsize=2)


def _with_whiskers(entries: list[Mapping[str, Any]], scale: float) -> tuple[np.ndarray, np.ndarray]:
    def column(name: str) -> np.ndarray:
        return scale * np.array([np.nan if e[name] is None else e[name] for e in entries], np.float64)

    means, low, high = column("mean"), column("low"), column("high")
    return means, np.nan_to_num(np.maximum([means - low, high - means], 0))
