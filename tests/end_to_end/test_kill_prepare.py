"""`prepare`, killed without warning at random moments and run again, ends as one that nobody touched, byte for byte."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from avsc_tf.core.config import load_config
from avsc_tf.core.errors import RecordError
from avsc_tf.corpus.reader import open_records
from avsc_tf.demo.speakers.corpus import make_grid_corpus

NAMES = ("bbaf2n", "lrwz5a", "swiz3n", "pgiy8s")
# max_cost: these pairs are compared with each other, so that it must not matter.
OVERRIDES = ["face.crop_px=96", "face.vgg_px=32", "image.size_px=32", "split.test_share=0.3", "alignment.max_cost=0.01"]
N_RUNS, LEAST_KILLS = 8, 3
MOMENTS = (0.4, 0.95)  # of the seconds of the last run that ended: past the start of the programs, with work to spoil
FINISH_SECONDS = 300


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    for seed, speaker in enumerate(("source", "target")):
        make_grid_corpus(folder / speaker, NAMES, held_out=1, size_px=96, seed=seed, progress=False)
    return folder


def start(root: Path, clips: Path, out: Path) -> subprocess.Popen[bytes]:
    """The tool in a session of its own, with one worker process."""
    settings = [word for override in OVERRIDES for word in ("--set", override)]
    command = [
        *(sys.executable, root / "tools" / "prepare.py", "--config", root / "configs" / "demo.yaml", *settings),
        *("--source", clips / "source", "--target", clips / "target", "--out", out, "--workers", "1"),
    ]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [str(word) for word in command], stdout=quiet, stderr=quiet, cwd=root, start_new_session=True
    )


def kill_after(process: subprocess.Popen[bytes], seconds: float, *, workers_too: bool) -> bool:
    """Send SIGKILL; False where the run had ended before."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        kill = os.killpg if workers_too else os.kill
        kill(process.pid, signal.SIGKILL)
        process.wait()
        return True
    assert process.returncode == 0
    return False


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_killed_at_random_moments(root, clips, tmp_path):
    rng = random.Random(20181030)
    began = time.monotonic()
    assert start(root, clips, tmp_path / "untouched").wait(FINISH_SECONDS) == 0
    seconds = time.monotonic() - began
    out, config = tmp_path / "killed", load_config(root / "configs" / "demo.yaml", OVERRIDES)
    n_kills, n_finished = 0, 0
    for _ in range(N_RUNS):
        after, began = seconds * rng.uniform(*MOMENTS), time.monotonic()
        killed = kill_after(start(root, clips, out), after, workers_too=rng.random() < 0.5)
        n_kills += killed
        if killed:
            check_what_is_there(out, config)
        else:  # everything is in place: lose the records, and every third time the features as well
            n_finished, seconds = n_finished + 1, time.monotonic() - began
            (out / "manifest.json").unlink()
            for path in out.glob("features/*") if n_finished % 3 == 0 else ():
                path.unlink()
    assert n_kills >= LEAST_KILLS
    assert start(root, clips, out).wait(FINISH_SECONDS) == 0
    expected, found = contents(tmp_path / "untouched"), contents(out)
    assert found.keys() == expected.keys()
    assert [name for name in found if found[name] != expected[name]] == []


def check_what_is_there(out: Path, config: object) -> None:
    """A folder that opens is whole; one that is not is refused."""
    if not out.is_dir():
        return
    try:
        records = open_records(out, config, deep=True)
    except RecordError as error:
        assert "unfinished" in str(error)
        return
    assert sum(records.n_pairs(split) for split in ("train", "test")) == len(NAMES)


def test_orphaned_workers_end_with_their_parent(root, clips, tmp_path):
    process = start(root, clips, tmp_path / "out")
    deadline = time.monotonic() + 60
    children: list[int] = []
    while not children and time.monotonic() < deadline and process.poll() is None:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8")
        children = [int(pid) for pid in text.split() if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        time.sleep(0.02)
    assert children, "no worker was started"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
