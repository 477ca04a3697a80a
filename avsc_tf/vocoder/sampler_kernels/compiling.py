"""Compiled once a machine, then read from the user's cache folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba

OPTIONS: dict[str, Any] = {"fastmath": True, "nogil": True, "error_model": "numpy"}
INSIDE = {**OPTIONS, "forceinline": True}  # of what is called in every layer: handing over so many arrays takes long


def compiled(function: Callable) -> Any:
    """`numba.njit` for an outermost function: its machine code is kept in `cache_folder`.

    Numba itself writes beside and renames, so that several processes may compile at once.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(cache_folder())  # read by Numba at this moment alone
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    finally:
        numba.config.CACHE_DIR = before


@lru_cache(maxsize=1)
def cache_folder() -> Path:
    """A folder of these sources' own: Numba would not see that a function called by a cached one has changed.

    Below NUMBA_CACHE_DIR, else XDG_CACHE_HOME/avsc_tf, else ~/.cache/avsc_tf; where that cannot be written, below the
    folder for temporary files.
    """
    base = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    name = f"wavenet-{_digest_of_sources()}"
    folder = Path(base, "avsc_tf", name)
    return folder.expanduser() if _writable(folder) else Path(tempfile.mkdtemp(prefix=f"avsc_tf-{name}-"))


def _writable(folder: Path) -> bool:
    try:
        folder = folder.expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except (OSError, RuntimeError):  # RuntimeError: this user has no home
        return False


def _digest_of_sources() -> str:
    """Of this package, and of the constants it takes from elsewhere."""
    here = Path(__file__).parent
    digest = hashlib.sha256(numba.__version__.encode())
    for path in [*sorted(here.glob("*.py")), here.parents[1] / "signal" / "companding.py"]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
