"""Pictures of the results, as SVG text: means with intervals, and the stacked bars of the paper's Figure 5."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from avsc_tf.evaluation.plots import COLOURS, INK, RULE, STYLE
from avsc_tf.listening.design import MODALITIES, SOURCE, TARGET

TITLES = {"audio": "Audio-only", "visual": "Visual-only", "audiovisual": "Audiovisual"}
_SYSTEM_COLOURS = ("#c2410c", "#0f766e", "#7e22ce", "#a16207", "#be185d")
_NEITHER_COLOUR = "#d9dde2"
_SHOWN_FROM = 0.07  # share of a bar that has room for its number


def colour_of(system: str, systems: Sequence[str]) -> str:
    """Natural speakers keep the colours they have in the other reports."""
    if system in (TARGET, SOURCE):
        return COLOURS[system]
    return _SYSTEM_COLOURS[list(systems).index(system) % len(_SYSTEM_COLOURS)]


def emotion_label(emotion: str) -> str:
    """`+Happiness` for happiness_strong, as the paper's Table 1 has it."""
    strong = emotion.endswith("_strong")
    return ("+" if strong else "") + emotion.removesuffix("_strong").replace("_", " ").capitalize()


def score_plot(rows: Sequence[Mapping[str, Any]], rated: Sequence[str], systems: Sequence[str]) -> str:
    """Mean and 95 % interval over all emotions of everything that was rated, a panel a modality."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.75 + 0.32 * len(rated)), layout="constrained")
        panels = figure.subplots(1, len(MODALITIES), sharex=True, sharey=True, squeeze=False)[0]
        for axes, modality in zip(panels, MODALITIES, strict=True):
            for y, system in enumerate(rated):
                for row in rows:
                    if (row["modality"], row["system"]) == (modality, system) and row["n"]:
                        colour = colour_of(system, systems)
                        axes.plot([row["low"], row["high"]], [y, y], color=colour, lw=2, solid_capstyle="butt")
                        axes.plot(row["mean"], y, "o", color=colour, ms=6)
                        axes.annotate(f"{row['mean']:.2f}", (row["mean"], y), (0, 6), textcoords="offset points",
                                      ha="center", fontsize=8)  # fmt: skip
            axes.set(title=TITLES[modality], xlim=(1, 5), xticks=range(1, 6), yticks=range(len(rated)))
            axes.set_yticklabels(rated)
            axes.set_ylim(len(rated) - 0.5, -0.7)
            axes.grid(axis="x", color=RULE, lw=0.6)
            axes.set_axisbelow(True)
            axes.tick_params(length=0)
        return _svg(figure)


def preference_plot(rows: Sequence[Mapping[str, Any]], emotions: Sequence[str], systems: Sequence[str]) -> str:
    """The paper's Figure 5 for one pair of systems: shares of first, no difference and second, a row an emotion."""
    first, second = rows[0]["first"], rows[0]["second"]
    colours = (colour_of(first, systems), _NEITHER_COLOUR, colour_of(second, systems))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 1.0 + 0.34 * len(emotions)), layout="constrained")
        panels = figure.subplots(1, len(MODALITIES), sharex=True, sharey=True, squeeze=False)[0]
        for axes, modality in zip(panels, MODALITIES, strict=True):
            for y, emotion in enumerate(emotions):
                for row in rows:
                    if (row["modality"], row["emotion"]) == (modality, emotion):
                        _stacked_bar(axes, y, row["shares"], colours)
            axes.axvline(0.5, color=INK, lw=0.7, zorder=0)
            axes.set(title=TITLES[modality], xlim=(0, 1), xticks=(0, 0.5, 1), yticks=range(len(emotions)))
            axes.set_xticklabels(["0", "50 %", "100 %"])
            axes.set_yticklabels([emotion_label(emotion) for emotion in emotions])
            axes.set_ylim(len(emotions) - 0.5, -0.5)
            axes.tick_params(length=0)
            axes.spines["left"].set_visible(False)
        handles = [matplotlib.patches.Patch(color=colour) for colour in colours]
        figure.legend(handles, [first, "no difference", second], loc="outside lower center", ncols=3, frameon=False)
        return _svg(figure)


def _stacked_bar(axes: Any, y: int, shares: Sequence[float], colours: Sequence[str]) -> None:
    starts = np.concatenate([[0.0], np.cumsum(shares)[:-1]])
    for start, share, colour in zip(starts, shares, colours, strict=True):
        axes.barh(y, share, left=start, color=colour, height=0.72)
        if share >= _SHOWN_FROM:
            ink = INK if colour == _NEITHER_COLOUR else "white"
            axes.text(start + share / 2, y, f"{100 * share:.0f}", ha="center", va="center", color=ink, fontsize=8)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "avsc_tf"}):  # the same figures give the same text
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return buffer.getvalue()
