"""Run commands as stages: what is done is reused, what was stopped goes on, and each leaves its time and memory.

`stages.json` holds a stamp a stage. A stage is reused where its stamp says that it was finished with the same settings
on the same inputs and its files are still there; so a stage made again makes those after it again, too.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from avsc_tf.core.errors import StageError
from avsc_tf.core.files import write_atomically

STAMPS_NAME = "stages.json"
POLL_SECONDS = 0.25
GRACE_SECONDS = 20.0  # a stopped child may write its checkpoint
QUIET_ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "GLOG_minloglevel": "3", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Stage:
    """One command.

    Args:
        name: shown and recorded.
        command: made when the stage's turn comes, since it may name files of earlier stages.
        settings: whatever the result depends on; any JSON value.
        outputs: files that must be there for the stage to count as done.
        after: names of the stages whose results it reads.
        stale: files and folders deleted before a run with other settings or inputs than the last one's.
    """

    name: str
    command: Callable[[], Sequence[str]]
    settings: Any
    outputs: tuple[Path, ...]
    after: tuple[str, ...] = ()
    stale: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Stamp:
    """What is known of a stage that was started."""

    digest: str
    state: Literal["started", "finished"]
    command: str
    seconds: float  # of all runs with this digest together
    cpu_seconds: float  # of all cores together: what the time would be at best, on one core
    peak_memory_bytes: int
    finished_at: str = ""


class StageRunner:
    """Runs stages in order and keeps their stamps in `folder`.

    Args:
        show: prints a line.
        program: arguments of Python before each stage's command.

    Raises:
        StageError: a stamp file that cannot be read.
    """

    def __init__(
        self,
        folder: Path,
        stages: Sequence[Stage],
        *,
        show: Callable[[str], None] = print,
        program: Sequence[str] = ("-m", "avsc_tf.cli"),
    ) -> None:
        self.folder = folder
        self.stages = stages
        self.show = show
        self.program = program
        self.stamps = read_stamps(folder)

    def run(self) -> list[str]:
        """Run all that is not done. Returns the names of the stages that were run.

        Raises:
            StageError: a command failed (its own message stands above).
            KeyboardInterrupt: after the running command has ended.
        """
        ran = []
        for number, stage in enumerate(self.stages, start=1):
            head = f"[{number}/{len(self.stages)}] {stage.name}"
            digest = self._digest(stage)
            if self._is_done(stage, digest):
                self.show(f"{head}: reused (took {duration_text(self.stamps[stage.name].seconds)})")
                continue
            self._run_stage(stage, digest, head)
            ran.append(stage.name)
        return ran

    def _digest(self, stage: Stage) -> str:
        before = [[name, self.stamps[name].digest, self.stamps[name].finished_at] for name in stage.after]
        text = json.dumps([stage.name, stage.settings, before], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _is_done(self, stage: Stage, digest: str) -> bool:
        stamp = self.stamps.get(stage.name)
        if stamp is None or stamp.digest != digest or stamp.state != "finished":
            return False
        return all(path.exists() for path in stage.outputs)

    def _run_stage(self, stage: Stage, digest: str, head: str) -> None:
        stamp = self.stamps.get(stage.name)
        goes_on = stamp is not None and stamp.digest == digest and stamp.state == "started"
        if not goes_on:
            _delete(stage.stale)
        before = stamp if stamp and goes_on else Stamp(digest, "started", "", 0.0, 0.0, 0)
        command = [str(word) for word in stage.command()]
        shown = shorten(shlex.join(["avsc", *command]))
        self.show(f"{head}: {shown}")
        stamp = dataclasses.replace(before, command=shown)
        self._keep(stage.name, stamp)
        began = time.monotonic()
        usage = Usage()
        try:
            code = run_command([sys.executable, *self.program, *command], usage)
        finally:
            stamp = dataclasses.replace(
                stamp,
                seconds=round(before.seconds + time.monotonic() - began, 1),
                cpu_seconds=round(before.cpu_seconds + usage.cpu_seconds, 1),
                peak_memory_bytes=max(before.peak_memory_bytes, usage.peak_bytes),
            )
            self._keep(stage.name, stamp)
        self._check(stage, code)
        finished_at = time.strftime("%Y-%m-%dT%H:%M:%S") + f".{time.time_ns() % 10**9:09d}"
        self._keep(stage.name, dataclasses.replace(stamp, state="finished", finished_at=finished_at))
        memory = f"{stamp.peak_memory_bytes / 2**30:.1f} GiB"
        self.show(f"      done in {duration_text(stamp.seconds)}, peak memory {memory}\n")

    def _check(self, stage: Stage, code: int) -> None:
        if code in (-signal.SIGINT, 128 + signal.SIGINT):
            raise KeyboardInterrupt
        if code:
            why = f"was ended by signal {-code} (out of memory?)" if code < 0 else f"failed with exit code {code}"
            raise StageError(f"stage `{stage.name}` {why}; its message stands above. Mend it and run again to go on.")
        missing = [str(path) for path in stage.outputs if not path.exists()]
        if missing:
            raise StageError(f"stage `{stage.name}` did not write {', '.join(missing)}. Run it by hand to see why.")

    def _keep(self, name: str, stamp: Stamp) -> None:
        self.stamps[name] = stamp
        text = json.dumps({name: asdict(s) for name, s in self.stamps.items()}, indent=1)
        write_atomically(self.folder / STAMPS_NAME, text)


def read_stamps(folder: Path) -> dict[str, Stamp]:
    """Stamps by stage, in the order of the first run; empty where there are none. Raises StageError."""
    path = folder / STAMPS_NAME
    if not path.is_file():
        return {}
    try:
        return {name: Stamp(**stamp) for name, stamp in json.loads(path.read_text(encoding="utf-8")).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise StageError(f"{path}: damaged ({error}). Delete it: the stages then run again.") from error


@dataclass
class Usage:
    """Largest memory of a process and its descendants together, and their time on all cores."""

    peak_bytes: int = 0
    cpu_seconds: float = 0.0


def run_command(command: Sequence[str], usage: Usage) -> int:
    """Run to its end with our terminal; returns the exit code, negative for a signal."""
    cpu_before = _cpu_seconds_of_children()
    process = subprocess.Popen(command, env=QUIET_ENVIRONMENT | os.environ)
    try:
        while True:
            usage.peak_bytes = max(usage.peak_bytes, tree_memory_bytes(process.pid))
            try:
                return process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                continue
    except BaseException:
        _end(process)
        raise
    finally:
        usage.cpu_seconds = _cpu_seconds_of_children() - cpu_before


def _cpu_seconds_of_children() -> float:
    """Of all children that have ended, with their own."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ctrl-C reached the child as well: let it end by itself, then ask, then insist."""
    for ask in (lambda: None, lambda: process.send_signal(signal.SIGINT), process.terminate, process.kill):
        ask()
        try:
            process.wait(GRACE_SECONDS)
            return
        except subprocess.TimeoutExpired:
            continue


def tree_memory_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants; 0 where /proc does not tell.

    Pages that processes share count once for each, so that a pool's figure is an upper bound.
    """
    try:
        resident = int(Path(f"/proc/{pid}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        children = [child for thread in threads for child in (thread / "children").read_text(encoding="utf-8").split()]
    except (OSError, IndexError, ValueError):
        return 0
    return resident + sum(tree_memory_bytes(int(child)) for child in children)


def duration_text(seconds: float) -> str:
    """ "7 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def shorten(command: str, *, most: int = 240) -> str:
    """Cut the middle out of a command that names many files."""
    return command if len(command) <= most else f"{command[: most // 2]} ... {command[-most // 2 :]}"


def _delete(paths: Sequence[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
