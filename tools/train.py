"""Train one network: python tools/train.py {conversion,wavenet,image} --config C --records DIR --out RUN."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsc_tf.cli import add_config_arguments, config_from_args, run_tool
from avsc_tf.runs import NETWORKS


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train one of the three networks on prepared records.")
    parser.add_argument("network", choices=NETWORKS)
    add_config_arguments(parser)
    parser.add_argument("--records", type=Path, metavar="DIR", help="made by tools/prepare.py")
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="run folder; all networks share one")
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished training")
    parser.add_argument("--dry-run", action="store_true", help="say shapes, steps, memory and time; write nothing")
    parser.add_argument("--init-from", type=Path, metavar="W", help="weights to start from")
    parser.add_argument("--pretrain", type=Path, nargs="+", metavar="DIR", help="wavenet: folders of speech instead")
    parser.add_argument("--skip-bad", action="store_true", help="--pretrain: leave out unreadable files, and name them")
    args = parser.parse_args(argv)
    if args.pretrain and args.network != "wavenet":
        parser.error("--pretrain is for the wavenet")
    if args.pretrain and args.dry_run:
        parser.error("--dry-run needs --records: --pretrain reads its recordings first")
    if args.records is None and not args.pretrain:
        parser.error("--records is missing: name the folder made by tools/prepare.py")
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    config = config_from_args(args)
    options = {"resume": args.resume, "init_from": args.init_from}
    if args.pretrain:
        from avsc_tf.conversion.sampler import WaveNetSampler
        from avsc_tf.training.wavenet_pretraining import pretrain_wavenet

        options |= {"make_sampler": WaveNetSampler, "skip_bad": args.skip_bad}
        pretrain_wavenet(config, args.pretrain, args.out, **options)
        return 0
    from avsc_tf.records.reader import open_records

    options["dry_run"] = args.dry_run
    records = open_records(args.records, config)
    if args.network == "conversion":
        from avsc_tf.conversion.griffin_lim import preview_vocoder
        from avsc_tf.training.conversion import train_conversion as train

        options["vocode"] = preview_vocoder(config)
    elif args.network == "wavenet":
        from avsc_tf.conversion.sampler import WaveNetSampler
        from avsc_tf.training.wavenet import train_wavenet as train

        options["make_sampler"] = WaveNetSampler
    else:
        from avsc_tf.training.image import train_image as train
    train(config, records, args.out, **options)
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main, resume_hint="Go on with --resume."))
