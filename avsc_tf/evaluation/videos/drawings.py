"""Plots of an evaluation of finished videos, as PNG bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsc_tf.alignment.dtw import euclidean_matrix
from avsc_tf.evaluation.plots import INK, RULE, STYLE, as_png, frame_sheet
from avsc_tf.evaluation.videos.catalogue import FIGURES
from avsc_tf.evaluation.videos.material import CONVERTED, SOURCE, TARGET, VERSUS
from avsc_tf.evaluation.videos.watched import FPS, TIMEBASE, Watched
from avsc_tf.measures.mel_cepstrum import HOP_MS, mel_cepstral_distortion

COLOURS = {CONVERTED: "#c2410c", VERSUS: "#7c3aed", TARGET: "#1d4ed8", SOURCE: "#6b7280"}
OTHER_COLOUR, NULL_COLOUR = "#9aa1ab", "#d9dde3"
JITTER = 0.16
EDGE = 6.0  # of the axis of differences
LOUD_RANGE = 8.0  # nepers of a spectrogram's colours


def correlation_distribution(
    rows: Mapping[str, Sequence[float]], labels: Mapping[str, str], null: Sequence[float | None]
) -> bytes:
    """The paper's Figure 4: how r of mel spectrum and lips is spread over sentences, a row of points and a box each.

    Args:
        rows: row -> r of each sentence, in the order to draw, from the top.
        null: mean and 97.5 % of what the target's recordings reach shifted in time; drawn in grey.
    """
    names = [row for row in rows if len(rows[row])]
    rng = np.random.default_rng(0)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 0.9 + 0.5 * len(names)), layout="constrained")
        axes = figure.subplots()
        mean, high = null
        if mean is not None and high is not None:
            axes.axvspan(mean, high, color=NULL_COLOUR, lw=0, zorder=0)
            axes.text(high, -0.62, "by chance", ha="right", va="bottom", fontsize=8, color="#5c6470")
        for place, row in enumerate(names):
            colour, values = COLOURS.get(row, OTHER_COLOUR), np.asarray(rows[row])
            axes.boxplot(
                values, vert=False, positions=[place], widths=0.46, showfliers=False, manage_ticks=False,
                medianprops={"color": INK, "lw": 1.6}, boxprops={"color": colour}, whiskerprops={"color": colour},
                capprops={"color": colour},
            )  # fmt: skip
            axes.scatter(
                values, place + rng.uniform(-JITTER, JITTER, len(values)), s=13, color=colour, alpha=0.75, lw=0
            )
        axes.set_yticks(range(len(names)), [labels.get(row, row) for row in names])
        axes.set(
            ylim=(len(names) - 0.45, -0.65),
            xlabel="canonical correlation r of mel spectrum and lips, a point a sentence",
        )
        axes.grid(axis="x", color=RULE, lw=0.6)
        axes.set_axisbelow(True)
        return as_png(figure)


def differences(found: Mapping[str, Mapping[str, Any]], first: str, second: str) -> bytes | None:
    """Every figure's paired difference and its 95 % interval, in halves of that interval; None where there is none.

    What lies right of 0 speaks for `first`. A difference beyond the edge is an arrow there; winners are coloured.
    """
    entries = [(name, entry) for by in found.values() for name, entry in by.items() if _can_draw(name, entry)]
    if not entries:
        return None
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.5, 0.9 + 0.27 * len(entries)), layout="constrained")
        axes = figure.subplots()
        for place, (name, entry) in enumerate(entries):
            unit = (1.0 if FIGURES[name].better == "higher" else -1.0) / ((entry["high"] - entry["low"]) / 2)
            mean, colour = unit * entry["mean"], COLOURS[entry["better"]] if entry["better"] else INK
            if abs(mean) > EDGE:
                axes.plot(np.sign(mean) * EDGE, place, marker=">" if mean > 0 else "<", ms=7, color=colour)
                continue
            axes.plot([unit * entry["low"], unit * entry["high"]], [place, place], color=colour, lw=2)
            axes.plot(mean, place, "o", ms=5, color=colour)
        axes.axvline(0, color=RULE, lw=1)
        axes.set_yticks(range(len(entries)), [FIGURES[name].title for name, _ in entries])
        axes.set(ylim=(len(entries) - 0.4, -0.6), xlim=(-EDGE - 0.8, EDGE + 0.8))
        axes.set_xlabel(f"← {second} better          difference / half its 95 % interval          {first} better →")
        return as_png(figure)


def _can_draw(name: str, entry: Mapping[str, Any]) -> bool:
    return FIGURES[name].better in ("higher", "lower") and entry["low"] is not None and entry["high"] > entry["low"]


def warping(video: Watched, reference: Watched, label: str) -> bytes:
    """The reference's mel spectrogram over the video's, both in their own time, and the path that the MCD took."""
    path = mel_cepstral_distortion(video.cepstra, reference.cepstra).path
    cost = euclidean_matrix(video.cepstra[:, 1:], reference.cepstra[:, 1:])
    loudest = max(float(x.log_mel.max()) for x in (video, reference))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(11, 3.8), layout="constrained")
        panels = figure.subplot_mosaic([["target", "path"], ["video", "path"]], width_ratios=[1.9, 1])
        for name, watched, title in (("target", reference, "target"), ("video", video, label)):
            _spectrogram(panels[name], watched, loudest)
            panels[name].set_title(title)
        panels["video"].set_xlabel("seconds")
        axes = panels["path"]
        ends = [len(x.cepstra) * HOP_MS / 1000 for x in (video, reference)]
        axes.imshow(cost, origin="lower", aspect="auto", cmap="Greys", extent=(0, ends[1], 0, ends[0]), alpha=0.8)
        if len(path):
            axes.plot(path[:, 1] * HOP_MS / 1000, path[:, 0] * HOP_MS / 1000, color=COLOURS[CONVERTED], lw=1.8)
        axes.set(title="warping path", xlabel="target, seconds", ylabel="video, seconds")
        return as_png(figure)


def _spectrogram(axes: Axes, video: Watched, loudest: float) -> None:
    seconds = len(video.log_mel) / TIMEBASE.mel_fps
    axes.imshow(video.log_mel.T, origin="lower", aspect="auto", cmap="magma", vmin=loudest - LOUD_RANGE, vmax=loudest,
                extent=(0, seconds, 0, video.log_mel.shape[1]), interpolation="nearest")  # fmt: skip
    axes.set_ylabel("mel band")


def contact_sheet(rows: Sequence[Watched], at_seconds: Sequence[np.ndarray]) -> bytes:
    """Crops of several videos of one sentence, a row each.

    Args:
        at_seconds: for each video the moments to show, in its own time.
    """
    pictures = []
    for video, seconds in zip(rows, at_seconds, strict=True):
        frames = np.clip((np.asarray(seconds) * FPS).astype(int), 0, video.n_frames - 1)
        pictures.append(video.crops[frames])
    return frame_sheet(pictures)
