"""The picture of wavenet.py: samples a second of each contender, its floor, real time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

COLOURS = {"ours": "#1f5f99", "narrow": "#5b9a68", "xla": "#c77d1e", "pytorch": "#a03a3a"}


def plot(result: dict[str, Any], path: Path) -> None:
    """A bar a contender on a logarithmic axis; black marks are the floors."""
    from matplotlib.figure import Figure

    rows = result["rows"][::-1]
    figure = Figure(figsize=(8.5, 1.4 + 0.36 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    speeds = [row["samples_a_second"] for row in rows]
    places = range(len(rows))
    axes.barh(places, speeds, height=0.62, color=[COLOURS[row["family"]] for row in rows])
    right = max([*speeds, *(row.get("floor", 0.0) for row in rows)])
    for place, row in zip(places, rows, strict=True):
        text = f"{row['samples_a_second']:,.0f}"
        if "floor" in row:
            label = "the machine's floor" if place == 0 else None
            axes.plot([row["floor"]] * 2, [place - 0.42, place + 0.42], color="black", linewidth=2.0, label=label)
            text += f"   {row['of_floor']:.0%} of floor"
        end = max(row["samples_a_second"], row.get("floor", 0.0))
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
        axes.annotate(text, (end, place), (7, 0), textcoords="offset points", va="center", fontsize=8, bbox=behind)
    rate_hz = result["sample_rate_hz"]
    axes.axvline(rate_hz, color="grey", linestyle="--", linewidth=1.0, label=f"real time, {rate_hz / 1000:g} kHz")
    axes.set_yticks(list(places), [row["name"] for row in rows])
    axes.set_xscale("log")
    axes.set_xlim(min(speeds) / 1.6, right * 6.0)  # room for the words
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("samples a second, all streams together")
    size = result["size"]
    axes.set_title(
        f"{size['n_layers']} layers, {size['residual_channels']}/{size['skip_channels']}/{size['post_channels']}, "
        f"{size['n_classes']} classes; {result['machine']}",
        fontsize=9,
    )
    figure.legend(loc="outside lower right", ncols=2, fontsize=8, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
