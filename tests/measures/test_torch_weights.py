"""A PyTorch checkpoint of the old format, written here byte by byte, is read without PyTorch; nothing in it is run."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from avsc_tf.core.errors import BundleError
from avsc_tf.measures.torch_weights import MAGIC, read_torch_tensors

VALUES = np.arange(7, dtype="<f4") / 4


def tensor(offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> bytes:
    """Pickle opcodes of torch._utils._rebuild_tensor_v2(storage, offset, size, stride, False, None)."""

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"K" + bytes([v]) for v in values) + b"t"

    storage = b"(U\x07storagectorch\nFloatStorage\nU\x02s0U\x03cpuK\x07NtQ"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + b"K" + bytes([offset]) + numbers(size) + numbers(stride) + b"\x89NtR"  # fmt: skip  # noqa: E501


def checkpoint(path: Path, objects: bytes) -> Path:
    heads = b"".join(pickle.dumps(x, protocol=2) for x in (MAGIC, 1001, {"little_endian": True}))
    keys = pickle.dumps(["s0"], protocol=2)
    path.write_bytes(heads + b"\x80\x02" + objects + b"." + keys + struct.pack("<q", 7) + VALUES.tobytes())
    return path


def test_tensors_are_found_at_their_place_in_the_storage(tmp_path):
    inner = b"}(U\x01a" + tensor(1, (2, 3), (3, 1)) + b"U\x01b" + tensor(0, (1,), (1,)) + b"u"
    path = checkpoint(tmp_path / "weights.pt", b"}(U\x04stepK\x05U\x05model" + inner + b"u")
    found = read_torch_tensors(path, "model")
    assert set(found) == {"a", "b"}
    assert np.array_equal(found["a"], VALUES[1:].reshape(2, 3))
    assert found["b"] == pytest.approx([0.0])


def test_code_in_a_checkpoint_is_refused(tmp_path):
    harm = b"}U\x05modelcos\nsystem\n(U\x04trueT\x04\x00\x00\x00truetR" + b"s"
    with pytest.raises(BundleError, match=r"system is no tensor"):
        read_torch_tensors(checkpoint(tmp_path / "harm.pt", harm), "model")


@pytest.mark.parametrize("spoil", ["short", "other", "transposed"])
def test_a_damaged_file_is_named(tmp_path, spoil):
    stride = (1, 2) if spoil == "transposed" else (3, 1)
    path = checkpoint(tmp_path / "bad.pt", b"}U\x05model}U\x01a" + tensor(1, (2, 3), stride) + b"ss")
    if spoil == "short":
        path.write_bytes(path.read_bytes()[:-4])
    if spoil == "other":
        path.write_bytes(pickle.dumps(12345))
    with pytest.raises(BundleError, match=r"bad\.pt.*checkpoint"):
        read_torch_tensors(path, "model")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BundleError, match=r"none\.pt"):
        read_torch_tensors(tmp_path / "none.pt", "model")
