"""The paper's Figure 4 from verdicts: how the correlation of mel spectrum and lips is spread over held-out sentences.

python benchmarks/verdict_plot.py demo=docs/figures/verdict_demo.json GRID=docs/figures/verdict_grid.json \
    --out docs/verdict.png
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from bench_cli import parse_arguments
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avsc_tf.cli.running import run_tool
from avsc_tf.evaluation.plots import INK, RULE, STYLE
from avsc_tf.evaluation.videos.drawings import COLOURS, NULL_COLOUR
from avsc_tf.evaluation.videos.material import CONVERTED, TARGET, VERSUS

SMOKE = "demo={root}/docs/figures/verdict_demo.json --out {out}/plot.png"

SHOWN = {TARGET: "target,\nnatural", CONVERTED: "joint\n(proposed)", VERSUS: "separate\n(baseline)"}


def panel(axes: Axes, title: str, found: dict[str, Any]) -> None:
    """A box and a point a sentence for each row; a line joins the two systems' points of one sentence."""
    by_row = {row: found["tables"]["sync"][row]["canonical_r"]["sentences"] for row in SHOWN}
    null = [v for v in found["tables"]["sync"][TARGET]["canonical_null"]["sentences"].values() if v is not None]
    axes.axhspan(*np.percentile(null, [2.5, 97.5]), color=NULL_COLOUR, lw=0, zorder=0)
    axes.text(-0.45, np.mean(null), "sound shifted\nagainst lips", fontsize=7, color="#5c6470", va="center")
    for utterance, r in by_row[CONVERTED].items():
        pair = (r, by_row[VERSUS].get(utterance))
        if None not in pair:
            axes.plot([1, 2], pair, color=RULE, lw=0.8, zorder=1)
    for place, (row, by) in enumerate(by_row.items()):
        values = np.array([v for v in by.values() if v is not None])
        axes.boxplot(
            values, positions=[place], widths=0.42, showfliers=False, manage_ticks=False,
            medianprops={"color": INK, "lw": 1.6}, boxprops={"color": COLOURS[row]},
            whiskerprops={"color": COLOURS[row]}, capprops={"color": COLOURS[row]},
        )  # fmt: skip
        axes.scatter(np.full(len(values), place), values, s=13, color=COLOURS[row], alpha=0.75, lw=0, zorder=3)
    axes.set_xticks(range(len(SHOWN)), list(SHOWN.values()))
    axes.set_xlim(-0.5, len(SHOWN) - 0.5)
    axes.set_title(f"{title}: {found['about']['sentences']} sentences, {found['about']['seeds']} trainings")
    axes.grid(axis="y", color=RULE, lw=0.6)
    axes.set_axisbelow(True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verdicts", nargs="+", metavar="TITLE=JSON", help="written by benchmarks/verdict.py")
    parser.add_argument("--out", required=True, type=Path, metavar="PNG")
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    named = [text.split("=", 1) for text in args.verdicts]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.4 * len(named), 4.2), layout="constrained")
        panels = figure.subplots(1, len(named), sharey=True, squeeze=False)[0]
        for axes, (title, path) in zip(panels, named, strict=True):
            panel(axes, title, json.loads(Path(path).read_text(encoding="utf-8")))
        panels[0].set_ylabel("canonical correlation r of mel spectrum and lips")
        figure.savefig(args.out, dpi=150)


if __name__ == "__main__":
    sys.exit(run_tool(main))
