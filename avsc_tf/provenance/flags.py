"""Flags of the tools that convert: files are marked and signed unless one says otherwise."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from avsc_tf.provenance.code import PUBLIC_KEY
from avsc_tf.provenance.marking import Provenance

WATERMARK_KEY_VARIABLE = "AVSC_TF_WATERMARK_KEY"


def add_provenance_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--without-provenance`, `--certificate`, `--private-key` and `--timestamp-url`."""
    group = parser.add_argument_group("provenance (docs/provenance.md)")
    group.add_argument(
        "--without-provenance",
        action="store_true",
        help="no marks, no credentials: for measurements, and for those who themselves answer for nobody being fooled",
    )
    own = "sign with this certificate and its chain, not with a key of one's own"
    group.add_argument("--certificate", type=Path, metavar="PEM", help=own)
    group.add_argument("--private-key", type=Path, metavar="PEM", help="of --certificate")
    group.add_argument("--timestamp-url", metavar="URL", help="of a time stamp authority (RFC 3161); uses the network")


def provenance_from_args(args: argparse.Namespace) -> Provenance | None:
    """What the flags ask for, and whether it can be done: the key is there, or made now. Raises ProvenanceError."""
    if args.without_provenance:
        return None
    provenance = Provenance(args.certificate, args.private_key, args.timestamp_url, watermark_key())
    provenance.identity()
    return provenance


def watermark_key() -> str:
    """The secret in $AVSC_TF_WATERMARK_KEY, or the public key."""
    return os.environ.get(WATERMARK_KEY_VARIABLE) or PUBLIC_KEY
