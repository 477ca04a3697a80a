"""`manifest.json` of a records folder: what is in it and the settings it was made with. Written last.

Checksums are kept by file (sha256) and by record (CRC-32 of its whole frame, so that no byte of a shard is without
one); the manifest has its own, and those of the files beside the shards.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avsc_tf.core.config import Config
from avsc_tf.core.errors import RecordError
from avsc_tf.core.files import written_whole

MANIFEST_NAME = "manifest.json"
STATISTICS_NAME = "statistics.npz"
CONFIG_NAME = "config.yaml"
SHARD_SUFFIX = ".tfrecord"
PART_SUFFIX = ".part"
FORMAT_VERSION = 2
AGAIN = "Run avsc prepare again."
_READ_BYTES = 1 << 20
_BESIDE = (STATISTICS_NAME, CONFIG_NAME)


@dataclass(frozen=True)
class Shard:
    """One TFRecord file, named STEM-NUMBER.tfrecord."""

    name: str
    n_bytes: int
    sha256: str
    utterances: tuple[str, ...]
    video_frames: tuple[int, ...]  # length of each example on its own timeline
    frame_bytes: tuple[int, ...]  # of each record's frame in the file, header and footer included
    crc32: tuple[int, ...]  # of each record's frame

    @property
    def stem(self) -> str:
        """What its records are: pairs-train, source-test, ..."""
        return self.name.removesuffix(SHARD_SUFFIX).rpartition("-")[0]


@dataclass(frozen=True)
class Manifest:
    """Everything a reader checks before it trusts the files beside it."""

    fingerprint: str  # Config.fingerprint
    settings: dict[str, Any]  # Config.record_settings
    inputs: str  # digest of the clips the records were made from
    shards: tuple[Shard, ...]
    counts: dict[str, int]  # records of each stem
    skipped: tuple[str, ...] = ()  # clips and pairs left out by --skip-bad, with their reasons
    version: int = FORMAT_VERSION
    alignment_cost: dict[str, float] = field(default_factory=dict)  # utterance -> mean standardised cost
    files: dict[str, str] = field(default_factory=dict)  # sha256 of the other files; `write_manifest` fills it in

    def shards_of(self, stem: str) -> tuple[Shard, ...]:
        """The shards of `stem` in order; there is one at least, which may be empty. Raises RecordError."""
        found = tuple(shard for shard in self.shards if shard.stem == stem)
        if not found:
            raise RecordError(f"{stem}: the manifest names no such shard. {AGAIN}")
        return found

    def video_frames_of(self, stem: str) -> tuple[int, ...]:
        """Length of each record of `stem`, in order."""
        return tuple(n for shard in self.shards_of(stem) for n in shard.video_frames)


def shard_name(stem: str, number: int) -> str:
    return f"{stem}-{number:05d}{SHARD_SUFFIX}"


def counts_text(counts: Mapping[str, int]) -> str:
    """Numbers of records by kind, as programs print them."""
    return ", ".join(f"{name} {n}" for name, n in counts.items())


def count_records(shards: Iterable[Shard]) -> dict[str, int]:
    """Records of each stem, for `Manifest.counts`."""
    counts: Counter[str] = Counter()
    for shard in shards:
        counts[shard.stem] += len(shard.utterances)
    return dict(counts)


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write beside, then rename: a manifest that is there is whole. Call it after every other file is in place."""
    tree = dataclasses.asdict(manifest)
    tree["files"] = {name: file_sha256(folder / name) for name in _BESIDE if (folder / name).is_file()}
    tree["sha256"] = _own_digest(tree)
    text = json.dumps(tree, indent=1, ensure_ascii=False)
    # Lists of numbers go on one line (no string holds a line break, so that none is touched).
    text = re.sub(r"\[\n[\d\s,]*\]", lambda found: " ".join(found[0].split()), text)
    with written_whole(folder / MANIFEST_NAME) as part:
        part.write_text(text, encoding="utf-8")
        to_disk(part)


def to_disk(path: Path) -> None:
    """Wait until a file's bytes are on the disk, so that not even a power cut leaves a half one."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def remove_stale(folder: Path, shards: Iterable[Shard]) -> None:
    """Delete shards of earlier runs and unfinished ones. Call it while there is no manifest."""
    kept = {shard.name for shard in shards}
    for pattern in (f"*{SHARD_SUFFIX}", f"*{SHARD_SUFFIX}{PART_SUFFIX}"):
        for path in folder.glob(pattern):
            if path.name not in kept:
                path.unlink()


def read_manifest(folder: Path) -> Manifest:
    """Raises RecordError where there is none, where it cannot be understood, or where a byte of it has changed."""
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise RecordError(f"{folder}: holds no {MANIFEST_NAME}, so its records are unfinished. Run avsc prepare.")
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
        if tree["version"] != FORMAT_VERSION:
            raise RecordError(
                f"{path}: format version {tree['version']}, this program reads {FORMAT_VERSION}. "
                "Prepare the records again; the features are kept."
            )
        if tree.pop("sha256") != _own_digest(tree):
            raise ValueError("its own sha256 is another")
        shards = tuple(_shard(shard) for shard in tree.pop("shards"))
        return Manifest(shards=shards, **{**tree, "skipped": tuple(tree["skipped"])})
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: damaged ({error}). {AGAIN}") from error


def check_fingerprint(folder: Path, manifest: Manifest, config: Config) -> None:
    """Raises RecordError naming every setting that differs from those the records were made with."""
    if manifest.fingerprint == config.fingerprint:
        return
    there, here = _flatten(manifest.settings), _flatten(config.record_settings)
    differing = [
        f"{name}: {there.get(name, 'nothing')} there, {here.get(name, 'nothing')} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]
    raise RecordError(
        f"{folder}: made with other settings ({'; '.join(differing) or 'another version'}). "
        "Use the settings they were made with (config.yaml beside them), or prepare the records again."
    )


def check_files(folder: Path, manifest: Manifest) -> None:
    """Presence and digest of the files beside the shards. Raises RecordError."""
    for name in {STATISTICS_NAME, *manifest.files}:
        path = folder / name
        if not path.is_file():
            raise RecordError(f"{path}: missing from the records folder. {AGAIN}")
        if name in manifest.files and file_sha256(path) != manifest.files[name]:
            raise RecordError(f"{path}: changed or damaged, its sha256 is not the manifest's. {AGAIN}")


def check_shard(folder: Path, shard: Shard, *, deep: bool = False) -> None:
    """Presence and size, and with `deep` every byte; damage is named by its first record. Raises RecordError."""
    path = folder / shard.name
    if not path.is_file():
        raise RecordError(f"{path}: missing from the records folder. {AGAIN}")
    n_bytes = path.stat().st_size
    if n_bytes != shard.n_bytes:
        raise RecordError(f"{path}: {n_bytes} bytes, the manifest says {shard.n_bytes}. {AGAIN}")
    if deep and file_sha256(path) != shard.sha256:
        for k in range(len(shard.utterances)):
            read_frame(folder, shard, k)
        raise RecordError(f"{path}: damaged, its sha256 is not the manifest's. {AGAIN}")


def read_frame(folder: Path, shard: Shard, k: int) -> bytes:
    """Record `k` of a shard with its frame, its checksum compared.

    Raises:
        RecordError: missing, cut off or changed; names the file, the record and its utterance.
    """
    path, first = folder / shard.name, sum(shard.frame_bytes[:k])
    frame = read_bytes(path, first, shard.frame_bytes[k])
    if zlib.crc32(frame) != shard.crc32[k]:
        raise RecordError(
            f"{path}: record {k}, utterance {shard.utterances[k]!r} (bytes {first} to {first + len(frame) - 1}): "
            f"damaged or of another file, its checksum is not the manifest's. {AGAIN}"
        )
    return frame


def read_bytes(path: Path, first: int, n_bytes: int) -> bytes:
    """A piece of a file. Raises RecordError where it cannot be read whole."""
    try:
        with path.open("rb", buffering=0) as file:
            piece = os.pread(file.fileno(), n_bytes, first)
    except OSError as error:
        raise RecordError(f"{path}: cannot be read ({error.strerror}). {AGAIN}") from error
    if len(piece) < n_bytes:
        raise RecordError(f"{path}: cut off, {n_bytes} bytes were to be at {first}. {AGAIN}")
    return piece


def _shard(tree: Mapping[str, Any]) -> Shard:
    lists = ("utterances", "video_frames", "frame_bytes", "crc32")
    return Shard(tree["name"], tree["n_bytes"], tree["sha256"], *(tuple(tree[name]) for name in lists))


def _own_digest(tree: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
