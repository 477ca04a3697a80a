"""A small test of made clips, and raters that answer it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avsc_tf.listening.answers import _clip_seconds
from avsc_tf.listening.build import build_test
from avsc_tf.listening.design import Check, Clip, Design, read_design, write_design
from avsc_tf.listening.plan import Page
from avsc_tf.listening.store import AnswerStore
from avsc_tf.media.mux import write_video

ROOT = Path(__file__).resolve().parents[2]
FPS, RATE_HZ, SECONDS = 25, 48000, 0.6
UTTERANCES = ("happiness_strong_01", "neutral_03")


def write_folder(folder: Path, *, hz: float, gain: float, names: tuple[str, ...] = UTTERANCES) -> Path:
    """Clips of a grey that gets brighter, with a tone of `hz` at `gain` of full scale."""
    for i, name in enumerate(names):
        t = np.arange(round(SECONDS * RATE_HZ)) / RATE_HZ
        frames = [np.full((64, 48, 3), 40 + 10 * i + 8 * k, np.uint8) for k in range(round(SECONDS * FPS))]
        tone = gain * np.sin(2 * np.pi * (hz + 40 * i) * t)
        write_video(folder / f"{name}.mp4", frames, tone, fps=FPS, sample_rate_hz=RATE_HZ)
    return folder


@pytest.fixture
def make_folder() -> Callable[..., Path]:
    """`write_folder`."""
    return write_folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two systems and the natural target; the second system is 20 dB quieter."""
    base = tmp_path_factory.mktemp("videos")
    voices = {"joint": (300.0, 0.3), "baseline": (400.0, 0.03), "target": (500.0, 0.2)}
    return {name: write_folder(base / name, hz=hz, gain=gain) for name, (hz, gain) in voices.items()}


@pytest.fixture(scope="session")
def built(folders: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test of six clips; a rater has seven pages, one of them a check."""
    out = tmp_path_factory.mktemp("listening") / "test"
    systems = {name: folders[name] for name in ("joint", "baseline")}
    build_test(out, systems=systems, reference=folders["target"], title="A test <of clips>", seed=3)
    return out


@pytest.fixture(scope="session")
def design() -> Design:
    """Two systems and the target, five emotions of four sentences each: without any file."""
    systems, emotions = ("joint", "baseline"), ("neutral", "happiness", "happiness_strong", "sadness", "anger")
    clips = {
        f"{system[0]}{emotion}{n}": Clip(system, f"{emotion}_{n:02d}", emotion, f"{emotion}_{n:02d}", 2.0)
        for system in (*systems, "target")
        for emotion in emotions
        for n in range(4)
    }
    checks = {f"check{n}": Check(n, n % 5 + 1, 3.4) for n in range(1, 6)}
    return Design("abc", "T", 7, 30, -23.0, systems, ("target",), clips, checks)


@pytest.fixture
def store(design: Design, tmp_path: Path) -> Iterator[AnswerStore]:
    opened = AnswerStore(tmp_path / "answers.sqlite", design)
    opened._db.execute("PRAGMA synchronous=OFF")  # many answers in little time; the server's tests keep it on
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def rate() -> Callable[..., str]:
    """Let a rater do pages: `score(page, question)` gives the value; checks are answered rightly by default."""

    def go(
        store: AnswerStore,
        design: Design,
        score: Callable[[Page, str], int],
        *,
        pages: int | None = None,
        attentive: bool = True,
        haste: float = 1.0,
    ) -> str:
        state = store.register()
        for position, page in enumerate(state.pages[:pages], start=1):
            for question in page.questions:
                if page.is_check:
                    check = design.checks[page.subject]
                    right = check.beeps if question == "count_audio" else check.flashes
                    value = right if attentive else right % 5 + 1
                else:
                    value = score(page, question)
                store.answer(state.rater, position, question, value, _clip_seconds(design, page) * 1.2 / haste)
        return state.code

    return go


class Served:
    """A server in a process of its own, as `tools/listening_test.py serve` starts it."""

    def __init__(self, test: Path, db: Path) -> None:
        self.test, self.db = test, db
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, str(ROOT / "tools" / "listening_test.py"), "serve", "--test", str(self.test)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [*command, "--db", str(self.db), "--port", str(self.port)], env=environment, stdout=subprocess.DEVNULL
        )
        for _ in range(300):
            try:
                with urllib.request.urlopen(self.url, timeout=5):
                    return
            except OSError:
                assert self._process.poll() is None, "the server ended by itself"
                time.sleep(0.1)
        raise AssertionError("the server does not answer")

    def kill(self) -> None:
        """As a power cut would: no handler of the process runs."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()


@pytest.fixture
def served(short: Path, tmp_path: Path) -> Iterator[Served]:
    """A server of the short test, running; killed at the end."""
    server = Served(short, tmp_path / "answers.sqlite")
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture
def short(built: Path, tmp_path: Path) -> Path:
    """The test of `built` with three pages a rater: two clips and a check."""
    copy = tmp_path / "short"
    shutil.copytree(built, copy)
    write_design(copy, replace(read_design(built), n_pages=3))
    return copy
