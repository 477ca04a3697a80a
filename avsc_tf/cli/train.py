"""Train one of the three networks on prepared records.

example: avsc train conversion --config demo --records records --out run
"""

from __future__ import annotations

import argparse
from pathlib import Path

from avsc_tf.cli.arguments import add_config, folder, named_path, positive, read_config
from avsc_tf.core.runs import NETWORKS

SUMMARY = "train a network on records"
RESUME_HINT = "Continue with --resume."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", choices=NETWORKS)
    add_config(parser)
    parser.add_argument("--records", **folder(help="made by avsc prepare"))
    parser.add_argument(
        "--out", required=True, type=named_path, metavar="RUN", help="run folder; all networks share one"
    )
    parser.add_argument("--resume", action="store_true", help="continue an unfinished training")
    parser.add_argument("--dry-run", action="store_true", help="report shapes, steps, memory and time; write nothing")
    parser.add_argument(
        "--consent", type=Path, metavar="FILE", help="consent record of the target; default: the records'"
    )
    parser.add_argument("--init-from", type=Path, metavar="WEIGHTS", help="initial weights")
    parser.add_argument(
        "--pretrain", type=Path, nargs="+", metavar="DIR", help="wavenet: folders of speech, no records"
    )
    parser.add_argument("--skip-bad", action="store_true", help="--pretrain: leave out unreadable files, and name them")
    parser.add_argument(
        "--devices", type=positive, default=1, metavar="N", help="GPUs per machine to train on together"
    )
    parser.add_argument("--ray", metavar="ADDRESS", help="train on a Ray cluster: auto, HOST:PORT, local")
    parser.add_argument("--workers", type=positive, metavar="N", help="--ray: number of processes, one per machine")


def run(args: argparse.Namespace) -> None:
    _check(args)
    from avsc_tf.training.job import TrainingJob

    job = TrainingJob(
        network=args.network,
        config=read_config(args),
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


def _check(args: argparse.Namespace) -> None:
    """End with a usage error where options contradict each other."""
    if args.pretrain and args.network != "wavenet":
        args.error("--pretrain is for the wavenet")
    if args.dry_run and args.ray:
        args.error("--dry-run describes this machine: leave --ray out")
    if args.pretrain and args.dry_run:
        args.error("--dry-run needs --records: --pretrain reads its recordings first")
    if args.records is None and not args.pretrain:
        args.error("--records is missing: name the folder made by avsc prepare")
    if bool(args.ray) != bool(args.workers):
        args.error("--ray ADDRESS and --workers N belong together")
