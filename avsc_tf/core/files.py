"""Files that are whole or not there, folders that one process has at a time, and why a file cannot be written."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from avsc_tf.core.errors import AvscError, OutputError

_NO_ROOM = "Free some space, or name a folder on another disk."
_NOT_ALLOWED = "Change its permissions, or name a folder you may write."
_IN_THE_WAY = "Something else of that name is in the way: name another place."
REMEDIES = {
    errno.ENOSPC: _NO_ROOM,
    errno.EDQUOT: _NO_ROOM,
    errno.EFBIG: "Files may not grow that large here (`ulimit -f`, or the file system): raise the limit.",
    errno.EROFS: "Name a folder you may write.",
    errno.EACCES: _NOT_ALLOWED,
    errno.EPERM: _NOT_ALLOWED,
    errno.ENAMETOOLONG: "Name a shorter one.",
    errno.ENOTDIR: _IN_THE_WAY,
    errno.EISDIR: _IN_THE_WAY,
    errno.EEXIST: _IN_THE_WAY,
    errno.ENOTEMPTY: _IN_THE_WAY,
    errno.ENOENT: "Name one that exists; was it moved or deleted meanwhile?",
    errno.EIO: "The disk fails, or the network it is reached by: copy to another one.",
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`).",
    errno.ENFILE: "Close other programs.",
}
_CODES = {os.strerror(code): code for code in REMEDIES if code != errno.ENOENT} | {
    "database or disk is full": errno.ENOSPC,  # SQLite's words
    "attempt to write a readonly database": errno.EROFS,
}
_NAMED = (re.compile(r"(?:^|\s)(/[^;\n]*);"), re.compile(r"file ?name = '([^'\n]+)'"))  # as TensorFlow and HDF5 have it


def explain(error: BaseException, path: Path | None = None) -> str | None:
    """One line of a file that cannot be written or read: its name, why, and what to do; None of any other error.

    TensorFlow, HDF5 and SQLite report a full disk by errors of their own, which are known by their text.

    Args:
        path: the file, where the caller knows it better than the error does.
    """
    code = error.errno if isinstance(error, OSError) else None
    if code not in REMEDIES:
        code = next((code for reason, code in _CODES.items() if reason in str(error)), None)
    if code is None:
        return None
    named = path or getattr(error, "filename", None)
    named = named or next(
        (found[1] for pattern in _NAMED if (found := pattern.search(str(error)))), "a file, or standard output"
    )
    name = named.decode(errors="replace") if isinstance(named, bytes) else str(named)
    return f"{name}: {os.strerror(code)}. {REMEDIES[code]}"


@contextmanager
def written_whole(path: Path, *, suffix: str = ".part") -> Iterator[Path]:
    """A name beside `path` to write to; the file gets its own name where the block ends well, and is deleted otherwise.

    The name beside is short and of this process alone, so that a file may have the longest name there is, and two
    processes that write it at once do not meet. Folders are made as needed.

    Args:
        suffix: of the name beside, for libraries that go by it.

    Raises:
        OutputError: `path` cannot be written.
    """
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:8]
    part = path.with_name(f".{path.name[:20]}-{digest}-{os.getpid()}{suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except Exception as error:
        other = getattr(error, "filename", None)
        own = other is None or str(other) == str(part) or getattr(error, "filename2", None) == str(path)
        reason = None if isinstance(error, AvscError) else explain(error, path if own else None)
        if reason is None:
            raise
        raise OutputError(reason) from error
    finally:
        _remove(part)


def reserve(part: Path, n_bytes: int) -> None:
    """Raise OSError where the disk has no room for `n_bytes` in `part`; it is left empty.

    For libraries that do not survive a full disk: HDF5 ends the process when it closes a file that it could not write.
    """
    with part.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, n_bytes)
        file.truncate(0)


def _remove(part: Path) -> None:
    try:
        part.unlink(missing_ok=True)
    except OSError:
        return  # its folder is none, or went read-only: there is nothing that could be removed


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write beside (UTF-8), then rename: a half-written file never has the final name. Raises OutputError."""
    with written_whole(path) as part:
        part.write_bytes(content if isinstance(content, bytes) else content.encode())


def claim_folder(folder: Path, signs: Sequence[str]) -> None:
    """Make a folder for a command's files, or take one that is empty or that the command has used before.

    Args:
        signs: patterns of names that only this command gives; a folder with one of them is its own.

    Raises:
        OutputError: the folder holds other things, is a file, or cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise OutputError(explain(error, folder) or f"{folder}: {error}. Name another folder.") from error
    if others and others != ["lost+found"] and not any(next(folder.glob(sign), None) for sign in signs):
        raise OutputError(
            f"{folder}: holds other things already ({others[0]}), which this command did not make. Name a new or an "
            "empty folder."
        )


@contextmanager
def locked_folder(folder: Path, name: str, *, wait: bool = False, doing: str = "") -> Iterator[None]:
    """Have an existing folder for one kind of work until the block ends or the process does, however it ends.

    The lock file NAME.lock stays, empty: deleting it would open a gap between two processes.

    Args:
        name: of the work, for the lock file.
        doing: the work in words, for the message; by default its name.
        wait: until another process lets go, instead of raising.

    Raises:
        OutputError: another process has it, or the lock file cannot be written.
    """
    path = folder / f"{name}.lock"
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise OutputError(explain(error, path) or f"{path}: {error}. Name another folder.") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise OutputError(
                f"{folder}: another {doing or name} is running there. Wait for it, or name another one."
            ) from error
        except OSError:
            pass  # a file system without locks
        yield


@contextmanager
def own_folder(folder: Path, name: str, *, signs: Sequence[str] = (), doing: str = "") -> Iterator[None]:
    """`claim_folder` and `locked_folder`: the lock file marks the folder as the command's own for its next call."""
    claim_folder(folder, (f"{name}.lock", *signs))
    with locked_folder(folder, name, doing=doing):
        yield
