"""Recordings of sound files in a folder of flat files: made once, going on where it was stopped, read by memory map.

    FOLDER/index.jsonl   first line: the key; then a line a file: its name and number of mel frames, or why it is bad
    FOLDER/waveform.f32, mel.f32, f0_hz.f32   little-endian float32, all recordings one after another

A line of the index is written after its recording's samples, so that what a stopped run left beyond the last line is
cut off and read again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from avsc_tf.core.config import Config
from avsc_tf.core.errors import MediaError
from avsc_tf.datasets.recordings import Floats, Recording, StreamedRecordings, read_recording
from avsc_tf.features.pitch import PitchEstimator
from avsc_tf.features.statistics import RunningMoments

INDEX_NAME = "index.jsonl"
ARRAYS = ("waveform", "mel", "f0_hz")
FLOAT = np.dtype("<f4")


def store_recordings(
    paths: Sequence[Path], config: Config, folder: Path, *, skip_bad: bool = False
) -> list[dict[str, Any]]:
    """`read_recording` of many files into `folder`, but for those that are there already.

    Args:
        skip_bad: leave out files that cannot be read, and name them, instead of ending with an error once all others
            are read.

    Returns:
        An entry a path: {"name", "n_frames"} or {"name", "bad": why}.

    Raises:
        MediaError: a file cannot be read; none can.
    """
    entries = _begun(folder, _key(paths, config))
    _cut(folder, entries, config)
    n_done = len(entries)
    progress = tqdm(paths[n_done:], desc="recordings", unit="file", initial=n_done, total=len(paths))
    for path in progress:
        entries.append(_add(folder, path, config))
    _end_on_bad(entries, paths, skip_bad=skip_bad, write=progress.write)
    return entries


class StoredRecordings(StreamedRecordings):
    """The chosen recordings of a store, read from its files whenever they are asked for."""

    def __init__(
        self, folder: Path, entries: Sequence[Mapping[str, Any]], chosen: NDArray[np.bool_], config: Config
    ) -> None:
        """`entries`: of the whole store; `chosen`: a flag an entry. Bad ones are left out."""
        timebase = config.timebase
        n_frames = np.array([entry.get("n_frames", 0) for entry in entries], np.int64)
        kept = np.flatnonzero((n_frames > 0) & chosen)
        super().__init__(n_frames[kept] // timebase.mel_per_video, config, None)
        self._names = [str(entries[k]["name"]) for k in kept]
        self._first_frame = (np.cumsum(n_frames) - n_frames)[kept]
        self._maps = {name: _map(folder / f"{name}.f32") for name in ARRAYS}
        self._row_values = _row_values(config)

    @property
    def has_facial(self) -> bool:
        return False

    @property
    def n_mel_frames(self) -> int:
        return int(self.video_frames.sum()) * self.config.timebase.mel_per_video

    def with_estimator(self, estimator: PitchEstimator | None) -> StoredRecordings:
        """The same, with pitch from now on."""
        self.estimator = estimator
        return self

    def bare(self, k: int) -> Recording:
        waveform, mel, f0_hz = (self.array(name, k) for name in ARRAYS)
        known = not np.isnan(f0_hz).any()
        mel = mel.reshape(len(f0_hz), -1)
        return Recording(self._names[k], waveform, mel, f0_hz=f0_hz if known else None)

    def array(self, name: str, k: int) -> Floats:
        """All values of one array of recording `k`, flat."""
        first = int(self._first_frame[k])
        n_frames = int(self.video_frames[k]) * self.config.timebase.mel_per_video
        size = self._row_values[name]
        return np.array(self._maps[name][first * size : (first + n_frames) * size])

    def mel_moments(self) -> tuple[Floats, Floats]:
        """Mean and deviation of each band over all frames, [n_mels] each, reading one recording at a time."""
        moments = RunningMoments()
        for k in range(len(self)):
            moments.add(self.array("mel", k).reshape(-1, self._row_values["mel"]))
        return moments.moments()


def _begun(folder: Path, key: str) -> list[dict[str, Any]]:
    """The entries that are there, of a store with this key; an empty new store otherwise."""
    index = folder / INDEX_NAME
    lines = index.read_text(encoding="utf-8").splitlines(keepends=True) if index.is_file() else []
    whole = [json.loads(line) for line in lines if line.endswith("\n")]
    if not whole or whole[0] != {"key": key}:
        whole = [{"key": key}]
        folder.mkdir(parents=True, exist_ok=True)
        for name in ARRAYS:
            (folder / f"{name}.f32").write_bytes(b"")
    partial = folder / f".{INDEX_NAME}"
    partial.write_text("".join(json.dumps(entry) + "\n" for entry in whole), encoding="utf-8")
    os.replace(partial, index)
    return whole[1:]


def _cut(folder: Path, entries: list[dict[str, Any]], config: Config) -> None:
    """Cut the files to what the index knows; an index that knows more than the files hold is shortened."""
    sizes = _row_values(config)
    while entries and any(
        (folder / f"{name}.f32").stat().st_size < _frames(entries) * sizes[name] * FLOAT.itemsize for name in ARRAYS
    ):
        entries.pop()
    for name in ARRAYS:
        os.truncate(folder / f"{name}.f32", _frames(entries) * sizes[name] * FLOAT.itemsize)
    lines = (folder / INDEX_NAME).read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / INDEX_NAME).write_text("".join(lines[: 1 + len(entries)]), encoding="utf-8")


def _frames(entries: Sequence[Mapping[str, Any]]) -> int:
    return sum(entry.get("n_frames", 0) for entry in entries)


def _row_values(config: Config) -> dict[str, int]:
    """Values of each array in one mel frame."""
    timebase = config.timebase.at_rate(config.wavenet.sample_rate_hz)
    return {"waveform": timebase.hop_samples, "mel": config.acoustic.n_mels, "f0_hz": 1}


def _add(folder: Path, path: Path, config: Config) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": path.stem}
    try:
        recording = read_recording(path, config)
    except MediaError as error:
        entry["bad"] = str(error)
    else:
        n_frames = entry["n_frames"] = len(recording.mel)
        f0_hz = np.full(n_frames, np.nan)
        if recording.f0_hz is not None:
            f0_hz = np.pad(recording.f0_hz, (0, n_frames - len(recording.f0_hz)))
        for name, values in zip(ARRAYS, (recording.waveform, recording.mel, f0_hz), strict=True):
            with (folder / f"{name}.f32").open("ab") as file:
                file.write(np.ascontiguousarray(values, FLOAT).tobytes())
    with (folder / INDEX_NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
    return entry


def _end_on_bad(entries: Sequence[Mapping[str, Any]], paths: Sequence[Path], *, skip_bad: bool, write: Any) -> None:
    problems = [entry["bad"] for entry in entries if "bad" in entry]
    if len(problems) == len(paths):
        raise MediaError(f"{problems[0]} So it is with all {len(paths)} recordings.")
    if problems and not skip_bad:
        more = len(problems) - 1
        others = f" So it is with {more} more." if more else ""
        raise MediaError(f"{problems[0]}{others} --skip-bad leaves such files out.")
    for problem in problems:
        write(f"left out: {problem}")


def _map(path: Path) -> Floats:
    return np.memmap(path, FLOAT, mode="r") if path.stat().st_size else np.zeros(0, np.float32)


def _key(paths: Sequence[Path], config: Config) -> str:
    """Digest of the files, by name, size and time, and of the settings that decide the stored values."""
    settings = (config.time, config.acoustic, config.wavenet.sample_rate_hz)
    files = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    return hashlib.sha256(repr((settings, files)).encode()).hexdigest()
