"""Weights and statistics of a bundle that mean harm: HDF5 and npz files that hold or claim other things."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from harmful import MIB, ROOT, Seal, peak_mib

from avsc_tf.conversion.loading import load_bundle
from avsc_tf.core.errors import BundleError, RecordError
from avsc_tf.core.runs import statistics_path, weights_path
from avsc_tf.features.statistics import Statistics


def rewritten(path: Path, change: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "r+") as file:
        change(file)


def first_array(file: h5py.File) -> str:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found[0]


def declare_much(file: h5py.File) -> None:
    """16 TB that are not there: chunks that were never written."""
    name = first_array(file)
    del file[name]
    file.create_dataset(name, shape=(2**42,), dtype="f4", chunks=(2**20,), compression="gzip")


def inflate(file: h5py.File) -> None:
    """A gigabyte of zeros in a megabyte."""
    name = first_array(file)
    del file[name]
    data = file.create_dataset(name, shape=(2**28,), dtype="f4", chunks=(2**22,), compression="gzip")
    data[: 2**22] = 0


def external_link(file: h5py.File) -> None:
    name = first_array(file)
    del file[name]
    file[name] = h5py.ExternalLink("/etc/passwd", "/x")


def soft_link(file: h5py.File) -> None:
    name = first_array(file)
    del file[name]
    file[name] = h5py.SoftLink("/layers")


def external_storage(file: h5py.File) -> None:
    name = first_array(file)
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, dtype="f4", external=[("/etc/passwd", 0, 4 * int(np.prod(shape)))])


def virtual(file: h5py.File) -> None:
    name = first_array(file)
    shape = file[name].shape
    del file[name]
    layout = h5py.VirtualLayout(shape=shape, dtype="f4")
    layout[...] = h5py.VirtualSource("/etc/passwd", "x", shape=shape)
    file.create_virtual_dataset(name, layout)


def objects(file: h5py.File) -> None:
    name = first_array(file)
    del file[name]
    file.create_dataset(name, data=["text"] * 3, dtype=h5py.string_dtype())


def in_a_circle(file: h5py.File) -> None:
    file["layers/again"] = file["layers"]


def deep(file: h5py.File) -> None:
    file.create_group("/".join("d" * 40))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (declare_much, "is no plain array"),
        (inflate, "is no plain array"),
        (external_link, "is a link"),
        (soft_link, "is a link"),
        (external_storage, "is no plain array"),
        (virtual, "is no plain array"),
        (objects, "is no plain array"),
        (in_a_circle, "stands twice"),
        (deep, "nested more than"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_weights_that_are_no_plain_arrays(
    run: Path, seal_anew: Seal, change: Callable[[h5py.File], None], message: str
) -> None:
    rewritten(weights_path(run, "conversion"), change)
    before = peak_mib()
    with pytest.raises(BundleError, match=rf"conversion/model.weights.h5: .*{message}"):
        load_bundle(seal_anew(run), vocoders=["griffin-lim"])
    assert peak_mib() - before < 500


def test_weights_beside_the_networks(run: Path, seal_anew: Seal) -> None:
    """More than the network has: a hundred megabytes that nobody asked for."""
    rewritten(weights_path(run, "conversion"), lambda file: file.create_dataset("more", data=np.zeros(25 * MIB, "f4")))
    with pytest.raises(BundleError, match=r"holds \d+ bytes of weights, but the network .* the weights do not fit"):
        load_bundle(seal_anew(run), vocoders=["griffin-lim"])


def npz(
    path: Path, shape: str, *, compression: int = zipfile.ZIP_STORED, data: bytes = b"", dtype: str = "<f4"
) -> None:
    """An npz whose one array claims `shape`."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (len(header) + 10) % 64) + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("source/mel/mean.npy", content)


@pytest.mark.parametrize("case", ["claims", "bomb", "objects", "matrix", "negative", "long header"])
def test_statistics_that_are_none(tmp_path: Path, case: str) -> None:
    path = tmp_path / "statistics.npz"
    if case == "claims":
        npz(path, "(10000000000000,)")
    elif case == "bomb":
        npz(path, f"({64 * MIB},)", compression=zipfile.ZIP_DEFLATED, data=bytes(256 * MIB))
    elif case == "objects":
        npz(path, "(1,)", dtype="|O", data=b"12345678")
    elif case == "matrix":
        npz(path, "(2, 2)", data=bytes(16))
    elif case == "negative":
        npz(path, "(-1,)", data=bytes(16))
    else:
        npz(path, "(" + "1," * 30_000 + ")", data=bytes(4))
    before = peak_mib()
    with pytest.raises(RecordError, match=r"statistics.npz: the statistics are damaged"):
        Statistics.load(path)
    assert peak_mib() - before < 100


def test_statistics_of_other_dimensions(run: Path, seal_anew: Seal) -> None:
    ones = {
        name: (np.zeros(n, np.float32), np.ones(n, np.float32))
        for name, n in (("mel", 79), ("vgg", 4096), ("keypoints", 140))
    }
    Statistics({"source": ones, "target": ones}).save(statistics_path(run))
    with pytest.raises(BundleError, match=r"source/mel has not the 80 dimensions"):
        load_bundle(seal_anew(run), vocoders=["griffin-lim"])


def test_statistics_without_deviation(tmp_path: Path) -> None:
    Statistics({"source": {"mel": (np.zeros(3, np.float32), np.zeros(3, np.float32))}}).save(tmp_path / "s.npz")
    with pytest.raises(RecordError, match=r"source/mel is not finite, or has no deviation"):
        Statistics.load(tmp_path / "s.npz")


@pytest.mark.slow
def test_the_tool_says_it_in_one_line(run: Path, tmp_path: Path, seal_anew: Seal) -> None:
    rewritten(weights_path(run, "conversion"), external_link)
    seal_anew(run)
    command = [sys.executable, "tools/convert.py", "clip.mp4", "--bundle", run, "--out", tmp_path / "out.mp4"]
    (tmp_path / "clip.mp4").write_bytes(b"")
    command[2] = str(tmp_path / "clip.mp4")
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and "is a link" in done.stderr
    assert io.StringIO(done.stderr).readline().strip().endswith(".")
