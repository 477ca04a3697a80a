"""Tensors of a PyTorch checkpoint in the format before 1.6, read without PyTorch and without running what is in it.

Five pickles (a magic number, a version, the machine, the objects, the names of the storages), then each storage as
its length and its raw values. The unpickler below knows nothing but ordered dicts and tensors.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from avsc_tf.core.errors import BundleError

MAGIC = 0x1950A86A20F9469CFC6C
STORAGE_TYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: np.dtype


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


def read_torch_tensors(path: Path, key: str) -> dict[str, np.ndarray]:
    """The named tensors under `key` of a checkpoint's outermost dict.

    Raises:
        BundleError: not such a checkpoint, damaged, or with objects other than tensors in it.
    """
    try:
        with open(path, "rb") as file:
            if _Unpickler(file).load() != MAGIC:
                raise BundleError(f"{path}: not a PyTorch checkpoint of the format before 1.6.")
            _Unpickler(file).load()  # version of the format
            _Unpickler(file).load()  # byte order and sizes of the writer
            objects = _Unpickler(file).load()
            values = _storages(file, _Unpickler(file).load(), _tensors(objects))
            return {name: _values(tensor, values) for name, tensor in objects[key].items()}
    except (OSError, pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        raise BundleError(f"{path}: not a readable PyTorch checkpoint ({error}); install its package again.") from error


class _Unpickler(pickle.Unpickler):
    """Refuses all that is no dict, number, text or tensor."""

    def find_class(self, module: str, name: str) -> Any:
        allowed: dict[tuple[str, str], Any] = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, stride, *_: _Tensor(
                storage, offset, size, stride
            ),
            **{("torch", storage): dtype for storage, dtype in STORAGE_TYPES.items()},
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"{module}.{name} is no tensor")
        return allowed[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        return _Storage(key=pid[2], dtype=pid[1])


def _tensors(objects: Any) -> list[_Tensor]:
    if isinstance(objects, _Tensor):
        return [objects]
    if isinstance(objects, dict | list | tuple):
        inner = objects.values() if isinstance(objects, dict) else objects
        return [tensor for x in inner for tensor in _tensors(x)]
    return []


def _storages(file: BinaryIO, keys: list[str], tensors: list[_Tensor]) -> dict[str, np.ndarray]:
    dtypes = {tensor.storage.key: tensor.storage.dtype for tensor in tensors}
    found = {}
    for key in keys:
        length = int.from_bytes(file.read(8), "little", signed=True)
        raw = file.read(length * dtypes[key].itemsize)
        found[key] = np.frombuffer(raw, dtypes[key], count=length)
    return found


def _values(tensor: _Tensor, storages: dict[str, np.ndarray]) -> np.ndarray:
    storage = storages[tensor.storage.key]
    contiguous = [int(np.prod(tensor.size[i + 1 :])) for i in range(len(tensor.size))]
    if list(tensor.stride) != contiguous:
        raise ValueError("a tensor of it is not contiguous")
    length = int(np.prod(tensor.size))
    return storage[tensor.offset : tensor.offset + length].reshape(tensor.size)
