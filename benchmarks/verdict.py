"""The paper's claim on finished videos: one joint network against its baseline (section 4.4), several seeds.

For each seed both systems are trained with the same settings (`verdict_systems`), and `avsc evaluate` converts the
held-out sentences by both, writes the mp4s and measures them again. Then the seeds are pooled (`verdict_pooling`).
Everything is kept in RUNS: a verdict that was stopped goes on there.

python benchmarks/verdict.py --config configs/demo.yaml --records DIR --runs RUNS --json FILE --seeds 3 \
    --source CLIPS --target CLIPS --second-take CLIPS
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench_cli import parse_arguments
from conversion_common import add_arguments, write
from verdict_pooling import pool, table_text
from verdict_systems import Systems, check_settings, make_systems

from avsc_tf.cli.arguments import read_config
from avsc_tf.cli.running import run_tool
from avsc_tf.core.config import Config
from avsc_tf.corpus.reader import open_records
from avsc_tf.evaluation.videos.material import CONVERTED, VERSUS

SMOKE = (  # training alone: an evaluation takes a minute, and tests run it and the pooling by themselves
    "--config {demo}/demo.yaml --records {demo}/records --set wavenet.facial_channels=0 --set image.epochs=0 "
    "--runs {out} --seeds 1 --only-train --json {out}/found.json"
)

EVALUATE = Path(__file__).resolve().parents[1] / "tools" / "evaluate.py"
REPORT = "report.json"
PER_SEED = (CONVERTED, VERSUS)  # the other rows are the same for every seed


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = add_arguments(__doc__)
    parser.add_argument("--second-take", type=Path, metavar="DIR", help="the target saying the sentences once more")
    parser.add_argument("--only-train", action="store_true", help="make the run folders and measure nothing")
    return parse_arguments(__file__, parser, argv, smoke=SMOKE)


def evaluated(systems: Systems, seed: int, args: argparse.Namespace) -> dict[str, Any]:
    """report.json of one seed; the recordings and trivial answers are taken from the first seed's evaluation."""
    out, first = args.runs / f"evaluation_{seed}", args.runs / "evaluation_0"
    if not (out / REPORT).is_file():
        if out != first:
            _take_over(first, out)
        command = [sys.executable, str(EVALUATE), "--bundle", str(systems.joint)]
        command += ["--versus", *map(str, systems.baseline), "--records", str(args.records), "--seed", str(seed)]
        clips = {"source": args.source, "reference": args.target, "align": args.align, "second-take": args.second_take}
        command += [part for name, folder in clips.items() if folder for part in (f"--{name}", str(folder))]
        command += ["--out", str(out)]
        print(shlex.join(command), flush=True)
        subprocess.run(command, check=True)
    return json.loads((out / REPORT).read_text(encoding="utf-8"))


def _take_over(first: Path, out: Path) -> None:
    """Videos and figures that depend on no seed. The evaluation checks them and makes anew what does not fit."""
    for kind in ("videos", "measured"):
        for row in sorted((first / kind).iterdir()):
            if row.is_dir() and row.name not in PER_SEED:
                shutil.copytree(row, out / kind / row.name, dirs_exist_ok=True)


def about(config: Config) -> dict[str, Any]:
    """The budget that both systems had."""
    net = config.conversion
    return {
        "epochs": net.epochs,
        "learning_rate": net.learning_rate,
        "linear_path": net.linear_path,
        "image_px": config.image.size_px,
    }


def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    config = read_config(args)
    check_settings(config)
    records = open_records(args.records, config)
    systems = [make_systems(config, records, args.runs, seed) for seed in range(args.seeds)]
    if args.only_train:
        return
    found = pool([evaluated(each, seed, args) for seed, each in enumerate(systems)])
    write(args.json, found | {"about": about(config) | found["about"]})
    print(table_text(found))


if __name__ == "__main__":
    sys.exit(run_tool(main))
