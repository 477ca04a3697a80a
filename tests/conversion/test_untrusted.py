"""Bundles that mean harm: each is refused with one clear error, at once, and without the memory that it asks for."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avsc_tf.conversion.loading import check_bundle, load_bundle
from avsc_tf.conversion.untrusted import abstract_bytes, check_weights
from avsc_tf.core.config import Config, load_saved_config
from avsc_tf.core.errors import AvscError, BundleError, ConfigError, RecordError
from avsc_tf.core.runs import config_path, digests_path, statistics_path, weights_path
from avsc_tf.features.statistics import Statistics
from avsc_tf.models.conversion_net import build_conversion_net

Small = Callable[..., Config]
Seal = Callable[[Path], Path]
ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
FORBIDDEN = {"load_model", "Lambda", "full_load", "unsafe_load", "enable_unsafe_deserialization"}


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Harm:
    """What a pickle would do when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (os.mkdir, (str(self.mark),))


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(tree)
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")


def test_no_reader_that_runs_code() -> None:
    """Of all sources: no pickle but the one that builds nothing, no Keras archive, no Lambda, no unsafe YAML."""
    for path in [*(ROOT / "avsc_tf").rglob("*.py"), *(ROOT / "tools").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name.split(".")[0] for alias in node.names} | {getattr(node, "module", None)}
                allowed = path.name == "torch_weights.py"
                assert allowed or not names & {"pickle", "dill", "cloudpickle", "marshal", "shelve"}, path
            if isinstance(node, ast.Attribute):
                assert node.attr not in FORBIDDEN, path
            if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "safe_mode"):
                assert isinstance(node.value, ast.Constant) and node.value.value is (node.arg == "safe_mode"), path
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in {"eval", "exec"}, path


@pytest.mark.parametrize("part", ["conversion/model.weights.h5", "statistics.npz", "image/config.yaml"])
def test_pickles_are_not_read(run: Path, tmp_path: Path, seal_anew: Seal, part: str) -> None:
    mark = tmp_path / "harm"
    (run / part).write_bytes(pickle.dumps(Harm(mark)))
    with pytest.raises(AvscError):
        load_bundle(seal_anew(run), vocoders=["griffin-lim"])
    assert not mark.exists()


def test_a_pickle_within_the_statistics(run: Path, tmp_path: Path, seal_anew: Seal) -> None:
    mark = tmp_path / "harm"
    with statistics_path(run).open("wb") as file:
        np.savez(file, **{"source/mel/mean": np.array([Harm(mark)], dtype=object)})  # type: ignore[arg-type]
    with pytest.raises(BundleError, match=r"statistics.npz: the statistics are damaged"):
        load_bundle(seal_anew(run), vocoders=["griffin-lim"])
    assert not mark.exists()


def test_yaml_that_builds_objects(run: Path, tmp_path: Path, seal_anew: Seal) -> None:
    mark = tmp_path / "harm"
    path = config_path(run, "conversion")
    path.write_text(
        f"seed: !!python/object/apply:os.mkdir ['{mark}']\n" + path.read_text(encoding="utf-8").split("\n", 1)[1],
        encoding="utf-8",
    )
    with pytest.raises(BundleError, match=r"conversion/config.yaml: not valid YAML"):
        load_bundle(seal_anew(run))
    assert not mark.exists()


def test_a_lambda_in_the_settings_is_unknown(run: Path, seal_anew: Seal) -> None:
    edit(config_path(run, "image"), lambda tree: tree.update(layers=[{"class_name": "Lambda"}]))
    with pytest.raises(BundleError, match=r"image/config.yaml: unknown setting layers"):
        load_bundle(seal_anew(run))


def test_a_whole_keras_archive_is_no_weights_file(run: Path, seal_anew: Seal) -> None:
    with zipfile.ZipFile(weights_path(run, "image"), "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Lambda"}))
    with pytest.raises(BundleError, match=r"image/model.weights.h5: is no HDF5 file of weights"):
        load_bundle(seal_anew(run), vocoders=["griffin-lim"])


@pytest.mark.parametrize(
    "part", ["conversion/model.weights.h5", "consent.yaml", "statistics.npz", "wavenet/config.yaml"]
)
def test_one_changed_byte(run: Path, part: str) -> None:
    content = bytearray((run / part).read_bytes())
    at = len(content) // 2
    content[at] = content[at] ^ 1 if part.endswith((".h5", ".npz")) else ord("#")
    (run / part).write_bytes(content)
    with pytest.raises(BundleError, match=rf"{part}: is damaged, or was exchanged"):
        check_bundle(run)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"format": 1}',
        '{"format": 2, "files": {}}',
        '{"format": 1, "files": {"statistics.npz": "x"}}',
        '{"format": 1, "files": {"statistics.npz": 7}}',
        "[" * 100_000,
        "9" * 60_000,
        " " * 70_000,
    ],
    ids=str.__len__,
)
def test_digests_that_are_none(run: Path, content: str) -> None:
    digests_path(run).write_text(content, encoding="utf-8")
    with pytest.raises(BundleError, match=r"digests.json: the digests are damaged"):
        check_bundle(run)


def test_digests_that_leave_a_part_out(run: Path) -> None:
    tree = json.loads(digests_path(run).read_text(encoding="utf-8"))
    del tree["files"]["image/model.weights.h5"]
    digests_path(run).write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(BundleError, match=r"image/model.weights.h5: is not in digests.json"):
        check_bundle(run)
    digests_path(run).unlink()
    with pytest.raises(BundleError, match=r"digests.json: missing from the bundle"):
        check_bundle(run)


@pytest.mark.parametrize("part", ["image/model.weights.h5", "statistics.npz", "conversion/config.yaml", "consent.yaml"])
def test_a_link_out_of_the_bundle(run: Path, complete: Path, part: str) -> None:
    (run / part).unlink()
    (run / part).symlink_to(complete / part)
    with pytest.raises(BundleError, match=rf"{part}: is a link, a pipe or a device"):
        load_bundle(run)


def test_a_linked_folder_and_a_pipe(run: Path, complete: Path) -> None:
    shutil.rmtree(run / "image")
    (run / "image").symlink_to(complete / "image")
    with pytest.raises(BundleError, match=r"image/config.yaml: is a link"):
        check_bundle(run)
    (run / "image").unlink()
    (run / "image").mkdir()
    os.mkfifo(config_path(run, "image"))  # would be waited for without end
    with pytest.raises(BundleError, match=r"image/config.yaml: missing"):
        check_bundle(run)


def test_settings_that_include_another_file(run: Path, tmp_path: Path, seal_anew: Seal) -> None:
    secret = tmp_path / "secret.yaml"
    secret.write_text("password: hunter2\n", encoding="utf-8")
    path = config_path(run, "image")
    path.write_text(f"include: {secret}\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(BundleError, match=r"unknown setting include") as caught:
        load_bundle(seal_anew(run))
    assert "hunter2" not in str(caught.value)


def test_laughs_by_the_billion(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    path = tmp_path / "config.yaml"
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"has a YAML alias \(\*a0\)"):
        load_saved_config(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: " + b"[" * 5000, r"nested more than 20 deep"),
        (b"a: " + b"{b: " * 5000, r"nested more than 20 deep"),
        (b"# " + b"x" * 300_000, r"has more than 262144 bytes"),
        (b"a: 2020-99-99", r"not valid YAML"),
        (b"\xff\xfe\x00", r"is not UTF-8 text\. Save the file as UTF-8"),
        (b"1: 2", r"must be a mapping of names"),
        (b"- a", r"must be a mapping of names"),
        (b"a: " + b"9" * 5000, r"not valid YAML"),
    ],
)
def test_yaml_of_no_good(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        load_saved_config(path)


@pytest.mark.parametrize(
    "override",
    [
        {"conversion": {"fusion_channels": [60000, 60000]}},
        {"image": {"dense_units": [60000], "path_units": 2**20}},
        {"wavenet": {"skip_channels": 60000, "post_channels": 60000}},
        {"image": {"path_components": 60000, "size_px": 4096}},
    ],
    ids=lambda o: next(iter(o)),
)
def test_networks_of_many_gigabytes_are_not_built(run: Path, seal_anew: Seal, override: dict[str, Any]) -> None:
    (network,) = override
    edit(config_path(run, network), lambda tree: tree[network].update(override[network]))
    before = peak_mib()
    with pytest.raises(BundleError, match=rf"{network}/model.weights.h5: holds \d+ bytes of weights, but the network"):
        load_bundle(seal_anew(run))
    assert peak_mib() - before < 500  # the smallest of them would take 14 GB; what stays are TensorFlow's graphs


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("wavenet", "n_layers", 10**9),
        ("wavenet", "mel_matching_passes", 10**9),
        ("image", "size_px", 2**30),
        ("time", "video_fps", 10**9),
        ("time", "sample_rate_hz", 10**12),
        ("acoustic", "fft_length", 2**40),
        ("face", "crop_px", 10**7),
        ("conversion", "fusion_channels", [2] * 100_00),
        ("conversion", "kernel_size", 10**9 + 1),
        ("time", "hop_ms", float("nan")),
        ("acoustic", "window_ms", float("nan")),
        ("image", "steady_head_seconds", float("inf")),
    ],
)
def test_settings_without_measure(run: Path, seal_anew: Seal, section: str, key: str, value: object) -> None:
    for network in ("conversion", "wavenet", "image"):
        edit(config_path(run, network), lambda tree: tree[section].update({key: value}))
    with pytest.raises(BundleError, match=r"conversion/config.yaml: "):
        load_bundle(seal_anew(run))


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


def test_the_abstract_network_has_the_size_of_the_real_one(small: Small, complete: Path) -> None:
    config = small()
    built = build_conversion_net(config)
    n_bytes = sum(4 * int(np.prod(v.shape)) for v in built.variables)
    abstract = abstract_bytes(lambda: build_conversion_net(config), Path("config.yaml"))
    assert abs(abstract - n_bytes) <= 256  # seeds of dropout and noise are held in 8 bytes
    check_weights(
        weights_path(complete, "conversion"), lambda: build_conversion_net(config), settings=Path("config.yaml")
    )


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_settings_never_surprise(complete: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Whatever one value becomes, the settings load or are refused in words."""
    tree = yaml.safe_load(config_path(complete, "wavenet").read_text(encoding="utf-8"))
    section = data.draw(st.sampled_from([name for name, value in tree.items() if isinstance(value, dict)]))
    key = data.draw(st.sampled_from(sorted(tree[section])))
    numbers = st.integers(-(2**70), 2**70) | st.floats() | st.booleans()
    tree[section][key] = data.draw(numbers | st.text(max_size=5) | st.none() | st.lists(numbers, max_size=4))
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    try:
        load_saved_config(path)
    except ConfigError as error:
        assert str(path) in str(error)


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
