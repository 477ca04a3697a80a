"""Clips of two speakers to aligned, standardised records.

python tools/prepare.py --config configs/demo.yaml --source clips/A --target clips/B --out records
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsc_tf.cli.running import add_audio_track_argument, add_config_arguments, config_from_args, run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_config_arguments(parser)
    parser.add_argument("--source", required=True, type=Path, metavar="DIR", help="clips of the speaker to convert")
    parser.add_argument("--target", required=True, type=Path, metavar="DIR", help="clips of the speaker to become")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder of the records")
    parser.add_argument("--skip-bad", action="store_true", help="leave out unusable clips and pairs, and name them")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that compute features, one core each (default: all cores)"
    )
    parser.add_argument("--ray", metavar="ADDRESS", help="compute features on a Ray cluster (pip install avsc_tf[ray])")
    add_audio_track_argument(parser)
    args = parser.parse_args()
    if args.audio_track:
        args.overrides.append(f"sync.audio_track={args.audio_track}")
    config = config_from_args(args)

    if args.workers is not None and args.workers < 0:
        parser.error("--workers must not be negative (0: no further process)")

    from joblib import cpu_count

    from avsc_tf.corpus.prepare import Workforce, prepare

    workers = cpu_count() if args.workers is None else args.workers
    workforce = Workforce(workers, ray_address=args.ray)
    prepare(config, args.source, args.target, args.out, skip_bad=args.skip_bad, workforce=workforce)


if __name__ == "__main__":
    sys.exit(run_tool(main))
