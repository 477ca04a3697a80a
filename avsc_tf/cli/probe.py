"""Measure how each output of a conversion network depends on each input, and the cost of converting from one alone.

examples: avsc probe --bundle RUN --records DIR --out DIR
          avsc probe --bundle RUN --records DIR --out DIR --corpus CLIPS   (clips with label times: true times)
"""

from __future__ import annotations

import argparse

from avsc_tf.cli.arguments import add_clip_folders, folder, named_path

SUMMARY = "which output of the conversion network depends on which input"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", required=True, type=named_path, metavar="RUN", help="run folder")
    parser.add_argument("--records", required=True, **folder(help="made by avsc prepare"))
    parser.add_argument("--out", required=True, **folder(help="receives probe.html, probe.png and probe.json"))
    add_clip_folders(parser)


def run(args: argparse.Namespace) -> None:
    from avsc_tf.conversion.loading import load_conversion
    from avsc_tf.core.files import claim_folder
    from avsc_tf.corpus.reader import open_records
    from avsc_tf.evaluation.folders import find_folders
    from avsc_tf.evaluation.from_features import Streams
    from avsc_tf.evaluation.held_out import Folders, held_out_sentences
    from avsc_tf.evaluation.probe import probe_figures
    from avsc_tf.evaluation.probe_page import cost_text, write_probe

    claim_folder(args.out, ("probe.json",))
    config, convert = load_conversion(args.bundle)
    records = open_records(args.records, config)
    folders = Folders(args.records, args.records)  # no label times there: the warping path replaces them
    if args.corpus or args.source or args.target:
        folders = find_folders(args.corpus, source=args.source, target=args.target, align=args.align)
    figures = probe_figures(
        lambda source: Streams(*convert(source.mel, source.facial)),
        held_out_sentences(records, folders),
        records.statistics,
        config,
    )
    write_probe(figures, args.out)
    print(cost_text(figures))
    print(f"{args.out / 'probe.html'}, probe.png, probe.json")
