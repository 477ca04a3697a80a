"""A stranger's bundle: what is checked before a byte of it is trusted.

Settings are plain YAML (`core.config.reading.read_plain_tree`), statistics and weights plain arrays. No pickle, no
Keras archive, no code of any kind is read. Whatever a file claims to hold is compared with its size on the disk and
with the networks that the settings describe, before memory is taken for it. Parsing HDF5 and YAML is left to their
libraries, so keep those up to date.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from avsc_tf.core.digests import sha256_of
from avsc_tf.core.errors import BundleError

MAX_SMALL_BYTES = 16 * 2**20  # of settings, statistics, digests
MAX_WEIGHTS_BYTES = 4 * 2**30  # the paper's largest network has 0.35 GB
MAX_GROUP_DEPTH = 32
SPARE_BYTES = 4096  # counters and seeds that a network has and a weights file may lack
SOURCE = "Take the bundle from where it came from again"


def check_regular(run: Path, path: Path, *, max_bytes: int = MAX_SMALL_BYTES) -> None:
    """A part is a file of its own inside the run folder, of a bounded size.

    Raises:
        BundleError: a link, a pipe, a device, or too large.
    """
    info = path.lstat()
    if not stat.S_ISREG(info.st_mode) or not path.resolve().is_relative_to(run.resolve()):
        raise BundleError(f"{path}: is a link, a pipe or a device; parts of a bundle are files of their own. Copy it.")
    if info.st_size > max_bytes:
        raise BundleError(f"{path}: has {info.st_size} bytes; at most {max_bytes} are read. {SOURCE}.")


def check_digests(run: Path, parts: Iterable[Path], digests: dict[str, str]) -> None:
    """Every part is what training sealed. Raises BundleError."""
    for path in parts:
        name = path.relative_to(run).as_posix()
        if name not in digests:
            raise BundleError(f"{path}: is not in digests.json. The command that trained it adds it.")
        if sha256_of(path) != digests[name]:
            raise BundleError(
                f"{path}: is damaged, or was exchanged: its SHA-256 is not that of digests.json. {SOURCE}."
            )


def check_weights(path: Path, build: Callable[[], Any], *, settings: Path) -> None:
    """The weights file holds plain arrays, and as many bytes as the network that `build` makes.

    The network is built in a graph that nobody runs, so a size that the settings only claim takes no memory.

    Raises:
        BundleError: anything but plain arrays, or another network.
    """
    n_stored = _stored_bytes(path)
    n_wanted = abstract_bytes(build, settings)
    if not n_wanted - SPARE_BYTES <= n_stored <= n_wanted + SPARE_BYTES:
        raise BundleError(
            f"{path}: holds {n_stored} bytes of weights, but the network of {settings} has {n_wanted}: the weights do "
            f"not fit. {SOURCE}."
        )


def abstract_bytes(build: Callable[[], Any], settings: Path) -> int:
    """Bytes of a network's variables, without making them. Raises BundleError where the settings make no network."""
    import keras
    import tensorflow as tf

    try:
        with tf.Graph().as_default(), keras.StatelessScope():
            return sum(_bytes_of(variable) for variable in build().variables)
    except (ValueError, TypeError, OverflowError, ZeroDivisionError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise BundleError(f"{settings}: these settings make no network ({reason}). {SOURCE}.") from error


def _bytes_of(variable: Any) -> int:
    size = np.dtype(str(variable.dtype).replace("bfloat16", "float16")).itemsize
    return int(np.prod([int(n) for n in variable.shape], dtype=object)) * size


def _stored_bytes(path: Path) -> int:
    """Bytes of all arrays of a `.weights.h5`, each of them plain and really there."""
    try:
        with h5py.File(path, "r") as file:
            return _bytes_in(path, file, set(), MAX_GROUP_DEPTH)
    except (OSError, RuntimeError, ValueError, KeyError) as error:  # h5py's, of a damaged file
        raise BundleError(f"{path}: is no HDF5 file of weights ({error}). {SOURCE}.") from error


def _bytes_in(path: Path, group: h5py.Group, seen: set[Any], depth: int) -> int:
    if depth == 0:
        raise BundleError(f"{path}: is nested more than {MAX_GROUP_DEPTH} deep. {SOURCE}.")
    total = 0
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise BundleError(
                f"{path}: {group.name}/{name} is a link to elsewhere; only plain arrays are read. {SOURCE}."
            )
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen:
            raise BundleError(f"{path}: {item.name} stands twice in the file. {SOURCE}.")
        seen.add(address)
        total += _bytes_in(path, item, seen, depth - 1) if isinstance(item, h5py.Group) else _checked_bytes(path, item)
    return total


def _checked_bytes(path: Path, item: Any) -> int:
    is_plain = (
        isinstance(item, h5py.Dataset)
        and item.dtype.kind in "fiub"
        and not item.is_virtual
        and not item.external
        and item.chunks is None
        and item.id.get_storage_size() == item.nbytes
    )
    if not is_plain:
        raise BundleError(f"{path}: {item.name} is no plain array that lies whole in the file. {SOURCE}.")
    return int(item.nbytes)
