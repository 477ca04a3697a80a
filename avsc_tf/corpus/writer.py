"""Examples to TFRecord shards, by the tables of `avsc_tf.core.schema`.

Arrays are raw little-endian bytes: 663 examples a second, against 18 for lists of floats. Uncompressed: compression
saves 8 % and halves the reading speed.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.core.config import Config
from avsc_tf.core.schema import Feature
from avsc_tf.corpus.manifest import PART_SUFFIX, Shard, shard_name, to_disk
from avsc_tf.corpus.tfrecord import FOOTER_BYTES, HEADER_BYTES, frame_sizes


class ShardWriter:
    """Writes STEM-00000.tfrecord, STEM-00001.tfrecord, ...; a new one begins where `records.shard_mb` is passed.

    All are written as NAME.part and renamed in `finish`; leaving the `with` block by an error removes them. The bytes
    depend on the examples and `records.shard_mb` alone. Shards of an earlier run with more of them stay behind:
    `manifest.remove_stale` deletes them.

    Args:
        folder: of the records.
        stem: what the records are: pairs-train, source-test, ...
        schema: table of the features of each example.
        config: decides the sizes of the symbols in the table's shapes, and `records.shard_mb`.
    """

    def __init__(self, folder: Path, stem: str, schema: Sequence[Feature], *, config: Config):
        self._folder = folder
        self._stem = stem
        self._schema = tuple(schema)
        self._symbols = schema_symbols(config)
        self._mel_per_video = config.timebase.mel_per_video
        self._full_bytes = config.records.shard_mb * 2**20
        self._shards: list[_OpenShard] = [_OpenShard(folder / shard_name(stem, 0))]

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, error_type: type | None, *_: object) -> None:
        self._shards[-1].writer.close()
        if error_type is not None:
            for shard in self._shards:
                shard.part.unlink(missing_ok=True)

    def write(self, values: Mapping[str, Any], *, video_frames: int) -> None:
        """Append one example. Raises ValueError where a value is not as the schema has it (a programming error)."""
        lengths = {"video": video_frames, "mel": video_frames * self._mel_per_video}
        serialized = encode_example(values, self._schema, {**self._symbols, **lengths})
        if self._shards[-1].n_bytes >= self._full_bytes:
            self._shards[-1].writer.close()
            self._shards.append(_OpenShard(self._folder / shard_name(self._stem, len(self._shards))))
        self._shards[-1].write(serialized, str(values["utterance"]), video_frames)

    def finish(self) -> list[Shard]:
        """Close, move into place and describe the shards: one at least, empty where nothing was written."""
        self._shards[-1].writer.close()
        return [shard.finish() for shard in self._shards]


class _OpenShard:
    """One file being written, and what the manifest will say of it."""

    def __init__(self, path: Path):
        import tensorflow as tf

        self.path = path
        self.part = path.with_name(path.name + PART_SUFFIX)
        self.writer = tf.io.TFRecordWriter(str(self.part))
        self.n_bytes = 0
        self._utterances: list[str] = []
        self._video_frames: list[int] = []

    def write(self, serialized: bytes, utterance: str, video_frames: int) -> None:
        self.writer.write(serialized)
        self.n_bytes += HEADER_BYTES + len(serialized) + FOOTER_BYTES
        self._utterances.append(utterance)
        self._video_frames.append(video_frames)

    def finish(self) -> Shard:
        sizes = frame_sizes(self.part)
        digest, checksums = hashlib.sha256(), []
        with self.part.open("rb") as file:
            for size in sizes:
                frame = file.read(size)
                digest.update(frame)
                checksums.append(zlib.crc32(frame))
        to_disk(self.part)
        os.replace(self.part, self.path)
        return Shard(
            name=self.path.name,
            n_bytes=sum(sizes),
            sha256=digest.hexdigest(),
            utterances=tuple(self._utterances),
            video_frames=tuple(self._video_frames),
            frame_bytes=tuple(sizes),
            crc32=tuple(checksums),
        )


def schema_symbols(config: Config) -> dict[str, int]:
    """Sizes of the schema's symbols that the settings decide."""
    return {
        "n_mels": config.acoustic.n_mels,
        "n_vgg": config.face.n_vgg,
        "n_keypoints": config.face.n_keypoints,
        "n_facial": config.face.n_facial,
    }


def encode_example(values: Mapping[str, Any], schema: Sequence[Feature], symbols: Mapping[str, int]) -> bytes:
    """One serialized `tf.train.Example`.

    Args:
        values: a value for every feature of `schema`, and no other.
        symbols: known sizes of the symbols in its shapes; unknown ones are taken from the first array that has them.
    """
    import tensorflow as tf

    names = {feature.name for feature in schema}
    if names != set(values):
        raise ValueError(f"example has {sorted(values)}, schema has {sorted(names)}")
    sizes = dict(symbols)
    features = {}
    for feature in schema:
        data = _encode(values[feature.name], feature, sizes)
        features[feature.name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=data))
    # Deterministic: protocol buffers write maps in an order of the process otherwise.
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(deterministic=True)


def _encode(value: Any, feature: Feature, sizes: dict[str, int]) -> list[bytes]:
    if feature.dtype == "str":
        return [str(value).encode()]
    if feature.dtype == "bytes":
        _check_shape((len(value),), feature, sizes)
        return [bytes(v) for v in value]
    array = np.asarray(value)
    if array.dtype != np.dtype(feature.dtype):
        raise ValueError(f"{feature.name} is {array.dtype}, schema has {feature.dtype}")
    _check_shape(array.shape, feature, sizes)
    return [np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).tobytes()]


def _check_shape(shape: tuple[int, ...], feature: Feature, sizes: dict[str, int]) -> None:
    if len(shape) != len(feature.shape):
        raise ValueError(f"{feature.name} has shape {shape}, schema has {feature.shape}")
    for n, size in zip(shape, feature.shape, strict=True):
        expected = size if isinstance(size, int) else sizes.setdefault(size, n)
        if n != expected:
            raise ValueError(f"{feature.name} has shape {shape}, schema has {feature.shape} with {size} = {expected}")
