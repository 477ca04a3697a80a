"""Conversions over HTTP, with a page for people: send a clip, follow it, fetch the video.

python tools/serve.py --bundle runs/demo/run
python tools/serve.py --bundle runs/audio runs/visual --config configs/serve.yaml --set conversion.vocoder=griffin-lim
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsc_tf.cli.running import run_tool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runs = {"type": Path, "nargs": "+", "metavar": "RUN", "help": "run folder, or those of both baselines"}
    parser.add_argument("--bundle", required=True, **runs)
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings; without it those of configs/serve.yaml")
    overrides = {"action": "append", "default": [], "metavar": "KEY=VALUE", "help": "change a setting (repeatable)"}
    parser.add_argument("--set", dest="overrides", **overrides)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; this machine alone by default")
    parser.add_argument("--port", type=int, default=8501, help="0 takes a free one")
    parser.add_argument("--data", type=Path, default=Path("runs/service"), metavar="DIR", help="jobs, uploads, results")
    parser.add_argument("--models", type=Path, metavar="DIR", help="exported models, for predictions (/v1/models)")
    parser.add_argument("--ray", action="store_true", help="on Ray Serve of this machine (extra ray)")
    args = parser.parse_args()
    if len(args.bundle) > 2:
        parser.error("--bundle takes one run folder, or two")
    from avsc_tf.service.settings import load_settings

    if args.ray:
        from avsc_tf.service.ray_app import serve_on_ray as serve
    else:
        from avsc_tf.service.serve import serve

    settings = load_settings(args.config, args.overrides)
    serve(settings, args.bundle, data=args.data, host=args.host, port=args.port, models=args.models)


if __name__ == "__main__":
    sys.exit(run_tool(main, resume_hint="The queue is kept, and goes on when the service is started again."))
