"""Every benchmark runs: nothing else in the tests calls them. Their figures are of a tiny corpus, and mean nothing."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
SCRIPTS = [path for path in sorted(FOLDER.glob("*.py")) if 'if __name__ == "__main__"' in path.read_text("utf-8")]
PACKAGES = {"prepare": "torch", "provenance": "pesq", "training": "torch", "wavenet": "torch"}
OWN_PROCESS = ("prepare", "training", "wavenet")  # they set the number of threads of their process


@pytest.mark.slow
@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_smoke(path, small, monkeypatch):
    if path.stem in PACKAGES:
        pytest.importorskip(PACKAGES[path.stem], reason="optional: pip install avsc_tf[benchmarks]")
    if path.stem in OWN_PROCESS:
        done = subprocess.run([sys.executable, path, "--smoke", small], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    else:
        monkeypatch.syspath_prepend(str(FOLDER))
        assert not load(path, monkeypatch).main(["--smoke", str(small)])
    assert any(file.stat().st_size > 100 for file in (small / path.stem).rglob("*") if file.is_file())


def load(path, monkeypatch):
    """A script by a name of its own: some are named as packages are."""
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def report(joint: list[float | None], baseline: list[float]) -> dict:
    """A report.json of canonical r alone."""
    rows = {"converted": joint, "versus": baseline, "target": [0.9, 0.9, 0.9]}
    entries = {row: {"canonical_r": {"sentences": dict(zip("abc", r, strict=True))}} for row, r in rows.items()}
    about = {"sentences": 3, "interval": "", "test": "", "notes": []}
    return {"about": about, "tables": {"sync": entries}}


def test_the_verdict_pools_seeds_by_sentence(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from verdict_pooling import pool

    seeds = [report([0.5, 0.6, 0.7], [0.4, 0.4, 0.4]), report([0.7, None, 0.7], [0.4, 0.4, 0.6])]
    found = pool(seeds)
    joint = found["tables"]["sync"]["converted"]["canonical_r"]
    assert joint["sentences"] == {"a": 0.6, "b": 0.6, "c": 0.7}  # b by the first seed alone
    entry = found["difference"]["sync"]["canonical_r"]
    assert entry["mean"] == pytest.approx(0.2)  # 0.2, 0.2, 0.2
    assert entry["by_seed"] == pytest.approx([0.2, 0.2])  # the mean of 0.1, 0.2, 0.3; of 0.3 and 0.1
    assert entry["seed_sd"]["versus"] == pytest.approx(0.2 / 3 / 2**0.5, abs=1e-5)  # of 0.4 and 1.4 / 3
    assert entry["p"] == 0.25  # 2 of the 8 ways to turn three equal signs
    assert found["primary"]["canonical_r"]["p_holm"] == 0.25  # the only one of the three
