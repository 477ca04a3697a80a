"""How the tools end: one line and an exit code, whatever went wrong with a file or a pipe."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from avsc_tf.cli.running import run_tool

ROOT = Path(__file__).resolve().parents[2]
PRINTING = """
import sys
from avsc_tf.cli.running import run_tool

def main():
    for number in range(100_000):
        print(number)

sys.exit(run_tool(main))
"""


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    def main() -> None:
        (tmp_path / "file" / "x").mkdir()

    assert run_tool(main) == 2
    assert capsys.readouterr().err == (
        f"error: {tmp_path}/file/x: Not a directory. Something else of that name is in the way: name another place.\n"
    )


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    def main() -> None:
        raise ValueError("a mistake")

    with pytest.raises(ValueError, match="a mistake"):
        run_tool(main)


def test_libraries_start_for_a_user_without_a_home() -> None:
    code = (
        "import os, pwd\n"
        "def nobody(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = nobody\n"
        "from avsc_tf.cli.running import run_tool\n"
        "def main(): import matplotlib; print(matplotlib.get_cachedir())\n"
        "run_tool(main)\n"
    )
    hidden = ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "MPLCONFIGDIR")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "avsc_tf-home-" in done.stdout and not Path(done.stdout.strip()).exists()  # it is gone again


def test_whoever_reads_no_more_is_told_nothing() -> None:
    """As `| head -1` does."""
    command = [sys.executable, "-c", PRINTING]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as done:
        assert done.stdout is not None and done.stderr is not None
        assert done.stdout.readline() == "0\n"
        done.stdout.close()
        assert done.stderr.read() == ""
    assert done.returncode == 141


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
def test_standard_output_on_a_full_disk() -> None:
    command = [sys.executable, "-c", PRINTING]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: a file, or standard output: No space left on device. Free some")
    assert done.stderr.count("\n") == 1
