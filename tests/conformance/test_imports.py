"""The layers of the package: imports point one way, and the NumPy stages load without TensorFlow."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "avsc_tf"
ARCHITECTURE = ROOT / "docs" / "draw_architecture.py"
USES_ALL = {"cli", "api"}  # may import every room


def load_architecture() -> ModuleType:
    """The script that draws the architecture; it holds the order of the rooms."""
    spec = importlib.util.spec_from_file_location("draw_architecture", ARCHITECTURE)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


ORDER = load_architecture().ORDER
DATA = {"media", "signal", "features", "alignment"}
NEVER = {  # rooms above, yet not to be used: what trains does not convert, what converts does not train
    "conversion": {"corpus", "datasets"},
    "measures": {"corpus", "datasets", "layers", "losses", "models", "vocoder", "provenance", "conversion"},
    "training": {"provenance", "conversion"},
    "service": {"training", "corpus", "datasets", "evaluation"},
}
WITHOUT_TENSORFLOW = (
    "core",
    *sorted(DATA),
    "measures",
    "listening",
    "provenance",
)


def module_part(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "avsc_tf" and len(parts) > 1 else None


def imported_parts(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; write it in full"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names] if module == "avsc_tf" else [module]
        found |= {part for name in names if (part := module_part(name))}
    return found


def sources() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part in USES_ALL or path == PACKAGE / "__init__.py":
        return
    assert part in ORDER, f"{part} is new: give it its place in ORDER of {ARCHITECTURE.relative_to(ROOT)}"
    allowed = set(ORDER[: ORDER.index(part) + 1]) - NEVER.get(part, set())
    wrong = imported_parts(path) - allowed
    assert not wrong, f"{path.relative_to(ROOT)} must not import {sorted(wrong)}"


def test_the_page_is_drawn_from_this_code() -> None:
    architecture = load_architecture()
    assert sorted(ORDER) == architecture.rooms()
    assert architecture.PAGE.read_text(encoding="utf-8") == architecture.page(), "run python docs/draw_architecture.py"


def test_numpy_stages_load_without_tensorflow() -> None:
    modules = []
    for part in WITHOUT_TENSORFLOW:
        base = PACKAGE / part
        files = sorted(base.glob("*.py")) if base.is_dir() else [base.with_suffix(".py")]
        modules += [".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for p in files]
    code = (
        "import sys, importlib\n"
        f"[importlib.import_module(name) for name in {modules!r}]\n"
        "print([name for name in ('tensorflow', 'keras') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
