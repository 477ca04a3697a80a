"""docs/records.md says what the schema says, and its example reads a records folder without our code."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from avsc_tf.core.config import load_config
from avsc_tf.core.schema import CLIP, PAIR, Feature
from avsc_tf.corpus.manifest import Manifest, Shard, count_records, write_manifest
from avsc_tf.corpus.writer import ShardWriter
from avsc_tf.features.statistics import Statistics


@pytest.fixture(scope="module")
def page(root) -> str:
    return (root / "docs" / "records.md").read_text(encoding="utf-8")


def table_row(feature: Feature) -> str:
    shape = " x ".join(f"`{size}`" if isinstance(size, str) else str(size) for size in feature.shape) or "one"
    return f"| `{feature.name}` | {feature.dtype} | {shape} | {feature.unit} | {feature.meaning} |"


@pytest.mark.parametrize("schema", [CLIP, PAIR], ids=["clip", "pair"])
def test_tables_are_the_schemas(page, schema):
    assert "\n".join(table_row(feature) for feature in schema) + "\n\n" in page


def test_every_entry_of_the_manifest_is_explained(page):
    names = {*Manifest.__dataclass_fields__, *Shard.__dataclass_fields__}
    assert [name for name in names if f"`{name}`" not in page] == []


def test_example_reads_without_our_code(page, root, tmp_path, monkeypatch, capsys):
    config = load_config(root / "configs" / "demo.yaml", ["face.n_vgg=5", "records.shard_mb=0.01"])
    folder = tmp_path / "records"
    folder.mkdir()
    with ShardWriter(folder, "pairs-train", PAIR, config=config) as writer:
        for k, n in enumerate((7, 4, 9)):
            writer.write(pair_of(k, n, config.face.n_facial), video_frames=n)
        shards = tuple(writer.finish())
    assert len(shards) == 3
    Statistics({}).save(folder / "statistics.npz")
    settings = (config.fingerprint, config.record_settings, "made by a test")
    write_manifest(folder, Manifest(*settings, shards, count_records(shards)))
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert "avsc_tf" not in code
    exec(compile(code, str(Path("docs/records.md")), "exec"), {})
    expected = [f"u{k} ({8 * n}, 80) ({n}, 145)" for k, n in enumerate((7, 4, 9))]
    assert capsys.readouterr().out.splitlines() == expected


def pair_of(k: int, n: int, n_facial: int) -> dict[str, object]:
    sides = {
        f"{speaker}_{kind}": np.ones((rows, width), dtype)
        for speaker in ("source", "target")
        for kind, rows, width, dtype in (("mel", 8 * n, 80, np.float32), ("facial", n, n_facial, np.float16))
    }
    labels = {"utterance": f"u{k}", "emotion": "", "sentence": "s", "split": "train"}
    return {**labels, **sides, "path": np.zeros((n, 2), np.int32), "cost": np.float32(0)}
