"""Run the whole demo on two synthetic speakers, or make their clips only.

example: avsc demo run --config demo --out runs/demo
"""

from __future__ import annotations

import argparse

from avsc_tf.cli.arguments import add_config, folder, read_config

SUMMARY = "two synthetic speakers: corpus, training, conversion, report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(dest="what", required=True)
    run = commands.add_parser("run", help="corpus, records, training, conversion, evaluation; finished stages are kept")
    panels = commands.add_parser("side-by-side", help="videos of a finished run: source, converted, target")
    corpus = commands.add_parser("corpus", help="clips of two speakers, seven emotions, parallel sentences")
    corpus.add_argument("--emotions", nargs="+", metavar="NAME", help="some of the seven emotions")
    corpus.add_argument("--sentences-per-emotion", type=int, default=12, metavar="N")
    corpus.add_argument("--held-out", type=int, default=2, metavar="N", help="sentences per emotion kept for testing")
    grid = commands.add_parser("grid", help="the source speaker with the sentences of GRID clips")
    grid.add_argument("--like", required=True, **folder(help="folder of GRID clips, bbaf2n.mpg ..."))
    grid.add_argument("--held-out", type=int, default=20, metavar="N", help="sentences kept for testing")
    voices = commands.add_parser("voices", help="sound and F0 of all demo voices, to pretrain the WaveNet on")
    voices.add_argument("--minutes", type=float, default=24.0, metavar="N")
    for command in (run, panels):
        add_config(command)
        command.add_argument("--out", required=True, **folder())
    for command in (corpus, grid, voices):
        command.add_argument("--out", required=True, **folder())
        command.add_argument("--seed", type=int, default=0, metavar="N")
    for command in (corpus, grid):
        command.add_argument("--size-px", type=int, default=256, metavar="N", help="side of the square frames")


def run(args: argparse.Namespace) -> None:
    if args.what in ("run", "side-by-side"):
        from avsc_tf.demo.run import run_demo, show_demo

        (run_demo if args.what == "run" else show_demo)(read_config(args), args.out)
        return
    if args.what == "voices":
        from avsc_tf.demo.speakers.pretraining import write_pretraining_speech

        write_pretraining_speech(args.out, minutes=args.minutes, seed=args.seed)
        return
    from avsc_tf.demo.speakers.corpus import make_corpus, make_grid_corpus
    from avsc_tf.demo.speakers.voices import EMOTIONS

    common = {"seed": args.seed, "size_px": args.size_px}
    if args.what == "corpus":
        sizes = {"sentences_per_emotion": args.sentences_per_emotion, "held_out_per_emotion": args.held_out}
        make_corpus(args.out, emotions=args.emotions or list(EMOTIONS), **sizes, **common)
    else:
        names = sorted(path.stem for path in args.like.glob("*.mpg"))
        make_grid_corpus(args.out, names, held_out=args.held_out, **common)
