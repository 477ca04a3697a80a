"""Clip tasks on the cores of this machine: one process a worker, one core each.

A worker that dies (killed, out of memory, a crash in a decoder) costs only its clips: they go to a new one. The
processes are spawned, not forked, because TensorFlow and MediaPipe do not survive a fork.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from avsc_tf.core.errors import MediaError
from avsc_tf.corpus.clip_tasks import MAX_ATTEMPTS, ClipTask, ClipWorker, Outcome, use_one_core

_IN_HAND = 2  # tasks a worker holds: one before VGG-19, the next one being read


def in_this_process(tasks: Sequence[ClipTask]) -> Iterator[tuple[int, Outcome]]:
    """Number and outcome of each task, in order."""
    yield from enumerate(ClipWorker().outcomes(tasks))


def in_processes(tasks: Sequence[ClipTask], *, workers: int) -> Iterator[tuple[int, Outcome]]:
    """Number and outcome of each task, in the order in which they are done.

    Args:
        tasks: share their settings.
        workers: processes, at least 1; no more are started than there are tasks.
    """
    pool = _Pool(tasks)
    try:
        for _ in range(min(workers, len(tasks))):
            pool.start_one()
        yield from pool.outcomes()
    finally:
        pool.stop()


@dataclass(eq=False)
class _Worker:
    process: Any
    connection: Connection
    in_hand: deque[int] = field(default_factory=deque)  # numbers of its tasks, the oldest first
    is_last: bool = False  # it has been told that no more tasks come


class _Pool:
    """Hands tasks to workers and starts new ones for those that die."""

    def __init__(self, tasks: Sequence[ClipTask]):
        self._tasks = tasks
        self._waiting = deque(range(len(tasks)))
        self._n_left = len(tasks)
        self._deaths: Counter[int] = Counter()
        self._workers: list[_Worker] = []
        self._context = multiprocessing.get_context("spawn")

    def start_one(self) -> None:
        here, there = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(there,), daemon=True, name="avsc_tf clip worker")
        process.start()
        there.close()
        self._workers.append(_Worker(process, here))

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        while self._n_left:
            for worker in self._workers:
                self._fill(worker)
            ready = wait([worker.connection for worker in self._workers])
            for worker in [w for w in self._workers if w.connection in ready]:
                done = self._receive(worker)
                if done is not None:
                    self._n_left -= 1
                    yield done

    def _fill(self, worker: _Worker) -> None:
        """Hand over tasks; one that a worker died with gets a process to itself, so that the guilty one is known."""
        while not worker.is_last and len(worker.in_hand) < _IN_HAND:
            is_suspect = bool(self._waiting) and self._deaths[self._waiting[0]] > 0
            if not self._waiting or (is_suspect and worker.in_hand):
                self._send(worker, None)
                return
            number = self._waiting.popleft()
            worker.in_hand.append(number)
            self._send(worker, self._tasks[number])
            if is_suspect:
                self._send(worker, None)

    def _send(self, worker: _Worker, task: ClipTask | None) -> None:
        worker.is_last = worker.is_last or task is None
        with suppress(OSError):  # it has died; `_receive` sees that
            worker.connection.send(task)

    def _receive(self, worker: _Worker) -> tuple[int, Outcome] | None:
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if kind == "bug":
            raise RuntimeError(f"in a clip worker, at {self._tasks[worker.in_hand[0]].clip.video}:\n{value}")
        return worker.in_hand.popleft(), value

    def _bury(self, worker: _Worker) -> tuple[int, Outcome] | None:
        """Give a dead worker's tasks back; one that was there too often when a worker died has failed."""
        worker.process.join()
        worker.connection.close()
        self._workers.remove(worker)
        self._deaths.update(worker.in_hand)
        failed = [number for number in worker.in_hand if self._deaths[number] >= MAX_ATTEMPTS]  # one: it was alone
        self._waiting.extendleft(number for number in reversed(worker.in_hand) if number not in failed)
        if self._waiting:
            self.start_one()
        return (failed[0], self._died(failed[0], worker.process.exitcode)) if failed else None

    def _died(self, number: int, exit_code: int) -> MediaError:
        how = f"signal {signal.Signals(-exit_code).name}" if exit_code < 0 else f"exit code {exit_code}"
        return MediaError(
            f"{self._tasks[number].clip.video}: reading it ended its process {MAX_ATTEMPTS} times ({how}). "
            "The file may be damaged, or the memory too small for its pictures: export it again, or leave it out."
        )

    def stop(self) -> None:
        for worker in self._workers:
            worker.connection.close()
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join()


def _serve(connection: Connection) -> None:
    """A worker's life: tasks from the pipe, outcomes into it, until the pipe or its parent ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the workers
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        use_one_core()
        for outcome in ClipWorker().outcomes(_received(connection)):
            connection.send(("outcome", outcome))
    except (EOFError, OSError):
        return
    except Exception:
        connection.send(("bug", traceback.format_exc()))


def _received(connection: Connection) -> Iterator[ClipTask]:
    while (task := connection.recv()) is not None:
        yield task


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


@dataclass(frozen=True)
class Workforce:
    """Place where features are computed: this process (0 workers), processes of this machine, or a Ray cluster."""

    workers: int = 0
    ray_address: str | None = None

    def outcomes(self, tasks: Sequence[ClipTask]) -> Iterator[tuple[int, Outcome]]:
        """Yield number and outcome of each task as they finish; the place does not change the bytes."""
        if self.ray_address is not None:
            from avsc_tf.corpus.ray_cluster import on_ray

            return on_ray(tasks, address=self.ray_address)
        return in_processes(tasks, workers=self.workers) if self.workers else in_this_process(tasks)
