"""Stages: reuse, going on, repeating what lies downstream, and failure that loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avsc_tf.core.errors import StageError
from avsc_tf.demo.stages import (
    Stage,
    StageRunner,
    Usage,
    duration_text,
    read_stamps,
    run_command,
    shorten,
    tree_memory_bytes,
)


def writer(folder: Path, name: str, *, text: str = "x", after: tuple[str, ...] = (), code: int = 0, **more) -> Stage:
    """A stage that appends `text` to a file named after it and leaves with `code`."""
    path = folder / f"{name}.txt"
    program = f"open({str(path)!r}, 'a').write({text!r}); raise SystemExit({code})"
    return Stage(name, lambda: ["-c", program], {"text": text}, (path,), after, **more)


def run(folder: Path, *stages: Stage) -> tuple[list[str], list[str]]:
    lines: list[str] = []
    return StageRunner(folder, stages, show=lines.append, program=()).run(), lines


def test_second_run_reuses(tmp_path: Path) -> None:
    stages = writer(tmp_path, "first"), writer(tmp_path, "second", after=("first",))
    assert run(tmp_path, *stages)[0] == ["first", "second"]
    ran, lines = run(tmp_path, *stages)
    assert ran == []
    assert [line.split(":")[1][:7] for line in lines] == [" reused"] * 2
    assert (tmp_path / "first.txt").read_text(encoding="utf-8") == "x"


def test_changed_settings_run_it_and_all_after_it(tmp_path: Path) -> None:
    apart = writer(tmp_path, "apart")
    run(tmp_path, writer(tmp_path, "first"), writer(tmp_path, "second", after=("first",)), apart)
    changed = writer(tmp_path, "first", text="y", stale=(tmp_path / "first.txt",))
    ran, _ = run(tmp_path, changed, writer(tmp_path, "second", after=("first",)), apart)
    assert ran == ["first", "second"]
    assert (tmp_path / "first.txt").read_text(encoding="utf-8") == "y"  # the stale file was deleted first


def test_missing_output_runs_it_and_all_after_it(tmp_path: Path) -> None:
    stages = writer(tmp_path, "first"), writer(tmp_path, "second", after=("first",))
    run(tmp_path, *stages)
    (tmp_path / "first.txt").unlink()
    assert run(tmp_path, *stages)[0] == ["first", "second"]


def test_failure_names_the_stage_and_keeps_what_went_before(tmp_path: Path) -> None:
    first = writer(tmp_path, "first")
    with pytest.raises(StageError, match="stage `second` failed with exit code 3"):
        run(tmp_path, first, writer(tmp_path, "second", after=("first",), code=3))
    kept = tmp_path / "second.txt"
    mended = writer(tmp_path, "second", after=("first",), stale=(kept,))
    assert run(tmp_path, first, mended)[0] == ["second"]
    assert kept.read_text(encoding="utf-8") == "xx"  # the same settings go on: nothing stale was deleted


def test_output_that_was_not_written(tmp_path: Path) -> None:
    silent = Stage("silent", lambda: ["-c", "pass"], 0, (tmp_path / "missing.txt",))
    with pytest.raises(StageError, match=r"did not write .*missing.txt"):
        run(tmp_path, silent)


def test_interrupted_child_interrupts_us(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, writer(tmp_path, "first", code=130))
    assert read_stamps(tmp_path)["first"].state == "started"


def test_interrupt_ends_the_child_and_the_time_so_far_is_kept(tmp_path: Path) -> None:
    """The whole process group gets SIGINT, as from a terminal; the child ends by itself."""
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job ignores it
        "import sys; from pathlib import Path; from avsc_tf.demo.stages import Stage, StageRunner\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "child = 'import time; open(sys.argv[1], \"w\").write(str(os.getpid())); time.sleep(60)'\n"
        "command = ['-c', 'import sys, os; ' + child, str(folder / 'pid')]\n"
        "StageRunner(folder, [Stage('long', lambda: command, 0, ())], program=()).run()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not ((tmp_path / "pid").is_file() and (tmp_path / "pid").read_text(encoding="utf-8")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.3)  # stamps count tenths of a second
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(30) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text(encoding="utf-8")), 0)
    stamp = read_stamps(tmp_path)["long"]
    assert stamp.state == "started"
    assert stamp.seconds > 0


def test_damaged_stamps(tmp_path: Path) -> None:
    (tmp_path / "stages.json").write_text('{"first": 3}', encoding="utf-8")
    with pytest.raises(StageError, match=r"stages.json: damaged .* Delete it"):
        read_stamps(tmp_path)


def test_stamps_are_plain_json(tmp_path: Path) -> None:
    run(tmp_path, writer(tmp_path, "first"))
    stamp = json.loads((tmp_path / "stages.json").read_text(encoding="utf-8"))["first"]
    assert stamp["state"] == "finished"
    assert stamp["command"].startswith("avsc -c")
    assert stamp["seconds"] >= 0


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="no /proc on this system")
def test_memory_of_child_and_grandchild_counts() -> None:
    hold = "import time; b = bytearray(60 << 20); time.sleep(1.2); [hash(str(i)) for i in range(10**5)]"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {hold!r}])"
    usage = Usage()
    assert run_command([sys.executable, "-c", child], usage) == 0
    assert usage.peak_bytes > 60 << 20
    assert usage.cpu_seconds > 0.02  # two interpreters start
    assert tree_memory_bytes(os.getpid()) > 1 << 20


def test_texts() -> None:
    assert [duration_text(s) for s in (6.6, 200, 7500)] == ["7 s", "3 min 20 s", "2 h 5 min"]
    assert shorten("abc") == "abc"
    assert len(shorten("x" * 999)) == 245
