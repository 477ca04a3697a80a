"""Measure finished videos: voice, face and synchrony, beside trivial answers and a second system.

examples: avsc evaluate --bundle RUN --records DIR --out OUT [--versus RUN2] [--corpus CLIPS]
          avsc evaluate --videos DIR --reference DIR --out OUT [--source DIR] [--versus DIR2]   (made by any tool)
          avsc evaluate --drift VIDEO... --out OUT                                              (long videos)

OUT receives report.html, report.json, sentences.csv, summary.csv and versus.csv.
"""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

from avsc_tf.cli.arguments import folder
from avsc_tf.vocoder import VOCODERS

SUMMARY = "finished videos -> figures and a report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--bundle", type=Path, nargs="+", metavar="RUN", help="run folder, or those of the two baselines")
    what.add_argument("--videos", **folder(help="finished videos, NAME.mp4 each"))
    what.add_argument("--drift", type=Path, nargs="+", metavar="VIDEO", help="sound against lips along long videos")
    parser.add_argument("--out", required=True, **folder(help="folder of the report; repeat the command to continue"))
    parser.add_argument("--records", **folder(help="with --bundle: made by avsc prepare"))
    parser.add_argument("--reference", **folder(help="the target's recordings of the sentences, by the same names"))
    parser.add_argument("--source", **folder(help="the source's recordings; label times beside them are used"))
    parser.add_argument("--corpus", **folder(help="stands for DIR/source, DIR/target and DIR/second_take"))
    parser.add_argument("--align", **folder(help="word times of the target, NAME.align in GRID's format"))
    parser.add_argument("--second-take", **folder(help="second recordings of the sentences by the target"))
    parser.add_argument("--training", **folder(help="with --videos: further recordings of the target"))
    parser.add_argument("--versus", type=Path, nargs="+", metavar="RUN2", help="a second system: run folders or videos")
    parser.add_argument("--vocoder", choices=VOCODERS, default="wavenet", help="with --bundle: vocoder of both systems")
    parser.add_argument("--seed", type=int, default=0, help="with --bundle: seed of the WaveNet's samples")
    parser.add_argument("--config", default="paper", metavar="FILE", help="with --videos: settings of the face crop")


def run(args: argparse.Namespace) -> None:
    from avsc_tf.evaluation.inputs import evaluate

    print(evaluate(**{name: getattr(args, name) for name in inspect.signature(evaluate).parameters}))
