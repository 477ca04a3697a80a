"""The model process: `python -m avsc_tf.service.model_process FD FOLDER LIMITS`; `avsc_tf.service.models` starts it.

It holds the models and TensorFlow, has no port, writes no file, and answers what comes through the socket FD. It ends
when the service does, for then the socket closes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from avsc_tf.errors import BundleError
from avsc_tf.service.codes import CallError, Code
from avsc_tf.service.model_limits import ModelLimits
from avsc_tf.service.model_messages import HEADER_BYTES, pack, unpack


class Process:
    """Answers requests until the other end closes."""

    def __init__(self, connection: Connection, limits: ModelLimits) -> None:
        self._connection = connection
        self._limits = limits
        self._sending = threading.Lock()

    def run(self, folder: Path) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        from avsc_tf.service.model_process.calls import Calls
        from avsc_tf.service.model_process.served import Served

        _forbid_files()
        logging.getLogger("tensorflow").setLevel(logging.ERROR)
        try:
            served = Served(folder, self._limits, lambda states: self._send({"event": "models", **states.as_message()}))
        except BundleError as error:
            self._send({"event": "failed", "message": str(error)})
            return
        _limit_memory(self._limits.memory_bytes)
        self._send({"event": "ready"})
        self._answer_all(Calls(served))

    def _answer_all(self, calls: Any) -> None:
        with ThreadPoolExecutor(self._limits.concurrency, thread_name_prefix="call") as pool:
            while True:
                frame = self._connection.recv_bytes(self._limits.body_bytes + HEADER_BYTES)
                header, body = unpack(frame)
                pool.submit(self._answer, calls, header, body, time.monotonic() + header["seconds"])
                del frame, body

    def _answer(self, calls: Any, header: dict[str, Any], body: bytes, deadline: float) -> None:
        answer, reply = b"", {"id": header["id"], "code": int(Code.OK)}
        try:
            answer = calls.answer(header, body, deadline)
        except CallError as error:
            reply |= {"code": int(error.code), "message": error.message}
        except MemoryError:
            reply |= {"code": int(Code.RESOURCE_EXHAUSTED), "message": "Not enough memory for this call."}
        except Exception:
            logging.exception("a call failed by a mistake of the service")
            reply |= {"code": int(Code.INTERNAL), "message": "Internal error; the service's log has it."}
        self._send(reply, answer)

    def _send(self, header: dict[str, Any], body: bytes = b"") -> None:
        with self._sending:
            self._connection.send_bytes(pack(header, body))


def _forbid_files() -> None:
    """Whatever a model manages to do, it leaves no file: neither a core nor one of its own."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _limit_memory(extra_bytes: int) -> None:
    """Bound the address space to what is used now and `extra_bytes`."""
    used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + extra_bytes, resource.RLIM_INFINITY))


def main() -> None:
    """Serve until the socket closes."""
    descriptor, folder, limits = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the service's
    process = Process(Connection(int(descriptor)), ModelLimits(**json.loads(limits)))
    with contextlib.suppress(EOFError, ConnectionError):
        process.run(Path(folder))
    os._exit(0)  # computations under way have nobody to answer to


if __name__ == "__main__":
    main()
