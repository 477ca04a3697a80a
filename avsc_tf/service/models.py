"""The models of a folder, called from any thread or event loop of a process without TensorFlow.

They live in a process of their own (`avsc_tf.service.model_process`): one that a model takes down, or that computes
far past its time, is started again, and only the calls it had fail (UNAVAILABLE).
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import os
import queue
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from avsc_tf.errors import BundleError
from avsc_tf.service.codes import CallError, Code
from avsc_tf.service.model_limits import ModelLimits
from avsc_tf.service.model_messages import HEADER_BYTES, pack, unpack
from avsc_tf.service.model_states import ModelStates

LOOK_SECONDS = 0.25  # how often overdue calls are looked for
FIRST_STARTS = 3  # that may fail before the first success
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 60.0  # before the process is started again; doubled each time
STEADY_SECONDS = 60.0  # after which a start counts as a success
ENDING_SECONDS = 5.0
KEPT_VARIABLES = ("CUDA_", "HOME", "LANG", "LC_", "LD_", "NVIDIA_", "OMP_", "PATH", "PYTHON", "TF_", "TMPDIR", "XLA_")


@dataclass
class _Call:
    future: Future[bytes]
    overdue: float  # by time.monotonic: then the process is taken for stuck


class ModelHost:
    """SavedModels of `folder`, in their own process.

    Args:
        folder: NAME/VERSION/ folders, or one with a models.config.

    Use as a context manager, or `start` and `close`.
    """

    def __init__(self, folder: Path, limits: ModelLimits | None = None) -> None:
        self.folder = folder
        self.limits = limits or ModelLimits()
        self.restarts = 0
        self.states = ModelStates()
        self._calls: dict[int, _Call] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._outgoing: queue.SimpleQueue[bytes | None] | None = None  # of the process that is ready
        self._process: subprocess.Popen[bytes] | None = None
        self._started = threading.Event()  # ready, or never will be
        self._failure: str | None = None
        self._closing = threading.Event()
        self._watchers: list[Callable[[bool], None]] = []
        self._keeper = threading.Thread(target=self._keep, name="model-host", daemon=True)

    def __enter__(self) -> ModelHost:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def start(self, *, wait: bool = True) -> None:
        """Start the process; `wait` until its models are loaded.

        Raises:
            BundleError: the folder holds no model, or none that can be loaded.
        """
        self._keeper.start()
        if wait:
            self.wait()

    def wait(self) -> None:
        """Until the models are loaded. Raises BundleError, as `start` does."""
        self._started.wait(self.limits.load_seconds + ENDING_SECONDS)
        if self._failure is None and not self.ready:
            self._failure = f"{self.folder}: the models were not loaded within {self.limits.load_seconds:g} s."
        if self._failure is None and not any(v.state == "AVAILABLE" for v in self.states.versions):
            self._failure = " ".join(dict.fromkeys(v.error_message for v in self.states.versions))
        if self._failure is not None:
            self.close()
            raise BundleError(self._failure)

    def close(self) -> None:
        """End the process; calls under way fail."""
        self._closing.set()
        self._kill()
        if self._keeper.is_alive() and threading.current_thread() is not self._keeper:
            self._keeper.join(ENDING_SECONDS)

    def watch(self, tell: Callable[[bool], None]) -> None:
        """Have `tell` called now, and whenever calls begin or cease to be taken."""
        self._watchers.append(tell)
        tell(self.ready)

    def unwatch(self, tell: Callable[[bool], None]) -> None:
        """Undo `watch`."""
        self._watchers.remove(tell)

    @property
    def ready(self) -> bool:
        """Whether calls are taken now."""
        return self._outgoing is not None

    @property
    def calls_under_way(self) -> int:
        """Calls that are computed or wait."""
        return len(self._calls)

    @property
    def process_id(self) -> int | None:
        """Of the model process, while there is one."""
        return self._process.pid if self._process is not None else None

    def submit(self, method: str, body: bytes = b"", *, seconds: float | None = None, **spec: Any) -> Future[bytes]:
        """Hand a call over; the answer's body comes as a future. Never waits.

        Args:
            method: of `avsc_tf.service.model_process.calls.Calls`.
            seconds: until the client stops waiting; at most the limit.
            spec: `name`, `version`, `label` of the model.

        Raises:
            CallError: (in the future as well) too large, too many calls, no process, or what the model says.
        """
        if len(body) > self.limits.body_bytes:
            raise CallError(Code.RESOURCE_EXHAUSTED, f"The request has more than {self.limits.body_bytes} bytes.")
        allowed = self.limits.call_seconds if seconds is None else min(seconds, self.limits.call_seconds)
        number = next(self._numbers)
        frame = pack({"id": number, "method": method, "seconds": allowed, **spec}, body)
        call = _Call(Future(), time.monotonic() + allowed + self.limits.grace_seconds)
        call.future.set_running_or_notify_cancel()
        with self._lock:
            if self._outgoing is None:
                raise CallError(Code.UNAVAILABLE, "The models are being loaded; try again.")
            if len(self._calls) >= self.limits.concurrency + self.limits.queue:
                raise CallError(Code.UNAVAILABLE, "Too many calls wait; try again.")
            self._calls[number] = call
            self._outgoing.put(frame)
        return call.future

    async def call(self, method: str, body: bytes = b"", *, seconds: float | None = None, **spec: Any) -> bytes:
        """`submit` and wait, within an event loop. Raises CallError."""
        return await asyncio.wrap_future(self.submit(method, body, seconds=seconds, **spec))

    def _keep(self) -> None:
        """Start the process, again and again until `close`."""
        pause = FIRST_PAUSE_SECONDS
        while not self._closing.is_set():
            begun = time.monotonic()
            self._one_process()
            if self.restarts + 1 >= FIRST_STARTS and not self._started.is_set():
                self._failure = f"{self.folder}: the model process ended {FIRST_STARTS} times while loading."
            if self._failure is not None:
                break
            steady = time.monotonic() - begun > STEADY_SECONDS
            pause = FIRST_PAUSE_SECONDS if steady else min(2 * pause, LONGEST_PAUSE_SECONDS)
            if self._closing.wait(pause):
                break
            self.restarts += 1
        self._started.set()

    def _one_process(self) -> None:
        ours, theirs = socket.socketpair()
        arguments = [str(theirs.fileno()), str(self.folder), json.dumps(dataclasses.asdict(self.limits))]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "avsc_tf.service.model_process", *arguments],
                pass_fds=[theirs.fileno()],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,  # it may not write files, and the service's log may be one
            )
        threading.Thread(target=_relay, args=(self._process.stderr,), name="model-host-log", daemon=True).start()
        outgoing: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        with Connection(ours.detach()) as connection:
            writer = threading.Thread(target=_write, args=(connection, outgoing), name="model-host-writer", daemon=True)
            writer.start()
            try:
                self._read(connection, outgoing)
            except (EOFError, OSError, ValueError, KeyError):
                pass  # gone, or talks nonsense: in both cases a new one
            finally:
                self._lose(outgoing)
                self._kill()
                writer.join()

    def _read(self, connection: Connection, outgoing: queue.SimpleQueue[bytes | None]) -> None:
        must_be_ready = time.monotonic() + self.limits.load_seconds
        while not self._closing.is_set():
            if connection.poll(LOOK_SECONDS):
                header, body = unpack(connection.recv_bytes(self.limits.body_bytes + HEADER_BYTES))
                if "event" in header:
                    self._note(header, outgoing)
                else:
                    self._resolve(header, body)
            now = time.monotonic()
            if any(call.overdue < now for call in list(self._calls.values())) or (
                not self.ready and must_be_ready < now
            ):
                return

    def _note(self, header: dict[str, Any], outgoing: queue.SimpleQueue[bytes | None]) -> None:
        if header["event"] == "models":
            self.states = ModelStates.from_message(header)
        elif header["event"] == "failed":
            self._failure = str(header["message"])
        elif header["event"] == "ready":
            with self._lock:
                self._outgoing = outgoing
            self._started.set()
            self._tell()

    def _resolve(self, header: dict[str, Any], body: bytes) -> None:
        with self._lock:
            call = self._calls.pop(header["id"], None)
        if call is None:
            return
        if header["code"] == Code.OK:
            call.future.set_result(body)
        else:
            call.future.set_exception(CallError(Code(header["code"]), str(header["message"])))

    def _lose(self, outgoing: queue.SimpleQueue[bytes | None]) -> None:
        """No more calls, and those under way fail."""
        with self._lock:
            self._outgoing = None
            lost, self._calls = self._calls, {}
        self.states = self.states.interrupted()
        outgoing.put(None)
        self._tell()
        for call in lost.values():
            call.future.set_exception(CallError(Code.UNAVAILABLE, "The model process ended during this call."))

    def _tell(self) -> None:
        for tell in list(self._watchers):
            tell(self.ready)

    def _kill(self) -> None:
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
            process.wait()


def _write(connection: Connection, outgoing: queue.SimpleQueue[bytes | None]) -> None:
    """Send what is put, in a thread, so that nobody who submits waits for a full pipe."""
    while (frame := outgoing.get()) is not None:
        try:
            connection.send_bytes(frame)
        except OSError:
            return  # the reader notices as well


def _relay(log: IO[bytes] | None) -> None:
    """What the process says, on our standard error."""
    with log or open(os.devnull, "rb") as lines:
        for line in lines:
            sys.stderr.write(line.decode(errors="replace"))


def _environment() -> dict[str, str]:
    """What TensorFlow needs of this process's environment, no tokens, and where this package is found."""
    kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT_VARIABLES)}
    here = str(Path(__file__).resolve().parents[2])
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, [here, kept.get("PYTHONPATH", "")]))}
