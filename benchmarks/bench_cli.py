"""What all benchmarks share: arguments with `--smoke`, and one line where a package is missing.

`--smoke [DIR]` runs the same code on a tiny corpus, to see that it runs; the figures mean nothing. DIR/demo is a run of
`avsc demo` with tests/end_to_end/tiny.yaml, made where it is missing; DIR/NAME holds what benchmark NAME writes.
"""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from avsc_tf.core.errors import AvscError

ROOT = Path(__file__).resolve().parents[1]
DEFAULT = ROOT / "runs" / "smoke"


def parse_arguments(
    file: str, parser: argparse.ArgumentParser, argv: Sequence[str] | None, *, smoke: str
) -> argparse.Namespace:
    """The benchmark's arguments; with `--smoke` those of a run of seconds, before any others of the command line.

    Args:
        file: the benchmark's own `__file__`.
        argv: None for those of the command line.
        smoke: words of that run; {demo}, {out} and {root} stand for the folders.

    Raises:
        AvscError: the tiny demo cannot be made.
    """
    text = f"a run of seconds on a tiny corpus kept in DIR ({DEFAULT.relative_to(ROOT)}); its figures mean nothing"
    parser.add_argument("--smoke", nargs="?", type=Path, const=DEFAULT, metavar="DIR", help=text)
    alone = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    alone.add_argument("--smoke", nargs="?", type=Path, const=DEFAULT)
    given, rest = alone.parse_known_args(argv)
    if given.smoke is None:
        return parser.parse_args(rest)
    folder = given.smoke.resolve()
    demo, out = folder / "demo", folder / Path(file).stem
    out.mkdir(parents=True, exist_ok=True)
    if "{demo}" in smoke and not (demo / "report.html").is_file():
        make_demo(demo)
    words = [word.format(demo=demo, out=out, root=ROOT) for word in shlex.split(smoke)]
    return parser.parse_args([*words, *rest])


def make_demo(out: Path) -> None:
    """The smallest run of every stage. Raises AvscError where a stage fails."""
    settings = ROOT / "tests" / "end_to_end" / "tiny.yaml"
    command = [sys.executable, ROOT / "tools" / "demo.py", "run", "--config", settings, "--out", out]
    if subprocess.run([str(word) for word in command], cwd=ROOT).returncode:
        raise AvscError(f"{out}: the tiny demo was not made; its own words are above")


def need_package(name: str) -> None:
    """Raises AvscError where a package of the extra `benchmarks` is not installed."""
    if importlib.util.find_spec(name) is None:
        raise AvscError(f"{name} is not installed. pip install -e '.[benchmarks]' brings it.")
