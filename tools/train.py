"""Train one network: python tools/train.py {conversion,wavenet,image} --config C --records DIR --out RUN."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avsc_tf.cli.running import add_config_arguments, config_from_args, run_tool
from avsc_tf.core.runs import NETWORKS
from avsc_tf.training.job import TrainingJob


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Train one of the three networks on prepared records.")
    parser.add_argument("network", choices=NETWORKS)
    add_config_arguments(parser)
    parser.add_argument("--records", type=Path, metavar="DIR", help="made by tools/prepare.py")
    parser.add_argument("--out", required=True, type=Path, metavar="RUN", help="run folder; all networks share one")
    parser.add_argument("--resume", action="store_true", help="go on with an unfinished training")
    parser.add_argument("--dry-run", action="store_true", help="say shapes, steps, memory and time; write nothing")
    parser.add_argument("--consent", type=Path, metavar="FILE", help="the target's record; else that of the records")
    parser.add_argument("--init-from", type=Path, metavar="W", help="weights to start from")
    parser.add_argument("--pretrain", type=Path, nargs="+", metavar="DIR", help="wavenet: folders of speech instead")
    parser.add_argument("--skip-bad", action="store_true", help="--pretrain: leave out unreadable files, and name them")
    parser.add_argument(
        "--devices", type=int, default=1, metavar="N", help="GPUs of each machine, to train on together"
    )
    parser.add_argument("--ray", metavar="ADDRESS", help="train on a Ray cluster: auto, HOST:PORT, local")
    parser.add_argument("--workers", type=int, metavar="N", help="--ray: processes, one a machine")
    args = parser.parse_args(argv)
    if args.pretrain and args.network != "wavenet":
        parser.error("--pretrain is for the wavenet")
    if args.dry_run and args.ray:
        parser.error("--dry-run is of this machine: leave --ray out")
    if args.pretrain and args.dry_run:
        parser.error("--dry-run needs --records: --pretrain reads its recordings first")
    if args.records is None and not args.pretrain:
        parser.error("--records is missing: name the folder made by tools/prepare.py")
    if bool(args.ray) != bool(args.workers):
        parser.error("--ray ADDRESS and --workers N belong together")
    if args.devices < 1 or (args.workers or 1) < 1:
        parser.error("--devices and --workers must be at least 1")
    return args


def main(argv: list[str] | None = None) -> int:
    args = parse_args(argv)
    job = TrainingJob(
        network=args.network,
        config=config_from_args(args),
        run=args.out,
        records=args.records,
        resume=args.resume,
        init_from=args.init_from,
        pretrain=tuple(args.pretrain or ()),
        skip_bad=args.skip_bad,
        n_devices=args.devices,
        dry_run=args.dry_run,
        consent=args.consent,
    )
    if args.ray:
        from avsc_tf.training.ray_training import train_on_ray

        train_on_ray(job, address=args.ray, n_workers=args.workers)
    else:
        job.do()
    return 0


if __name__ == "__main__":
    sys.exit(run_tool(main, resume_hint="Go on with --resume."))
