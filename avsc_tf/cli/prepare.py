"""Turn clips of two speakers into aligned, standardised records, and report on the corpus.

example: avsc prepare --config demo --source clips/A --target clips/B --out records
"""

from __future__ import annotations

import argparse

from avsc_tf.cli.arguments import add_audio_track, add_config, folder, read_config

SUMMARY = "clips of two speakers -> aligned records and a report of the corpus"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config(parser)
    parser.add_argument("--source", required=True, **folder(help="clips of the speaker to convert"))
    parser.add_argument("--target", required=True, **folder(help="clips of the speaker to become"))
    parser.add_argument("--out", required=True, **folder(help="folder of the records"))
    parser.add_argument("--skip-bad", action="store_true", help="leave out unusable clips and pairs, and name them")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that compute features, one core each (default: all cores)"
    )
    parser.add_argument("--ray", metavar="ADDRESS", help="compute features on a Ray cluster (pip install avsc_tf[ray])")
    add_audio_track(parser)


def run(args: argparse.Namespace) -> None:
    if args.workers is not None and args.workers < 0:
        args.error("--workers must not be negative (0: no further process)")
    if args.audio_track:
        args.overrides.append(f"sync.audio_track={args.audio_track}")
    from avsc_tf.api import prepare

    options = {"skip_bad": args.skip_bad, "workers": args.workers, "ray_address": args.ray}
    prepare(read_config(args), args.source, args.target, args.out, **options)
