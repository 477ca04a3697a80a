"""The `avsc` command: one sub-command per module of this room.

A module of a sub-command has a docstring with an example, `SUMMARY`, `add_arguments(parser)` and `run(args)`, which
returns the exit code (None for 0) and imports what is slow to load itself.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import shtab

from avsc_tf.cli.running import run_tool

COMMANDS = (
    *("prepare", "train", "convert", "evaluate", "diagnose", "probe", "export", "serve", "verify", "listen"),
    *("demo", "doctor"),
)


def main(command: str | None = None, argv: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        command: a sub-command; its arguments follow. By default the first argument names it.
        argv: arguments without the program's name, `sys.argv` by default.

    Returns:
        0, 2 for a user's error, 130 for Ctrl-C, 141 for a closed pipe, or the sub-command's own code.
    """
    arguments = [*([command] if command else []), *(sys.argv[1:] if argv is None else argv)]
    try:
        args = make_parser().parse_args(arguments)
        resume_hint = getattr(args.module, "RESUME_HINT", None)
        return run_tool(lambda: args.module.run(args), **({"resume_hint": resume_hint} if resume_hint else {}))
    except SystemExit as end:  # argparse has printed the help (0) or an error (2)
        return int(end.code or 0)


def make_parser() -> argparse.ArgumentParser:
    """The parser of `avsc` with all sub-commands. `args.module` is the chosen one's, `args.error` reports misuse."""
    parser = argparse.ArgumentParser(
        prog="avsc", description="Turn a video of one person into a video of another: voice and face."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {_version()}")
    shtab.add_argument_to(parser, ["--print-completion"], help="print the completion script of a shell and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in COMMANDS:
        module = _module(name)
        sub = commands.add_parser(
            name,
            help=module.SUMMARY,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(module=module, error=sub.error)
    return parser


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"avsc_tf.cli.{name}")


def _version() -> str:
    try:
        return version("avsc_tf")
    except PackageNotFoundError:
        return "(not installed)"
