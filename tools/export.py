"""A trained run as folders for TensorFlow Serving.

python tools/export.py --bundle runs/demo/run --out served
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsc_tf.cli.running import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", required=True, type=Path, metavar="RUN", help="run folder")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="gets NAME/VERSION/ for each model")
    parser.add_argument("--model-version", type=int, default=1, metavar="N", help="never overwritten (default 1)")
    parser.add_argument(
        "--max-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="speech that one call of the WaveNet may ask for, all utterances together (default 10)",
    )
    parser.add_argument("--jit-compile", action="store_true", help="WaveNet by XLA: see docs/export.md before")
    parser.add_argument("--no-warmup", action="store_true", help="no requests for the server to warm up with")
    args = parser.parse_args()
    from avsc_tf.export import export_bundle

    exported = export_bundle(
        args.bundle,
        args.out,
        version=args.model_version,
        max_seconds=args.max_seconds,
        jit_compile=args.jit_compile,
        warmup=not args.no_warmup,
    )
    for name, folder in exported.folders.items():
        print(f"{name}: {folder}")
    for name, reason in exported.left_out.items():
        print(f"note: {name} left out: {reason}")
    for note in exported.notes:
        print(f"note: {note}")


if __name__ == "__main__":
    sys.exit(run_tool(main))
