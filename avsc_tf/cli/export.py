"""Export a trained run as SavedModels, with the configuration files of TensorFlow Serving.

example: avsc export --bundle runs/demo/run --out served
"""

from __future__ import annotations

import argparse

from avsc_tf.cli.arguments import folder, named_path

SUMMARY = "a run -> SavedModels for TensorFlow Serving"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", required=True, type=named_path, metavar="RUN", help="run folder")
    parser.add_argument("--out", required=True, **folder(help="receives NAME/VERSION/ for each model"))
    parser.add_argument("--model-version", type=int, default=1, metavar="N", help="never overwritten (default 1)")
    parser.add_argument(
        "--max-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="longest speech that one call of the WaveNet generates, all utterances together (default 10)",
    )
    parser.add_argument(
        "--jit-compile", action="store_true", help="compile the WaveNet by XLA: read docs/export.md first"
    )
    parser.add_argument("--no-warmup", action="store_true", help="write no warm-up requests")


def run(args: argparse.Namespace) -> None:
    from avsc_tf.export import export_bundle

    exported = export_bundle(
        args.bundle,
        args.out,
        version=args.model_version,
        max_seconds=args.max_seconds,
        jit_compile=args.jit_compile,
        warmup=not args.no_warmup,
    )
    for name, path in exported.folders.items():
        print(f"{name}: {path}")
    for name, reason in exported.left_out.items():
        print(f"note: {name} left out: {reason}")
    for note in exported.notes:
        print(f"note: {note}")
