"""The whole way on self-made speakers: python tools/demo.py run --config configs/demo.yaml --out runs/demo

`corpus` only writes the two speakers' clips; `grid` lets the source speaker say GRID sentences; `voices` writes speech
to pretrain the WaveNet on; `side-by-side` repeats the last but one stage of `run`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsc_tf.cli.running import add_config_arguments, config_from_args, run_tool
from avsc_tf.demo.speakers.corpus import make_corpus, make_grid_corpus
from avsc_tf.demo.speakers.voices import EMOTIONS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    corpus = commands.add_parser("corpus", help="two speakers, seven emotions, parallel sentences")
    corpus.add_argument("--emotions", nargs="+", default=list(EMOTIONS), metavar="NAME", help="some of the seven")
    corpus.add_argument("--sentences-per-emotion", type=int, default=12, metavar="N")
    corpus.add_argument("--held-out", type=int, default=2, metavar="N", help="of them kept for testing")
    grid = commands.add_parser("grid", help="the source speaker says the sentences of GRID clips")
    grid.add_argument("--like", type=Path, required=True, metavar="DIR", help="folder of GRID clips, bbaf2n.mpg ...")
    grid.add_argument("--held-out", type=int, default=20, metavar="N", help="sentences kept for testing")
    voices = commands.add_parser("voices", help="sound and pitch of all demo voices, to pretrain the WaveNet on")
    voices.add_argument("--minutes", type=float, default=24.0, metavar="N")
    run = commands.add_parser("run", help="corpus, records, training, conversion, evaluation; reuses what is done")
    panels = commands.add_parser("side-by-side", help="videos of a finished run: source, converted, target")
    for command in (run, panels):
        add_config_arguments(command)
        command.add_argument("--out", type=Path, required=True, metavar="DIR")
    for command in (corpus, grid, voices):
        command.add_argument("--out", type=Path, required=True, metavar="DIR")
        command.add_argument("--seed", type=int, default=0, metavar="N")
    for command in (corpus, grid):
        command.add_argument("--size-px", type=int, default=256, metavar="N", help="side of the square frames")
    args = parser.parse_args()
    if args.command in ("run", "side-by-side"):
        from avsc_tf.demo.run import run_demo, show_demo

        if args.command == "run":
            run_demo(config_from_args(args), args.out, tools=Path(__file__).resolve().parent)
        else:
            show_demo(config_from_args(args), args.out)
        return
    if args.command == "voices":
        from avsc_tf.demo.speakers.pretraining import write_pretraining_speech

        write_pretraining_speech(args.out, minutes=args.minutes, seed=args.seed)
        return
    common = {"seed": args.seed, "size_px": args.size_px}
    if args.command == "corpus":
        sizes = {"sentences_per_emotion": args.sentences_per_emotion, "held_out_per_emotion": args.held_out}
        make_corpus(args.out, emotions=args.emotions, **sizes, **common)
    else:
        names = sorted(path.stem for path in args.like.glob("*.mpg"))
        make_grid_corpus(args.out, names, held_out=args.held_out, **common)


if __name__ == "__main__":
    sys.exit(run_tool(main))
