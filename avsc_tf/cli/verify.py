"""Report the origin of videos and sounds: signed credentials, and watermarks in sound and picture.

examples: avsc verify VIDEO [VIDEO ...]
          avsc verify VIDEO --trust root.pem --bundle runs/demo/run --json

Exit codes: 0 each file has credentials or a watermark; 1 a file has neither; 2 a file cannot be read; 3 credentials do
not match the file, or watermarks do not match the credentials. No network is used.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from avsc_tf.cli.arguments import named_path
from avsc_tf.cli.running import EXIT_USER_ERROR, print_error

SUMMARY = "credentials and watermarks of videos and sounds"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", type=named_path, metavar="FILE", help="video or sound of any kind")
    parser.add_argument("--trust", nargs="+", type=Path, default=[], metavar="PEM", help="further roots to trust")
    parser.add_argument("--bundle", type=Path, metavar="RUN", help="run folder to compare the watermarks with")
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")


def run(args: argparse.Namespace) -> int:
    from avsc_tf.core.digests import bundle_digest
    from avsc_tf.core.errors import MediaError
    from avsc_tf.provenance.findings import as_text, exit_code, report
    from avsc_tf.provenance.identity import certificates_in, own_root
    from avsc_tf.provenance.marking import watermark_key
    from avsc_tf.provenance.verify import verify

    trusted = own_root() + "".join(certificates_in(path) for path in args.trust)
    bundle = bundle_digest(args.bundle) if args.bundle else ""
    findings, errors = [], {}
    for path in args.files:
        try:
            findings.append(verify(path, trusted=trusted, key=watermark_key()))
        except MediaError as error:
            errors[path] = str(error)
            print_error(error)
            continue
        if not args.json:
            print(as_text(findings[-1], bundle))
    if args.json:
        print(json.dumps(report(findings, errors, bundle), indent=2))
    return EXIT_USER_ERROR if errors else exit_code(findings)
