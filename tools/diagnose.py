"""Measure a run on held-out sentences, beside trivial answers, and write figures.json and report.html.

python tools/diagnose.py copy-synthesis --config C --records DIR --run RUN --out OUT
python tools/diagnose.py run --config C --records DIR --run RUN --corpus CLIPS --converted DIR --out OUT
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from avsc_tf.cli.running import add_config_arguments, config_from_args, run_tool
from avsc_tf.core.files import own_folder

if TYPE_CHECKING:
    from avsc_tf.corpus.reader import Records

SIGNS = ("demo.lock", "stages.json", "figures.json", "copy_synthesis.json")  # of its own folders, and of a demo's


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    copies = commands.add_parser("copy-synthesis", help="judge the vocoders alone, on the target's own features")
    copies.add_argument("--seed", type=int, default=0, help="of the WaveNet's samples and Griffin-Lim's phases")
    run = commands.add_parser("run", help="judge converted sentences; takes copy_synthesis.json in OUT into account")
    for command in (copies, run):
        add_config_arguments(command)
        command.add_argument("--records", required=True, type=Path, metavar="DIR", help="made by tools/prepare.py")
        command.add_argument("--run", required=True, type=Path, metavar="DIR", help="run folder of the three networks")
        command.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of figures and report")
    run.add_argument("--converted", required=True, type=Path, metavar="DIR", help="by tools/convert.py --keep-features")
    run.add_argument("--corpus", type=Path, metavar="DIR", help="stands for DIR/source, DIR/target, DIR/second_take")
    for name in ("--source", "--target"):
        run.add_argument(name, type=Path, metavar="DIR", help="clips; label times beside them are used")
    run.add_argument("--align", type=Path, metavar="DIR", help="word times of the target, NAME.align as GRID has them")
    return parser.parse_args()


def main() -> None:
    args = parse()
    config = config_from_args(args)
    from avsc_tf.corpus.reader import open_records
    from avsc_tf.evaluation.folders import evaluate_folders, find_folders

    records = open_records(args.records, config)
    with own_folder(args.out, "diagnose", signs=SIGNS):
        if args.command == "run":
            folders = find_folders(args.corpus, source=args.source, target=args.target, align=args.align)
            print(evaluate_folders(records, folders, run=args.run, converted=args.converted, out=args.out))
        else:
            judge_vocoders(args, records)


def judge_vocoders(args: argparse.Namespace, records: Records) -> None:
    """Copy synthesis of both vocoders."""
    from avsc_tf.conversion.bundle import load_bundle
    from avsc_tf.conversion.converter import TargetFeatures
    from avsc_tf.conversion.jobs import VOCODERS
    from avsc_tf.evaluation.copy_synthesis import measure_copy_synthesis, verdict

    converter = load_bundle(args.run, vocoders=VOCODERS)

    def speak(vocoder, mels, facials):
        return converter.speak([*map(TargetFeatures, mels, facials)], vocoder=vocoder, seed=args.seed)

    print(verdict(measure_copy_synthesis(records, speak, args.out, vocoders=VOCODERS)))


if __name__ == "__main__":
    sys.exit(run_tool(main))
