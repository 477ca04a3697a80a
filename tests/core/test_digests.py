"""Digests of a run folder: what a training seals, and what it leaves as it was sealed before."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from avsc_tf.core.digests import bundle_digest, read_digests, seal
from avsc_tf.core.errors import BundleError


def write(run: Path, **contents: str) -> None:
    for name, content in contents.items():
        path = run / name.replace("__", "/").replace("_h5", ".weights.h5").replace("_yaml", ".yaml").replace(
            "_npz", ".npz"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write(tmp_path, statistics_npz="s", consent_yaml="c", conversion__config_yaml="k", conversion__model_h5="w")
    write(tmp_path, image__config_yaml="of an unfinished training", conversion__best_h5="not a part")
    seal(tmp_path, trained="conversion")
    return tmp_path


def test_parts_of_finished_networks(run: Path) -> None:
    digests = read_digests(run)
    assert sorted(digests) == [
        "consent.yaml",
        "conversion/config.yaml",
        "conversion/model.weights.h5",
        "statistics.npz",
    ]
    assert digests["statistics.npz"] == hashlib.sha256(b"s").hexdigest()
    assert not list(run.rglob("*.part"))


def test_one_line_for_all(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """As `sha256sum` would list the parts, sorted."""
    lines = sorted(f"{digest}  {name}\n" for name, digest in read_digests(run).items())
    assert bundle_digest(run) == "sha256:" + hashlib.sha256("".join(lines).encode()).hexdigest()
    before = bundle_digest(run)
    write(run, consent_yaml="renewed")
    seal(run)
    assert bundle_digest(run) != before


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="sha256sum is absent")
def test_known_without_our_code(run: Path) -> None:
    """The command of docs/convert.md."""
    command = "sha256sum consent.yaml statistics.npz */config.yaml */model.weights.h5 | LC_ALL=C sort | sha256sum"
    assert command in (Path(__file__).resolve().parents[2] / "docs" / "convert.md").read_text(encoding="utf-8")
    (run / "image" / "config.yaml").unlink()  # of the unfinished training
    done = subprocess.run(command, shell=True, cwd=run, capture_output=True, text=True, check=True)
    assert f"sha256:{done.stdout.split()[0]}" == bundle_digest(run)


def test_damage_does_not_become_the_rule(run: Path) -> None:
    sealed = read_digests(run)
    write(run, conversion__model_h5="damaged", statistics_npz="damaged")
    seal(run)  # the finished training is asked for once more
    assert read_digests(run) == sealed
    write(run, image__model_h5="i", statistics_npz="s")
    seal(run, trained="image")
    grown = read_digests(run)
    assert grown["conversion/model.weights.h5"] == sealed["conversion/model.weights.h5"]
    assert set(grown) - set(sealed) == {"image/config.yaml", "image/model.weights.h5"}
    seal(run, trained="conversion")
    assert read_digests(run)["conversion/model.weights.h5"] == hashlib.sha256(b"damaged").hexdigest()


def test_none(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"digests.json: missing from the bundle"):
        bundle_digest(tmp_path)
