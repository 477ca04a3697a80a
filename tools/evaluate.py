"""How good finished videos are: voice, face and their synchrony, beside trivial answers and a second system.

python tools/evaluate.py --bundle RUN --records DIR --out OUT [--versus RUN2] [--corpus CLIPS]
python tools/evaluate.py --videos DIR --reference DIR --out OUT [--source DIR] [--versus DIR2]   (made by any tool)
python tools/evaluate.py --drift VIDEO... --out OUT                                              (long videos)

OUT gets report.html, report.json, sentences.csv, summary.csv and versus.csv.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsc_tf.cli.running import run_tool
from avsc_tf.conversion.jobs import VOCODERS

PAPER = Path(__file__).resolve().parents[1] / "configs" / "paper.yaml"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = {"type": Path, "metavar": "DIR"}
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--bundle", type=Path, nargs="+", metavar="RUN", help="run folder, or those of both baselines")
    what.add_argument("--videos", **folder, help="finished videos, NAME.mp4 each")
    what.add_argument("--drift", type=Path, nargs="+", metavar="VIDEO", help="sound against lips along long videos")
    parser.add_argument("--out", required=True, **folder, help="folder of the report; run again to go on")
    parser.add_argument("--records", **folder, help="with --bundle: made by tools/prepare.py")
    parser.add_argument("--reference", **folder, help="the target's recordings of the sentences, by the same names")
    parser.add_argument("--source", **folder, help="the source's recordings; label times beside them are used")
    parser.add_argument("--corpus", **folder, help="stands for DIR/source, DIR/target and DIR/second_take")
    parser.add_argument("--align", **folder, help="word times of the target, NAME.align as GRID has them")
    parser.add_argument("--second-take", **folder, help="the target saying the sentences once more")
    parser.add_argument("--training", **folder, help="with --videos: further recordings of the target")
    parser.add_argument(
        "--versus", type=Path, nargs="+", metavar="RUN2", help="a second system: run folders, or videos"
    )
    parser.add_argument("--vocoder", choices=VOCODERS, default="wavenet", help="with --bundle: of both systems")
    parser.add_argument("--seed", type=int, default=0, help="with --bundle: of the WaveNet's samples")
    parser.add_argument("--config", type=Path, default=PAPER, metavar="FILE", help="with --videos: how faces are cut")
    return parser.parse_args()


def main() -> None:
    args = vars(parse())
    from avsc_tf.evaluation.inputs import evaluate

    print(evaluate(**args))


if __name__ == "__main__":
    sys.exit(run_tool(main))
