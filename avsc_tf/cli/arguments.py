"""Arguments that several sub-commands share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avsc_tf.core.config import Config
    from avsc_tf.provenance.marking import Provenance


def named_path(text: str) -> Path:
    """Path of an option. An empty text, as of an unset variable, is an error of the command line."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; name a file or a folder")
    return Path(text)


def positive(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


def folder(**more: Any) -> dict[str, Any]:
    """Keywords of `add_argument` for a folder."""
    return {"type": named_path, "metavar": "DIR", **more}


def add_config(parser: argparse.ArgumentParser) -> None:
    """Add `--config FILE` and the repeatable `--set section.key=value`."""
    parser.add_argument(
        "--config",
        required=True,
        metavar="FILE",
        help="settings: a YAML file, or a shipped one by name (demo)",
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting, for example image.epochs=3 (repeatable)",
    )


def read_config(args: argparse.Namespace) -> Config:
    """Settings of the arguments that `add_config` added. Raises ConfigError."""
    from avsc_tf.core.config import load_config

    return load_config(args.config, args.overrides)


def add_clip_folders(parser: argparse.ArgumentParser) -> None:
    """Add `--corpus`, `--source`, `--target` and `--align`: clips of held-out sentences with their label times."""
    parser.add_argument("--corpus", **folder(help="stands for DIR/source, DIR/target, DIR/second_take"))
    for name in ("--source", "--target"):
        parser.add_argument(name, **folder(help="clips; label times beside them are used"))
    parser.add_argument("--align", **folder(help="word times of the target, NAME.align in GRID's format"))


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """Add `--bundle RUN [RUN]`; `check_bundle` follows after parsing."""
    parser.add_argument(
        "--bundle",
        required=True,
        type=named_path,
        nargs="+",
        metavar="RUN",
        help="run folder, or those of the two baselines",
    )


def check_bundle(args: argparse.Namespace) -> None:
    """End with a usage error where `--bundle` names more than two folders."""
    if len(args.bundle) > 2:
        args.error("--bundle takes one run folder, or two")


def add_audio_track(parser: argparse.ArgumentParser) -> None:
    """Add `--audio-track N`."""
    parser.add_argument(
        "--audio-track",
        type=positive,
        default=0,
        metavar="N",
        help="sound track of video files with several, counted from 1 (default: the file's default track)",
    )


def add_provenance(parser: argparse.ArgumentParser) -> None:
    """Add `--without-provenance`, `--certificate`, `--private-key` and `--timestamp-url`."""
    group = parser.add_argument_group("provenance (docs/provenance.md)")
    group.add_argument(
        "--without-provenance",
        action="store_true",
        help="no watermarks and no credentials: for measurements, or where you make sure that nobody is deceived",
    )
    group.add_argument("--certificate", type=Path, metavar="PEM", help="sign with this certificate and its chain")
    group.add_argument("--private-key", type=Path, metavar="PEM", help="private key of --certificate")
    group.add_argument("--timestamp-url", metavar="URL", help="time stamp authority (RFC 3161); uses the network")


def read_provenance(args: argparse.Namespace) -> Provenance | None:
    """Provenance of the arguments that `add_provenance` added, with its key checked or made. Raises ProvenanceError."""
    if args.without_provenance:
        return None
    from avsc_tf.provenance.marking import Provenance, watermark_key

    provenance = Provenance(args.certificate, args.private_key, args.timestamp_url, watermark_key())
    provenance.identity()
    return provenance
