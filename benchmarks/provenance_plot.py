"""Scores of marked and unmarked clips from docs/figures/provenance.json.

python benchmarks/provenance_plot.py docs/figures/provenance.json --out docs/provenance.png
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from bench_cli import parse_arguments
from matplotlib.figure import Figure

from avsc_tf.cli.running import run_tool
from avsc_tf.evaluation.plots import RULE, STYLE

SMOKE = "{root}/docs/figures/provenance.json --out {out}/plot.png"

SHOWN = {"unmarked": "#8a94a3", "all three together": "#c8553d", "as written": "#2f6f9f"}
# A score that one place, or all places of a clip of 3 s, must pass: exp(-z^2 / 2) x payloads x places x 2 = 1e-6.
HURDLES = {"sound": (16, 120), "picture": (8, 1)}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path, metavar="JSON")
    parser.add_argument("--out", required=True, type=Path, metavar="PNG")
    args = parse_arguments(__file__, parser, argv, smoke=SMOKE)
    found = json.loads(args.figures.read_text(encoding="utf-8"))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.8, 3.4), layout="constrained")
        for axes, (stream, (bits, places)) in zip(figure.subplots(1, 2), HURDLES.items(), strict=True):
            for name, colour in SHOWN.items():
                histogram = found["score_histogram"][stream][name]
                counts = np.asarray(histogram["counts"], float)
                axes.stairs(
                    counts / max(1.0, counts.sum()), histogram["edges"], fill=True, alpha=0.6, color=colour, label=name
                )
            hurdle = np.sqrt(2 * (bits * np.log(2) + np.log(2 * places) - np.log(found["max_false_alarm"])))
            axes.axvline(hurdle, color="black", lw=1, ls="--")
            axes.set_title(f"mark in {stream}: score of whole clips")
            axes.set_xlabel("deviations of chance; dashed: false alarm 1e-6")
            axes.set_ylabel("share of clips")
            axes.grid(axis="y", color=RULE, lw=0.6)
            axes.legend(frameon=False)
        figure.savefig(args.out, dpi=130)


if __name__ == "__main__":
    sys.exit(run_tool(main))
