"""What ends one clip must not end a batch: any exception as an error of its clip."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from avsc_tf.core.errors import AvscError, OutputError, TooLargeError, UnexpectedError
from avsc_tf.core.files import explain

_PACKAGE = Path(__file__).parents[1]


def as_clip_error(error: Exception, clip: Path | str) -> AvscError:
    """One line of what went wrong at `clip`; an `AvscError` stays as it is.

    A file that cannot be written and memory that is too small are told as such. Of anything else the line says what it
    was, where, and asks for a report; the traceback goes to the log `avsc_tf` (level info).
    """
    if isinstance(error, AvscError):
        return error
    logging.getLogger("avsc_tf").info("at %s", clip, exc_info=error)
    reason = explain(error)
    if reason is not None:
        return OutputError(f"{clip}: {reason}" if str(clip) not in reason else reason)
    kind, text = type(error).__name__, " ".join(str(error).split())[:300]
    if isinstance(error, MemoryError) or kind in ("ResourceExhaustedError", "_ArrayMemoryError"):
        return TooLargeError(f"{clip}: needs more memory than there is ({text or kind}). Cut it into shorter clips.")
    return UnexpectedError(
        f"{clip}: unexpected {kind}{_place(error)}: {text}. This is a fault of avsc_tf: please report it, if you can "
        "with the file. The other clips are not affected."
    )


def _place(error: Exception) -> str:
    """The last line of this package on the way to the error."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        if path.is_relative_to(_PACKAGE):
            return f" in {path.relative_to(_PACKAGE.parent)}, line {frame.lineno}"
    return ""
