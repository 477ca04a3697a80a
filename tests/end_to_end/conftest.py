"""One finished run of the tiny demo for all files of tests here."""

from __future__ import annotations

import fcntl
import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `demo` is a finished demo folder; made once, whichever of pytest's processes needs it first."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "demo" / "report.html").is_file():
            settings = ROOT / "tests" / "end_to_end" / "tiny.yaml"
            command = ["tools/demo.py", "run", "--config", str(settings), "--out", str(folder / "demo")]
            done = subprocess.run([sys.executable, *command], capture_output=True, text=True, cwd=ROOT)
            assert done.returncode == 0, done.stderr[-4000:]
            assert done.stdout.splitlines()[-1].strip() == str(folder / "demo" / "report.html")
    return folder


@pytest.fixture(scope="session")
def demo(small: Path) -> Path:
    """A finished demo folder, not to be changed."""
    return small / "demo"


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """`tool(name, *arguments)`: a program of tools/ in this process, where TensorFlow is loaded and code compiled.

    The demo above starts every kind of program as a user does.
    """
    monkeypatch.chdir(ROOT)

    def run(name: str, *arguments: object) -> Done:
        path = ROOT / "tools" / f"{name}.py"
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(path), run_name="__main__")
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess([name], int(end.value.code or 0), out, err)

    return run
