"""Serve conversions over HTTP, with a page: upload a clip, follow its conversion, download the video.

examples: avsc serve --bundle runs/demo/run
          avsc serve --bundle runs/audio runs/visual --set conversion.vocoder=griffin-lim
"""

from __future__ import annotations

import argparse
from pathlib import Path

from avsc_tf.cli.arguments import add_bundle, check_bundle, folder

SUMMARY = "conversions over HTTP, with a page"
RESUME_HINT = "The queue is kept and continues when the service is started again."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_bundle(parser)
    parser.add_argument("--config", metavar="FILE", help="settings of the service (default: the shipped serve.yaml)")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting (repeatable)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8501, help="0 selects a free port")
    parser.add_argument("--data", default=Path("runs/service"), **folder(help="jobs, uploads and results"))
    parser.add_argument("--models", **folder(help="exported models, for predictions (/v1/models)"))
    parser.add_argument("--ray", action="store_true", help="run on Ray Serve of this machine (extra ray)")


def run(args: argparse.Namespace) -> None:
    check_bundle(args)
    from avsc_tf.service.settings import load_settings

    if args.ray:
        from avsc_tf.service.ray_app import serve_on_ray as serve
    else:
        from avsc_tf.service.serve import serve

    settings = load_settings(args.config, args.overrides)
    serve(settings, args.bundle, data=args.data, host=args.host, port=args.port, models=args.models)
