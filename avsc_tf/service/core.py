"""All parts of a running service in one object, and what its state is."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client.core import Metric

from avsc_tf.core.consent import read_consent
from avsc_tf.core.errors import BundleError, ConsentError
from avsc_tf.core.runs import consent_path
from avsc_tf.service.access import Access
from avsc_tf.service.jobs import QUEUED, JobStore
from avsc_tf.service.metrics import Metrics, gauge, resident_bytes
from avsc_tf.service.models import ModelHost
from avsc_tf.service.pipeline import Pipeline
from avsc_tf.service.refusals import RefusedError
from avsc_tf.service.settings import ServiceSettings
from avsc_tf.service.storage import Storage

RETRY_SECONDS = "10"


class Service:
    """Jobs, files, processes and figures of one server."""

    def __init__(self, settings: ServiceSettings, bundle: Sequence[Path], data: Path) -> None:
        """Open all that is kept in the folder `data`; nothing is started yet.

        Raises:
            ServiceError: the folder, its database or the tokens cannot be used. BundleError: no such run folder.
        """
        for run in bundle:
            if not run.is_dir():
                raise BundleError(f"{run}: no such run folder. Name one that avsc train made.")
        self.settings, self.bundle = settings, tuple(bundle)
        self.storage = Storage(data)
        self.access = Access(settings.access, self.storage.folder / "session.key")
        self.store = JobStore(self.storage.database)
        self.metrics = Metrics()
        self.pipeline = Pipeline(settings, bundle, self.storage, self.store, self.metrics)
        self.metrics.watch(self._gauges)
        self.models: ModelHost | None = None  # of --models
        self.stopping = threading.Event()
        self.bound_host = "127.0.0.1"
        self.uploading: dict[str, int] = {}  # id -> bytes at most
        self.event_streams = 0

    def start(self) -> None:
        """Begin to work on jobs."""
        self.pipeline.start()

    def stop(self) -> None:
        """Put jobs under way back, end the processes, close the files."""
        self.stopping.set()
        self.pipeline.stop()
        self.store.close()
        self.storage.close()

    def host_models(self, folder: Path) -> ModelHost:
        """The exported models of a folder, to be entered before it is `models`. Raises BundleError: it has none."""
        return ModelHost(folder, self.settings.models, hidden_variables=[self.settings.access.tokens_variable])

    def check_consent(self) -> None:
        """Raise RefusedError (403) where the target's consent has ended, or nobody gave any."""
        try:
            for run in self.bundle:
                read_consent(consent_path(run)).check(consent_path(run).name)
        except ConsentError as error:
            raise RefusedError(403, self._without_folders(str(error))) from error

    def check_room(self, n_bytes: int) -> None:
        """Raise RefusedError (507) where so many bytes more do not fit."""
        limits = self.settings.jobs
        coming = sum(self.uploading.values()) + n_bytes
        stored = self.store.stored_bytes()
        if stored + coming > limits.disk_bytes or self.storage.free_bytes() - coming < limits.min_free_bytes:
            raise RefusedError(507, "there is no room for the upload; remove finished jobs, or try later")

    def health(self) -> dict[str, str]:
        """What must be well for a conversion: "ok" or what is not."""
        problem = self.pipeline.problem
        checks = {"bundle": "ok", "worker": "ok", "consent": "ok", "disk": "ok"}
        if problem is not None:
            checks["worker" if problem[0] == "worker" else "bundle"] = self._without_folders(problem[1])
        if not self.pipeline.converter.is_ready:
            checks["worker"] = "the networks are not loaded" if problem else "the networks are being loaded"
        try:
            self.check_consent()
        except RefusedError as error:
            checks["consent"] = str(error)
        try:
            self.check_room(0)
        except RefusedError as error:
            checks["disk"] = str(error)
        return checks

    def _without_folders(self, message: str) -> str:
        for run in self.bundle:
            message = message.replace(f"{run.resolve()}/", "").replace(f"{run}/", "").replace(str(run), "the bundle")
        return message

    def _gauges(self) -> Iterator[Metric]:
        counts, pipeline = self.store.counts(), self.pipeline
        pids = {"web": "self", "decoder": pipeline.sandbox.pid, "converter": pipeline.converter.pid}
        if self.models is not None:
            pids["models"] = self.models.process.pid if self.models.process is not None else None
        memory = {name: resident_bytes(pid) for name, pid in pids.items()}
        restarts = {"decoder": pipeline.sandbox.restarts, "converter": pipeline.converter.restarts}
        if self.models is not None:
            restarts["models"] = self.models.restarts
            yield gauge("model_calls_now", "Calls of models under way", {"": float(self.models.calls)})
        yield gauge("jobs", "Jobs kept, by state", {state: float(n) for state, n in counts.items()}, "state")
        yield gauge("queue_length", "Jobs that wait", {"": float(counts[QUEUED])})
        yield gauge("resident_bytes", "Memory of each process", memory, "process")
        yield gauge(
            "process_restarts", "Processes started again", {k: float(max(0, v)) for k, v in restarts.items()}, "process"
        )
        yield gauge("stored_bytes", "Uploads and results", {"": float(self.store.stored_bytes())})
        yield gauge("uploads_now", "Uploads under way", {"": float(len(self.uploading))})
        yield gauge("event_streams", "Open streams of events", {"": float(self.event_streams)})
        yield gauge("ready", "Whether conversions can be made", {"": float(set(self.health().values()) == {"ok"})})
