"""One preparation at a time in a folder."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from avsc_tf.errors import RecordError

LOCK_NAME = "prepare.lock"  # stays, empty: deleting it would open a gap between two processes


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Hold `folder` (made if need be) until the block ends or the process does, however it ends.

    Raises:
        RecordError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_NAME).open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RecordError(
                f"{folder}: another preparation is running there. Wait for it, or name another folder."
            ) from error
        yield
