"""What each output of a conversion network owes to each input, and what it costs to convert from one of them alone.

python tools/probe.py --bundle RUN --records DIR --out DIR
python tools/probe.py --bundle RUN --records DIR --out DIR --corpus CLIPS   (clips with label times: true times)
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsc_tf.cli.running import run_tool
from avsc_tf.core.files import claim_folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bundle", required=True, type=Path, metavar="RUN", help="run folder of the conversion network"
    )
    parser.add_argument("--records", required=True, type=Path, metavar="DIR", help="made by tools/prepare.py")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="for probe.html, probe.png, probe.json")
    parser.add_argument("--corpus", type=Path, metavar="DIR", help="stands for DIR/source, DIR/target")
    for name in ("--source", "--target"):
        parser.add_argument(name, type=Path, metavar="DIR", help="clips; label times beside them are used")
    parser.add_argument(
        "--align", type=Path, metavar="DIR", help="word times of the target, NAME.align as GRID has them"
    )
    args = parser.parse_args()

    from avsc_tf.conversion.bundle import load_conversion
    from avsc_tf.corpus.reader import open_records
    from avsc_tf.evaluation.folders import find_folders
    from avsc_tf.evaluation.from_features import Streams
    from avsc_tf.evaluation.held_out import Folders, held_out_sentences
    from avsc_tf.evaluation.probe import probe_figures
    from avsc_tf.evaluation.probe_page import cost_text, write_probe

    claim_folder(args.out, ("probe.json",))
    config, convert = load_conversion(args.bundle)
    records = open_records(args.records, config)
    named = args.corpus or args.source or args.target
    folders = Folders(args.records, args.records)  # no label times there: the warping path stands for them
    if named:
        folders = find_folders(args.corpus, source=args.source, target=args.target, align=args.align)
    found = probe_figures(
        lambda source: Streams(*convert(source.mel, source.facial)),
        held_out_sentences(records, folders),
        records.statistics,
        config,
    )
    write_probe(found, args.out)
    print(cost_text(found))
    print(f"{args.out / 'probe.html'}, probe.png, probe.json")


if __name__ == "__main__":
    sys.exit(run_tool(main))
