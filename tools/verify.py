"""Where videos and sounds come from: signed credentials, and marks in sound and picture.

python tools/verify.py VIDEO [VIDEO ...]
python tools/verify.py VIDEO --trust root.pem --bundle runs/demo/run --json

Exit codes: 0 each file holds credentials or a mark; 1 a file holds nothing; 2 a file cannot be read; 3 credentials do
not fit the file, or marks do not fit the credentials. No network is used.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from avsc_tf.cli.running import EXIT_USER_ERROR, print_error, run_tool
from avsc_tf.core.digests import bundle_digest
from avsc_tf.core.errors import MediaError
from avsc_tf.provenance.findings import as_text, exit_code, report
from avsc_tf.provenance.flags import watermark_key
from avsc_tf.provenance.identity import certificates_in, own_root
from avsc_tf.provenance.verify import verify


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="video or sound of any kind")
    trust = "roots to trust besides this user's own"
    parser.add_argument("--trust", nargs="+", type=Path, default=[], metavar="PEM", help=trust)
    parser.add_argument("--bundle", type=Path, metavar="RUN", help="run folder: are the marks of this one?")
    parser.add_argument("--json", action="store_true", help="all that was found, as JSON")
    args = parser.parse_args()
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


if __name__ == "__main__":
    sys.exit(run_tool(main))
