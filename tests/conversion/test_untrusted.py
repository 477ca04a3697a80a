"""Bundles that mean harm: each is refused with one clear error, at once, and without the memory that it asks for.

Here: code, digests and links.
"""

from __future__ import annotations

import ast
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from harmful import FORBIDDEN, ROOT, Harm, Seal, edit

from avsc_tf.conversion.loading import check_bundle, load_bundle
from avsc_tf.core.errors import AvscError, BundleError
from avsc_tf.core.runs import config_path, digests_path, statistics_path, weights_path


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
