"""Examples to TFRecord shards, by the tables of `avsc_tf.schema`.

Arrays are raw little-endian bytes: 663 examples a second, against 18 for lists of floats. Uncompressed: compression
saves 8 % and halves the reading speed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.config import Config
from avsc_tf.records.manifest import Shard, file_sha256
from avsc_tf.schema import Feature
from avsc_tf.timebase import Timebase


class ShardWriter:
    """Writes NAME.part and renames it in `close`; leaving the `with` block by an error removes it.

    Args:
        folder: of the records.
        name: of the shard, with its suffix.
        schema: table of the features of each example.
        config: decides the sizes of the symbols in the table's shapes.
    """

    def __init__(self, folder: Path, name: str, schema: Sequence[Feature], *, config: Config):
        import tensorflow as tf

        self._path = folder / name
        self._part = folder / (name + ".part")
        self._schema = tuple(schema)
        self._symbols = schema_symbols(config)
        self._mel_per_video = Timebase.from_config(config.time).mel_per_video
        self._writer = tf.io.TFRecordWriter(str(self._part))
        self._utterances: list[str] = []
        self._video_frames: list[int] = []

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(self, error_type: type | None, *_: object) -> None:
        self._writer.close()
        if error_type is not None:
            self._part.unlink(missing_ok=True)

    def write(self, values: Mapping[str, Any], *, video_frames: int) -> None:
        """Append one example. Raises ValueError where a value is not as the schema has it (a programming error)."""
        lengths = {"video": video_frames, "mel": video_frames * self._mel_per_video}
        self._writer.write(encode_example(values, self._schema, {**self._symbols, **lengths}))
        self._utterances.append(str(values["utterance"]))
        self._video_frames.append(video_frames)

    def finish(self) -> Shard:
        """Close, move into place and describe the shard."""
        self._writer.close()
        os.replace(self._part, self._path)
        size = self._path.stat().st_size
        return Shard(self._path.name, size, file_sha256(self._path), tuple(self._utterances), tuple(self._video_frames))


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
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


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
