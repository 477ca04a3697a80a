"""`manifest.json` of a records folder: what is in it and the settings it was made with. Written last."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avsc_tf.config import Config
from avsc_tf.errors import RecordError

MANIFEST_NAME = "manifest.json"
STATISTICS_NAME = "statistics.npz"
CONFIG_NAME = "config.yaml"
FORMAT_VERSION = 1
_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Shard:
    """One TFRecord file."""

    name: str
    n_bytes: int
    sha256: str
    utterances: tuple[str, ...]
    video_frames: tuple[int, ...]  # length of each example on its own timeline


@dataclass(frozen=True)
class Manifest:
    """Everything a reader checks before it trusts the files beside it."""

    fingerprint: str  # Config.fingerprint
    settings: dict[str, Any]  # Config.record_settings
    inputs: str  # digest of the clips the records were made from
    shards: tuple[Shard, ...]
    counts: dict[str, int]
    skipped: tuple[str, ...] = ()  # clips and pairs left out by --skip-bad, with their reasons
    version: int = FORMAT_VERSION
    alignment_cost: dict[str, float] = field(default_factory=dict)  # utterance -> mean standardised cost

    def shard(self, name: str) -> Shard:
        for shard in self.shards:
            if shard.name == name:
                return shard
        raise RecordError(f"{name}: the manifest names no such shard; run tools/prepare.py again.")


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write beside, then rename: a manifest that is there is whole."""
    beside = folder / (MANIFEST_NAME + ".part")
    beside.write_text(json.dumps(dataclasses.asdict(manifest), indent=1, ensure_ascii=False))
    os.replace(beside, folder / MANIFEST_NAME)


def read_manifest(folder: Path) -> Manifest:
    """Raises RecordError where there is none, or where it cannot be understood."""
    path = folder / MANIFEST_NAME
    if not path.is_file():
        raise RecordError(f"{folder}: holds no {MANIFEST_NAME}, so its records are unfinished. Run tools/prepare.py.")
    try:
        tree = json.loads(path.read_text())
        if tree["version"] != FORMAT_VERSION:
            raise RecordError(
                f"{path}: format version {tree['version']}, this program reads {FORMAT_VERSION}. "
                "Prepare the records again."
            )
        shards = tuple(
            Shard(s["name"], s["n_bytes"], s["sha256"], tuple(s["utterances"]), tuple(s["video_frames"]))
            for s in tree.pop("shards")
        )
        return Manifest(shards=shards, **{**tree, "skipped": tuple(tree["skipped"])})
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(f"{path}: damaged ({error}). Run tools/prepare.py again.") from error


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


def check_shard(folder: Path, shard: Shard, *, deep: bool = False) -> None:
    """Presence and size, and with `deep` the digest of every byte. Raises RecordError."""
    path = folder / shard.name
    if not path.is_file():
        raise RecordError(f"{path}: missing from the records folder. Run tools/prepare.py again.")
    n_bytes = path.stat().st_size
    if n_bytes != shard.n_bytes:
        raise RecordError(f"{path}: {n_bytes} bytes, the manifest says {shard.n_bytes}. Run tools/prepare.py again.")
    if deep and file_sha256(path) != shard.sha256:
        raise RecordError(f"{path}: damaged, its sha256 is not the manifest's. Run tools/prepare.py again.")


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
