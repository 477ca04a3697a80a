"""Every benchmark still finds what it imports: nothing else in the tests runs them."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_imports(path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    if path.stem.endswith("_pytorch"):
        pytest.importorskip("torch", reason="optional: pip install avsc_tf[benchmarks]")
    spec = importlib.util.spec_from_file_location(f"benchmark_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    parts = ("alignment_", "conversion_", "training_", "verdict_", "wavenet_")
    assert callable(getattr(module, "main", None)) or path.stem.startswith(parts)
