"""How a command ends: every outcome becomes an exit code, a user's error one line."""

from __future__ import annotations

import atexit
import io
import os
import select
import shutil
import sys
import tempfile
from collections.abc import Callable

from avsc_tf.core.errors import AvscError, OutputError
from avsc_tf.core.files import explain

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130
EXIT_CLOSED_PIPE = 141  # as of a program that SIGPIPE ends


def run_tool(main: Callable[[], int | None], *, resume_hint: str = "Run the same command again to continue.") -> int:
    """Call `main` and turn its outcome into an exit code.

    An error of a file ends with one line as well, whichever library raised it. If the reader of a pipe has closed it
    (`| head`), the program ends without a message.

    Args:
        resume_hint: printed after Ctrl-C.

    Returns:
        The result of `main` (0 for None); 2 after an `AvscError` or a file error, 130 after Ctrl-C, 141 after a closed
        pipe.
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
    """Whether the reader of standard output or standard error has closed the pipe."""
    polled = select.poll()
    for stream in (sys.stdout, sys.stderr):
        polled.register(stream.fileno(), 0)  # POLLERR is always reported
    return bool(polled.poll(0))


def _forget_output() -> None:
    """Discard what is still buffered for standard output, so that Python's shutdown raises no second error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_error(error: AvscError) -> None:
    """Print an error as one line on standard error."""
    print(f"error: {' '.join(str(error).split())}", file=sys.stderr)


def _print_any_text() -> None:
    """Print characters that the terminal's encoding lacks as escapes, as Python does on standard error."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _quieten_libraries() -> None:
    """Suppress the start-up messages of TensorFlow and MediaPipe, before their import; errors still show."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GLOG_minloglevel", "3")


def _lend_a_home() -> None:
    """Give a user without a home directory a temporary one for the libraries that need it.

    Matplotlib (which Keras imports) and Numba (librosa) read it at import.
    """
    if os.path.expanduser("~") == "~":
        folder = tempfile.mkdtemp(prefix="avsc_tf-home-")
        for variable in ("MPLCONFIGDIR", "XDG_CACHE_HOME"):
            os.environ.setdefault(variable, folder)
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
