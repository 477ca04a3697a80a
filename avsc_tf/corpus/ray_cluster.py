"""Clip tasks on a Ray cluster (extra `ray`): the same tasks, the same bytes, more machines.

Every machine must see the clips under the same path and have this version of avsc_tf. Features come back through Ray's
object store; only the machine that prepares writes. See docs/scale-out.md.
"""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from avsc_tf.core.errors import AvscError, MediaError, RecordError
from avsc_tf.corpus.clip_tasks import MAX_ATTEMPTS, ClipTask, ClipWorker, Outcome, use_one_core

TASKS_PER_CORE = 2  # handed out at a time: one computing, one waiting, so that memory does not grow with the corpus
CONNECT_SECONDS = 10.0
_worker: ClipWorker | None = None  # of a Ray worker process, which serves many tasks


def on_ray(tasks: Sequence[ClipTask], *, address: str) -> Iterator[tuple[int, Outcome]]:
    """Number and outcome of each task, in the order in which they are done.

    A task whose worker or machine dies is run again elsewhere, up to `MAX_ATTEMPTS` times.

    Args:
        address: of a running cluster ("auto", "HOST:PORT", "ray://HOST:PORT"), or "local" to start one here.

    Raises:
        RecordError: Ray is not installed, or no cluster answers.
    """
    with connected(address) as ray:
        yield from _outcomes(ray, tasks)


@contextmanager
def connected(address: str) -> Iterator[Any]:
    """The module `ray`, connected to a cluster within the block. Raises RecordError, as `on_ray` does."""
    ray = _connect(address)
    try:
        yield ray
    finally:
        ray.shutdown()


def _connect(address: str) -> Any:
    try:
        import ray
    except ImportError as error:
        raise RecordError("--ray needs Ray: pip install 'avsc_tf[ray]' on every machine of the cluster.") from error
    try:
        _knock(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError) as error:
        raise RecordError(
            f"--ray {address}: no cluster answers there ({str(error).splitlines()[0]}). Start one with "
            "`ray start --head`, or name its address."
        ) from error
    return ray


def _knock(address: str) -> None:
    """Raise OSError where nothing listens: Ray itself would try for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()


def _outcomes(ray: Any, tasks: Sequence[ClipTask]) -> Iterator[tuple[int, Outcome]]:
    remote = ray.remote(num_cpus=1, max_retries=MAX_ATTEMPTS - 1)(_compute)
    waiting = deque(enumerate(tasks))
    running: dict[Any, int] = {}  # reference of the result -> number of the task
    while waiting or running:
        at_once = max(1, int(TASKS_PER_CORE * ray.cluster_resources().get("CPU", 1)))
        while waiting and len(running) < at_once:
            number, task = waiting.popleft()
            running[remote.remote(task)] = number
        done, _ = ray.wait(list(running), num_returns=1)
        number = running.pop(done[0])
        yield number, _result(ray, done[0], tasks[number])


def _result(ray: Any, reference: Any, task: ClipTask) -> Outcome:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError:
        raise  # a mistake in our code, with its traceback
    except ray.exceptions.RayError as error:
        return MediaError(
            f"{task.clip.video}: reading it ended its Ray worker {MAX_ATTEMPTS} times ({type(error).__name__}). "
            "The file may be damaged, or the memory too small for its pictures: export it again, or leave it out."
        )


def _compute(task: ClipTask) -> Outcome:
    """Runs in a Ray worker process."""
    global _worker
    if _worker is None:
        use_one_core()
        _worker = ClipWorker()
    (outcome,) = _worker.outcomes([task])
    return outcome if isinstance(outcome, AvscError) else bytes(outcome)
