"""Measure the features of a run on held-out sentences, beside trivial answers; write figures.json and report.html.

examples: avsc diagnose copy-synthesis --config C --records DIR --run RUN --out OUT
          avsc diagnose run --config C --records DIR --run RUN --corpus CLIPS --converted DIR --out OUT
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from avsc_tf.cli.arguments import add_clip_folders, add_config, folder, read_config
from avsc_tf.vocoder import VOCODERS

if TYPE_CHECKING:
    from avsc_tf.corpus.reader import Records

SUMMARY = "the networks' features on held-out sentences -> figures"
SIGNS = ("demo.lock", "stages.json", "figures.json", "copy_synthesis.json")  # of its own folders, and of a demo's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", required=True)
    copies = commands.add_parser("copy-synthesis", help="measure the vocoders alone, on the target's own features")
    copies.add_argument("--seed", type=int, default=0, help="seed of the WaveNet's samples and Griffin-Lim's phases")
    run = commands.add_parser("run", help="measure converted sentences; reads copy_synthesis.json in OUT")
    for command in (copies, run):
        add_config(command)
        command.add_argument("--records", required=True, **folder(help="made by avsc prepare"))
        command.add_argument("--run", dest="run_folder", required=True, **folder(help="run folder of the networks"))
        command.add_argument("--out", required=True, **folder(help="folder of figures and report"))
    run.add_argument("--converted", required=True, **folder(help="made by avsc convert --keep-features"))
    add_clip_folders(run)


def run(args: argparse.Namespace) -> None:
    from avsc_tf.core.files import own_folder
    from avsc_tf.corpus.reader import open_records
    from avsc_tf.evaluation.folders import evaluate_folders, find_folders

    records = open_records(args.records, read_config(args))
    with own_folder(args.out, "diagnose", signs=SIGNS):
        if args.what == "run":
            folders = find_folders(args.corpus, source=args.source, target=args.target, align=args.align)
            print(evaluate_folders(records, folders, run=args.run_folder, converted=args.converted, out=args.out))
        else:
            _measure_vocoders(args, records)


def _measure_vocoders(args: argparse.Namespace, records: Records) -> None:
    """Copy synthesis with both vocoders."""
    from avsc_tf.conversion.converted import TargetFeatures
    from avsc_tf.conversion.loading import load_bundle
    from avsc_tf.evaluation.copy_synthesis import measure_copy_synthesis, verdict

    bundle = load_bundle(args.run_folder, vocoders=VOCODERS)

    def synthesise(vocoder: Any, mels: Any, facials: Any) -> Any:
        return bundle.synthesise([*map(TargetFeatures, mels, facials)], vocoder=vocoder, seed=args.seed)

    print(verdict(measure_copy_synthesis(records, synthesise, args.out, vocoders=VOCODERS)))
