"""A listening and viewing test by the paper's protocol (section 4.5): build its pages, serve them, analyse the answers.

python tools/listening_test.py build --system joint=DIR --system baseline=DIR --reference DIR --out TEST
python tools/listening_test.py serve --test TEST --db answers.sqlite
python tools/listening_test.py analyse --test TEST --db answers.sqlite --out RESULTS
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsc_tf.cli.running import run_tool


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("build", help="folders of finished videos to a folder of pages")
    build.add_argument("--system", action="append", required=True, metavar="NAME=DIR", help="repeatable")
    build.add_argument("--reference", required=True, type=Path, metavar="DIR", help="the target's natural clips")
    build.add_argument("--source", type=Path, metavar="DIR", help="the source's natural clips, rated as well")
    build.add_argument("--emotions", type=Path, metavar="CSV", help="columns utterance, emotion and perhaps sentence")
    build.add_argument("--title", default="Listening and viewing test")
    build.add_argument("--pages", type=int, default=50, metavar="N", help="most pages of a rater")
    build.add_argument("--seed", type=int, default=0, metavar="N", help="of the order in which raters get pages")
    build.add_argument("--out", required=True, type=Path, metavar="DIR")
    serve = commands.add_parser("serve", help="show the pages and collect answers")
    analyse = commands.add_parser("analyse", help="answers to tables, tests and figures")
    for command in (serve, analyse):
        command.add_argument("--test", required=True, type=Path, metavar="DIR", help="made by build")
        command.add_argument("--db", required=True, type=Path, metavar="FILE", help="SQLite file of the answers")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on; this machine alone by default")
    serve.add_argument("--port", type=int, default=8765)
    analyse.add_argument("--out", required=True, type=Path, metavar="DIR")
    return parser.parse_args()


def main() -> None:
    args = parse()
    from avsc_tf.listening import commands

    if args.command == "build":
        anchors = {"reference": args.reference, "source": args.source}
        about = {"title": args.title, "n_pages": args.pages, "seed": args.seed}
        print(commands.build(args.out, systems=args.system, labels=args.emotions, **anchors, **about))
    elif args.command == "serve":
        commands.serve(args.test, args.db, host=args.host, port=args.port)
    else:
        print(commands.analyse(args.test, args.db, args.out))


if __name__ == "__main__":
    sys.exit(run_tool(main, resume_hint="What was answered is kept; the same command goes on."))
