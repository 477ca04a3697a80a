"""Clips of two speakers to aligned, standardised records.

python tools/prepare.py --config configs/demo.yaml --source clips/A --target clips/B --out records
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsc_tf.cli import add_config_arguments, config_from_args, run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument("--source", required=True, type=Path, metavar="DIR", help="clips of the speaker to convert")
    parser.add_argument("--target", required=True, type=Path, metavar="DIR", help="clips of the speaker to become")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the records")
    parser.add_argument("--skip-bad", action="store_true", help="leave out unusable clips and pairs, and name them")
    args = parser.parse_args()
    config = config_from_args(args)

    from avsc_tf.records.prepare import prepare

    prepare(config, args.source, args.target, args.out, skip_bad=args.skip_bad)


if __name__ == "__main__":
    sys.exit(run_tool(main))
