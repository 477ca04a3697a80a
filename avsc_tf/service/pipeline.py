"""Two threads that work on the queue: one lets uploads be decoded, the other lets clean clips be converted.

The first runs ahead by one clip, so that decoding costs no waiting and few clean clips lie on the disk. Whatever ends a
job's process is counted against the job alone; the process is started again for the next one.
"""

from __future__ import annotations

import contextlib
import queue
import shutil
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from avsc_tf.service.conversion import ConversionProcess, NotConvertedError, NotLoadedError, TooSlowError
from avsc_tf.service.decode import CleanClip
from avsc_tf.service.jobs import DONE, FAILED, Job, JobStore
from avsc_tf.service.metrics import Metrics, resident_bytes
from avsc_tf.service.processes import ProcessEndedError
from avsc_tf.service.progress import ProgressBoard
from avsc_tf.service.sandbox import CancelledError, RefusedUploadError, Sandbox, without_paths
from avsc_tf.service.settings import ServiceSettings
from avsc_tf.service.storage import Storage

_LOAD_SECONDS = 600.0
_IDLE_SECONDS = 0.5
_PAUSE_SECONDS = 5.0  # between two tries to start what does not start
_TIDY_SECONDS = 60.0


@dataclass(frozen=True)
class _Checked:
    job: Job
    clip: Path
    facts: CleanClip
    folder: Path


class Pipeline:
    """Works on jobs from `start` to `stop`."""

    def __init__(
        self, settings: ServiceSettings, bundle: Sequence[Path], storage: Storage, store: JobStore, metrics: Metrics
    ) -> None:
        self._settings, self._storage, self._store, self._metrics = settings, storage, store, metrics
        self.board = ProgressBoard()
        self.sandbox = Sandbox(settings.clip, settings.decoder)
        hidden = [settings.access.tokens_variable]
        self.converter = ConversionProcess(
            bundle, settings.conversion.offered, provenance=settings.provenance, hidden_variables=hidden
        )
        self.problem: tuple[str, str] | None = None  # why nothing can be converted: kind and message
        self._stopping, self._wake, self._loaded = threading.Event(), threading.Event(), threading.Event()
        self._cancels: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._checked: queue.Queue[_Checked] = queue.Queue(maxsize=1)
        self._threads = [
            threading.Thread(target=target, name=f"avsc-{target.__name__.strip('_')}", daemon=True)
            for target in (self._check_all, self._convert_all, self._tidy_all)
        ]

    def start(self) -> None:
        """Take up what a former server left, and begin."""
        for job in self._store.unfinished():
            self._again(job, died=False)
        self._storage.tidy(self._store.ids())
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Put jobs under way back into the queue, and end the processes."""
        self._stopping.set()
        self._wake.set()
        with self._lock:
            for cancel in self._cancels.values():
                cancel.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(timeout=20)
        self.sandbox.close()
        self.converter.close()
        for job in self._store.unfinished():
            self._store.requeue(job.id, counts=False)

    def wake(self) -> None:
        """A job was added."""
        self._wake.set()

    def cancel(self, job_id: str) -> bool:
        """Cancel an unfinished job, also one under way; False where it has ended."""
        done = self._store.cancel(job_id)
        with self._lock:
            event = self._cancels.get(job_id)
        if event is not None:
            event.set()
        return done

    def _check_all(self) -> None:
        while not self._stopping.is_set():
            if not self._loaded.wait(_IDLE_SECONDS) or self._checked.full():
                time.sleep(0.05)
                continue
            job = self._store.start_next()
            if job is None:
                self._wake.wait(_IDLE_SECONDS)
                self._wake.clear()
                continue
            with self._lock:
                self._cancels[job.id] = threading.Event()
            try:
                self._check(job)
            except Exception as error:  # a disk that is full, a database that is locked: the job says so, others go on
                self._end(job, FAILED, error=f"the server could not work on it ({type(error).__name__})", kind="server")

    def _check(self, job: Job) -> None:
        wanted, cancelled = self.converter.wanted, self._cancels[job.id]
        if wanted is None:  # the converter is being started again
            time.sleep(_IDLE_SECONDS)
            self._again(job, died=False, counts=False)
            return
        folder = self._storage.work_folder(job)
        self.board.at(job.id, "check", 0.0, vocoder=job.vocoder, clip_seconds=None)

        def progress(share: float) -> None:
            self.board.at(job.id, "check", share, vocoder=job.vocoder, clip_seconds=None)

        try:
            clip, facts = self.sandbox.decode(
                self._storage.upload(job.id), folder, wanted, cancelled=cancelled, progress=progress
            )
        except RefusedUploadError as error:
            self._metrics.decoder_failures.labels(error.kind).inc()
            self._end(job, FAILED, error=str(error), kind=error.kind)
        except CancelledError:
            self._again(job, died=False, counts=not self._stopping.is_set())
        except ProcessEndedError:
            self._metrics.decoder_failures.labels("died").inc()
            self._again(job, died=True)
        else:
            if not self._store.converting(job.id, facts.seconds):
                self._let_go(job)
                return
            self.board.knows(job.id, facts.seconds)
            self._checked.put(_Checked(job, clip, facts, folder))

    def _convert_all(self) -> None:
        while not self._stopping.is_set():
            if not self._load():
                continue
            with contextlib.suppress(queue.Empty):
                checked = self._checked.get(timeout=_IDLE_SECONDS)
                try:
                    self._convert(checked)
                except Exception as error:
                    message = f"the server could not work on it ({type(error).__name__})"
                    self._end(checked.job, FAILED, error=message, kind="server")
                self._renew_if_large()

    def _renew_if_large(self) -> None:
        """TensorFlow keeps something for every length of clip; a new process has forgotten them."""
        pid = self.converter.pid
        if pid is not None and resident_bytes(pid) > self._settings.jobs.converter_bytes:
            self.converter.close()

    def _load(self) -> bool:
        try:
            self.converter.start(stopping=self._stopping, timeout_seconds=_LOAD_SECONDS)
        except NotLoadedError as error:
            self.problem = (error.kind, str(error))
        except ProcessEndedError as error:
            self.problem = ("worker", f"the converting process does not start ({error})")
        except CancelledError:
            return False
        else:
            self.problem = None
            self._loaded.set()
            return True
        self._stopping.wait(_PAUSE_SECONDS)
        return False

    def _convert(self, checked: _Checked) -> None:
        job, wanted = checked.job, self.converter.wanted
        if self._cancels[job.id].is_set() or wanted is None:
            self._again(job, died=False, counts=False)
            return
        output = checked.folder / ("result.mp4" if wanted.picture else "result.wav")
        order = {"clip": str(checked.clip), "output": str(output), "seed": job.seed}
        order["vocoder"] = job.vocoder if wanted.sound else "none"
        started = time.monotonic()

        def progress(stage: str, share: float) -> None:
            self.board.at(job.id, stage, share, vocoder=job.vocoder, clip_seconds=checked.facts.seconds)

        try:
            notes = self.converter.convert(
                order,
                cancelled=self._cancels[job.id],
                max_seconds=self._settings.jobs.max_seconds,
                progress=progress,
            )
        except NotConvertedError as error:
            message = without_paths(str(error), self._storage.upload(job.id), checked.folder)
            self._end(job, FAILED, error=message, kind=error.kind)
        except TooSlowError:
            message = f"the conversion took longer than {self._settings.jobs.max_seconds:g} s. Send a shorter clip."
            self._end(job, FAILED, error=message, kind="timeout")
        except CancelledError:
            self._again(job, died=False, counts=not self._stopping.is_set())
        except ProcessEndedError:
            self._again(job, died=True)
        else:
            progress("finish", 0.0)
            name, size = self._storage.publish(output, job)
            notes = [*(f"the upload: {note}" for note in checked.facts.notes), *notes]
            if not self._end(job, DONE, result_name=name, result_bytes=size, notes="\n".join(notes)):
                (self._storage.results / name).unlink(missing_ok=True)
            self._metrics.converted_seconds.inc(checked.facts.seconds)
            self._metrics.job_seconds.labels(job.vocoder).observe(time.monotonic() - started)

    def _again(self, job: Job, *, died: bool, counts: bool = True) -> None:
        """Back into the queue, unless it was tried too often; a job that was cancelled stays cancelled."""
        limits = self._settings.jobs
        if counts and job.deaths + died >= limits.max_worker_deaths:
            message = f"the conversion ended its process {job.deaths + died} times; it is not tried again."
            self._end(job, FAILED, error=message, kind="crash", deaths=job.deaths + died)
        elif counts and job.starts >= limits.max_starts:
            message = f"the conversion was begun {job.starts} times and never ended; it is not tried again."
            self._end(job, FAILED, error=message, kind="interrupted")
        else:
            self._store.requeue(job.id, died=died, counts=counts)
            self._let_go(job)

    def _end(self, job: Job, state: str, *, kind: str | None = None, **values: object) -> bool:
        done = self._store.finish(job.id, state, error_kind=kind, **values)
        if done:
            self._metrics.finished.labels(state).inc()
        self._let_go(job)
        return done

    def _let_go(self, job: Job) -> None:
        self.board.drop(job.id)
        with self._lock:
            self._cancels.pop(job.id, None)
        shutil.rmtree(self._storage.work / f"{job.id}-{job.starts}", ignore_errors=True)

    def _tidy_all(self) -> None:
        while not self._stopping.wait(_TIDY_SECONDS):
            self.tidy()

    def tidy(self) -> None:
        """Remove finished jobs that are past their time."""
        for job in self._store.finished_before(time.time() - self._settings.jobs.retention_hours * 3600):
            if self._store.remove(job.id):
                self._storage.forget(job)
