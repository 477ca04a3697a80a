"""Clip tasks in processes: the same bytes as in this one, and what a dying worker costs."""

from __future__ import annotations

import dataclasses
import os
import signal
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from avsc_tf.core.config import Config, load_config
from avsc_tf.core.errors import MediaError
from avsc_tf.corpus import workers
from avsc_tf.corpus.clip_tasks import ClipTask
from avsc_tf.corpus.feature_cache import decode_features
from avsc_tf.corpus.workers import in_processes, in_this_process
from avsc_tf.demo.speakers.corpus import make_grid_corpus
from avsc_tf.media.clips import ClipSource, find_clips

NAMES = ("bbaf2n", "lrwz5a", "swiz3n", "pgiy8s")


@pytest.fixture(scope="module")
def config(root) -> Config:
    overrides = ["face.crop_px=96", "face.vgg_px=32", "image.size_px=32"]
    return load_config(root / "configs" / "demo.yaml", overrides)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[ClipSource]:
    folder = tmp_path_factory.mktemp("clips")
    make_grid_corpus(folder, NAMES, held_out=0, size_px=96, seed=3, progress=False)
    return find_clips(folder)


@pytest.fixture(scope="module")
def tasks(config, clips) -> list[ClipTask]:
    return [ClipTask(clip, config) for clip in clips]


@pytest.fixture(scope="module")
def expected(tasks) -> dict[int, bytes]:
    outcomes = dict(in_this_process(tasks))
    assert [decode_features(outcomes[i]).n_frames for i in range(4)] == [75] * 4
    return outcomes


@pytest.mark.slow
def test_processes_give_the_same_bytes(tasks, expected):
    assert dict(in_processes(tasks, workers=2)) == expected


@pytest.mark.slow
def test_a_killed_worker_costs_only_its_clips(tasks, expected, monkeypatch):
    started = []
    original = workers._Pool.start_one

    def start_and_kill_the_first(pool):
        original(pool)
        started.append(pool._workers[-1].process.pid)
        if len(started) == 1:
            threading.Thread(target=_kill_after, args=(started[0], 4.0)).start()

    monkeypatch.setattr(workers._Pool, "start_one", start_and_kill_the_first)
    assert dict(in_processes(tasks, workers=1)) == expected
    assert len(started) >= 2


def _kill_after(pid: int, seconds: float) -> None:
    time.sleep(seconds)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_clip_that_kills_its_worker_is_named_and_the_others_are_done(config, clips, expected, tmp_path):
    """Whoever opens one of the clips is killed, as by a crash in its decoder."""
    guilty = dataclasses.replace(clips[1], utterance="guilty", video=tmp_path / "guilty.mp4")
    guilty.video.write_bytes(clips[1].video.read_bytes())
    stop = threading.Event()
    killer = threading.Thread(target=_kill_readers, args=(guilty.video, stop))
    killer.start()
    try:
        tasks = [ClipTask(clip, config) for clip in (clips[0], guilty, *clips[1:])]
        outcomes = dict(in_processes(tasks, workers=1))
    finally:
        stop.set()
        killer.join()
    error = outcomes.pop(1)
    assert isinstance(error, MediaError)
    assert "guilty.mp4: reading it ended its process 3 times (signal SIGKILL)" in str(error)
    assert [outcomes[i] for i in (0, 2, 3, 4)] == [expected[i] for i in range(4)]


def _kill_readers(path: Path, stop: threading.Event) -> None:
    while not stop.wait(0.005):
        for child in _children():
            with suppress(OSError):
                opened = [os.readlink(fd) for fd in Path(f"/proc/{child}/fd").iterdir()]
                if str(path) in opened:
                    os.kill(child, signal.SIGKILL)


def _children() -> list[int]:
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text(encoding="utf-8").split()]
