"""Files of the service, all under one folder, all of the server's own names.

jobs.sqlite              see `jobs`
uploads/ID               as they came; ID.part while they come
work/ID-N/               of start N of a job: the clean clip, and the result while it is written
results/ID.mp4           finished (.wav from networks without a face)
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path

from avsc_tf.core.errors import ServiceError
from avsc_tf.service.jobs import Job

_LOCK_NAME = "serve.lock"


class Storage:
    """One server at a time owns the folder, until `close` or its end."""

    def __init__(self, folder: Path) -> None:
        """Make the folders. Raises ServiceError where they cannot be made, or another server holds them."""
        self.folder = folder.resolve()
        self.uploads, self.work, self.results = (self.folder / name for name in ("uploads", "work", "results"))
        try:
            for path in (self.folder, self.uploads, self.work, self.results):
                path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = (self.folder / _LOCK_NAME).open("a", encoding="utf-8")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            raise ServiceError(f"--data {folder}: another server uses it. Stop that one, or name another.") from error
        except OSError as error:
            raise ServiceError(f"--data {folder}: cannot be used ({error.strerror}). Name another folder.") from error

    @property
    def database(self) -> Path:
        return self.folder / "jobs.sqlite"

    def upload(self, job_id: str) -> Path:
        return self.uploads / job_id

    def result(self, job: Job) -> Path | None:
        """The finished file of a job that is done."""
        return None if job.result_name is None else self.results / job.result_name

    def work_folder(self, job: Job) -> Path:
        """A new, empty folder for this start of a job."""
        folder = self.work / f"{job.id}-{job.starts}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        return folder

    def publish(self, made: Path, job: Job) -> tuple[str, int]:
        """Move a finished file to its place, on the disk when this returns; its name and size."""
        name = f"{job.id}{made.suffix}"
        sync_file(made)
        os.replace(made, self.results / name)
        sync_file(self.results)
        return name, (self.results / name).stat().st_size

    def forget(self, job: Job) -> None:
        """Remove a job's files."""
        for path in (self.upload(job.id), *self.results.glob(f"{job.id}.*")):
            path.unlink(missing_ok=True)

    def tidy(self, ids: set[str]) -> int:
        """Remove what belongs to no job and what a former server was at; the number of files removed."""
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir(mode=0o700, exist_ok=True)
        orphans = [path for path in self.uploads.iterdir() if path.name not in ids]
        orphans += [path for path in self.results.iterdir() if path.stem not in ids]
        for path in orphans:
            path.unlink()
        return len(orphans)

    def free_bytes(self) -> int:
        """Left on the disk."""
        return shutil.disk_usage(self.folder).free

    def close(self) -> None:
        """Let another server have the folder."""
        with contextlib.suppress(OSError):
            self._lock.close()


def sync_file(path: Path) -> None:
    """Wait until a file or a folder's entries are on the disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
