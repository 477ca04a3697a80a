"""Check this machine: Python and packages, processor, GPU, codecs, weights, disk; report what to do about each finding.

example: avsc doctor

Exit codes: 0 the commands can run; 1 something they need is missing.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

SUMMARY = "check this machine and report what to do"
MARKS = {"ok": "ok  ", "note": "note", "fault": "FAULT"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(args: argparse.Namespace) -> int:
    from avsc_tf.cli.machine import check_machine

    findings = list(check_machine())
    if args.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            print(f"{MARKS[finding.level]:5} {finding.subject}: {finding.text}")
    return int(any(finding.level == "fault" for finding in findings))
