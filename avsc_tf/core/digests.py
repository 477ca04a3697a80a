"""Digests of a run folder: what was trained is what is loaded, and one line names it all.

`digests.json` is written by training. It finds damage, and a part that was exchanged; against somebody who exchanges
the digests as well, compare `bundle_digest` with the one that the bundle's maker published.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from avsc_tf.core.errors import BundleError
from avsc_tf.core.files import locked_folder, write_atomically
from avsc_tf.core.runs import (
    DIGESTS_NAME,
    NETWORKS,
    config_path,
    consent_path,
    digests_path,
    statistics_path,
    weights_path,
)

MAX_DIGESTS_BYTES = 64 * 1024
_FORMAT = 1
_SHA256 = re.compile(r"[0-9a-f]{64}")


def seal(run: Path, *, trained: str = "") -> None:
    """Write the digests of all parts that are there; of two trainings that end at once, one after the other.

    Args:
        trained: the network that was trained just now. Parts of other networks are hashed only where nothing is known
            of them, so that damage does not become the rule.
    """
    with locked_folder(run, "digests", wait=True):
        _seal(run, trained)


def _seal(run: Path, trained: str) -> None:
    known = _read(digests_path(run)) if digests_path(run).is_file() else {}
    parts = {statistics_path(run), consent_path(run)}
    for network in NETWORKS:
        if weights_path(run, network).is_file():
            parts |= {config_path(run, network), weights_path(run, network)}
    files = {}
    for path in sorted(part for part in parts if part.is_file()):
        name = path.relative_to(run).as_posix()
        may_change = path == consent_path(run) or (trained and path.parent in (run, run / trained))
        is_new = may_change or name not in known
        files[name] = sha256_of(path) if is_new else known[name]
    write_atomically(digests_path(run), json.dumps({"format": _FORMAT, "files": files}, indent=1) + "\n")


def read_digests(run: Path) -> dict[str, str]:
    """SHA-256 in hexadecimal by the part's path in the run folder.

    Raises:
        BundleError: missing or damaged.
    """
    path = digests_path(run)
    if not path.is_file():
        raise BundleError(
            f"{path}: missing from the bundle. The command that trained a network writes it; nothing is trained again."
        )
    return _read(path)


def bundle_digest(run: Path) -> str:
    """ "sha256:..." over all parts that training sealed. Raises BundleError."""
    lines = sorted(f"{digest}  {name}\n" for name, digest in read_digests(run).items())
    return "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """In hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_DIGESTS_BYTES + 1)
        tree: Any = json.loads(content) if len(content) <= MAX_DIGESTS_BYTES else None
    except (OSError, ValueError, RecursionError):
        tree = None
    files = tree.get("files") if isinstance(tree, dict) and tree.get("format") == _FORMAT else None
    if not isinstance(files, dict) or not all(isinstance(d, str) and _SHA256.fullmatch(d) for d in files.values()):
        raise BundleError(f"{path}: the digests are damaged. Take {DIGESTS_NAME} from where the bundle came from.")
    return files
