"""The layers of the package: imports point one way, and the NumPy stages load without TensorFlow."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "avsc_tf"
# Rooms in the order of the data's way: each may import those named beside it, and `core`.
DATA = {"media", "signal", "features", "alignment"}
LEARNING = {"corpus", "datasets", "layers", "losses", "models"}
MAY_IMPORT = {
    "core": set(),
    "media": set(),
    "signal": set(),
    "features": {"media", "signal"},
    "alignment": {"signal", "features"},
    "corpus": DATA,
    "datasets": DATA | {"corpus"},
    "layers": {"signal", "features"},
    "losses": {"layers"},
    "models": {"signal", "features", "layers", "losses"},
    "measures": DATA,
    "vocoder": {"signal", "features", "layers", "models"},
    "training": DATA | LEARNING | {"measures", "vocoder"},
    "provenance": {"media"},
    "conversion": DATA | {"layers", "models", "vocoder", "provenance"},
    "evaluation": DATA | {"corpus", "measures", "vocoder", "conversion"},
    "export": {"signal", "features", "layers", "models", "vocoder", "conversion"},
    "web": set(),
    "listening": {"media", "features", "measures", "evaluation", "web"},
    "service": {"media", "provenance", "vocoder", "conversion", "web"},
    "demo": DATA | {"corpus", "measures", "evaluation", "vocoder", "conversion"},
    "cli": None,  # may use every room
    "api": None,
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
    assert part in MAY_IMPORT, f"{part} is new: give it its place in MAY_IMPORT"
    allowed = MAY_IMPORT[part]
    if allowed is None:
        return
    wrong = imported_parts(path) - allowed - {part, "core"}
    assert not wrong, f"{path.relative_to(ROOT)} must not import {sorted(wrong)}"


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
