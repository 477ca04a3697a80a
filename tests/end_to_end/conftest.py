"""One finished run of the tiny demo for all files of tests here."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `demo` is a finished demo folder; made once, whichever of pytest's processes needs it first."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "small"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
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
