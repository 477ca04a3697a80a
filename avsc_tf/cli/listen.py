"""A listening and viewing test by the paper's protocol (section 4.5): build its pages, serve them, analyse the answers.

examples: avsc listen build --system joint=DIR --system baseline=DIR --reference DIR --out TEST
          avsc listen serve --test TEST --db answers.sqlite
          avsc listen analyse --test TEST --db answers.sqlite --out RESULTS
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from avsc_tf.cli.arguments import folder, named_path

SUMMARY = "a listening and viewing test: pages, answers, statistics"
RESUME_HINT = "Answers are kept; the same command continues."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", required=True)
    build = commands.add_parser("build", help="folders of finished videos -> a folder of pages")
    build.add_argument("--system", action="append", required=True, metavar="NAME=DIR", help="repeatable")
    build.add_argument("--reference", required=True, **folder(help="the target's natural clips"))
    build.add_argument("--source", **folder(help="the source's natural clips, rated as well"))
    build.add_argument("--emotions", type=Path, metavar="CSV", help="columns utterance, emotion and perhaps sentence")
    build.add_argument("--title", default="Listening and viewing test")
    build.add_argument("--pages", type=int, default=50, metavar="N", help="largest number of pages per rater")
    build.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the order in which raters get pages")
    build.add_argument("--out", required=True, **folder())
    serve = commands.add_parser("serve", help="show the pages and collect answers")
    analyse = commands.add_parser("analyse", help="answers -> tables, tests and figures")
    for command in (serve, analyse):
        command.add_argument("--test", required=True, **folder(help="made by build"))
        command.add_argument("--db", required=True, type=named_path, metavar="FILE", help="SQLite file of the answers")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    serve.add_argument("--port", type=int, default=8765)
    analyse.add_argument("--out", required=True, **folder())


def run(args: argparse.Namespace) -> None:
    from avsc_tf.core.errors import ListeningError

    try:
        if args.what == "build":
            from avsc_tf.listening.build import build_test

            anchors = {"reference": args.reference, "source": args.source}
            about = {"title": args.title, "n_pages": args.pages, "seed": args.seed}
            print(build_test(args.out, systems=_systems(args.system), labels=args.emotions, **anchors, **about))
        elif args.what == "serve":
            from avsc_tf.listening.server import serve

            serve(args.test, args.db, host=args.host, port=args.port)
        else:
            from avsc_tf.listening.results import analyse_test

            print(analyse_test(args.test, args.db, args.out))
    except ModuleNotFoundError as error:
        raise ListeningError(f"{error.name} is not installed: pip install 'avsc_tf[listening]'") from error


def _systems(texts: Sequence[str]) -> dict[str, Path]:
    """Folders of NAME=DIR by name. Raises ListeningError."""
    from avsc_tf.core.errors import ListeningError

    folders: dict[str, Path] = {}
    for text in texts:
        name, sign, path = text.partition("=")
        if not (sign and name and path) or name in folders:
            raise ListeningError(f"--system {text}: must be NAME=DIR, each name once, for example joint=runs/a/videos.")
        folders[name] = Path(path)
    return folders
