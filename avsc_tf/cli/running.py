"""What the tools share: settings from flags, and one way to end.

A tool is `sys.exit(run_tool(main))`: a user's error becomes one line and exit code 2, Ctrl-C a line and 130.
"""

from __future__ import annotations

import argparse
import atexit
import io
import os
import select
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from avsc_tf.core.config import Config, load_config
from avsc_tf.core.errors import AvscError, OutputError
from avsc_tf.core.files import explain

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141  # as of a program that SIGPIPE ends


def run_tool(main: Callable[[], int | None], *, resume_hint: str = "Run the same command again to go on.") -> int:
    """Call `main` and turn its outcome into an exit code.

    A file that cannot be written or read ends with one line, too, whichever library reported it. Where the reader of a
    pipe has closed it (`| head`), the program ends without a message.

    Returns:
        What `main` returned (0 for None), 2 for an `AvscError` or a file, 130 for Ctrl-C, 141 for a closed pipe.
    """
    _quieten_libraries()
    _print_any_text()
    _lend_a_home()
    try:
        code = main() or 0
        sys.stdout.flush()
        return code
    except AvscError as error:
        print_error(error)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print(f"\nStopped; what is done is kept. {resume_hint}", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _reader_is_gone():
            _forget_output()
            return EXIT_CLOSED_PIPE
        reason = explain(error)
        if reason is None:
            raise
        print_error(OutputError(reason))
        return EXIT_USER_ERROR


def _reader_is_gone() -> bool:
    """Whether somebody closed the pipe behind standard output or standard error."""
    polled = select.poll()
    for stream in (sys.stdout, sys.stderr):
        polled.register(stream.fileno(), 0)  # POLLERR is always reported
    return bool(polled.poll(0))


def _forget_output() -> None:
    """Let what is still buffered for standard output go nowhere, so that Python's end meets no error again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(error: AvscError) -> None:
    """One line, on standard error."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)


def _print_any_text() -> None:
    """Characters that the terminal's encoding lacks are printed as escapes, as Python does on standard error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def named_path(text: str) -> Path:
    """The path that an option names; an empty text, as of an unset variable, is an error of the command line."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; name a file or a folder")
    return Path(text)


def _quieten_libraries() -> None:
    """TensorFlow and MediaPipe greet every start with a page of notes; errors still show. Before their import."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GLOG_minloglevel", "3")


def _lend_a_home() -> None:
    """For a user without a home, give the libraries that do not start without one a folder, for as long as this runs.

    Before their import: Matplotlib (which Keras imports) and Numba (librosa).
    """
    if os.path.expanduser("~") == "~":
        folder = tempfile.mkdtemp(prefix="avsc_tf-home-")
        for variable in ("MPLCONFIGDIR", "XDG_CACHE_HOME"):
            os.environ.setdefault(variable, folder)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--config FILE` and the repeatable `--set section.key=value`."""
    parser.add_argument("--config", required=True, metavar="FILE", help="settings, for example configs/demo.yaml")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one setting, for example image.epochs=3 (repeatable)",
    )


def add_audio_track_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--audio-track N`."""
    parser.add_argument(
        "--audio-track",
        type=_positive,
        default=0,
        metavar="N",
        help="which sound track of video files that hold several, counted from 1 (without it: the default track)",
    )


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no track; they are counted from 1")
    return number


def config_from_args(args: argparse.Namespace) -> Config:
    """The checked settings that `add_config_arguments` asked for. Raises ConfigError."""
    return load_config(args.config, args.overrides)
