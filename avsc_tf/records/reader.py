"""A records folder, checked once and then read as NumPy arrays or as tf.data.

records = open_records(Path("records"), config)
for pair in records.pairs("train"):
    pair["source_mel"]      # [n * mel_per_video, n_mels] float32
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.config import Config
from avsc_tf.errors import RecordError
from avsc_tf.features.statistics import Statistics
from avsc_tf.media.clips import SPLITS
from avsc_tf.records.manifest import (
    STATISTICS_NAME,
    Manifest,
    check_fingerprint,
    check_shard,
    read_manifest,
)
from avsc_tf.records.writer import schema_symbols
from avsc_tf.schema import CLIP, PAIR, SPEAKERS, Feature


def clip_shard_name(speaker: str, split: str) -> str:
    return f"{speaker}-{split}.tfrecord"


def pair_shard_name(split: str) -> str:
    return f"pairs-{split}.tfrecord"


def open_records(folder: str | Path, config: Config, *, deep: bool = False) -> Records:
    """Check a records folder and open it.

    Args:
        folder: made by `records.prepare`.
        config: must agree with the records' own in every setting that decides their bytes.
        deep: also compare the sha256 of every byte.

    Raises:
        RecordError: unfinished, damaged, or made with other settings (each one named).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordError(f"{folder}: no such records folder. Make it with tools/prepare.py --out {folder}.")
    manifest = read_manifest(folder)
    check_fingerprint(folder, manifest, config)
    for shard in manifest.shards:
        check_shard(folder, shard, deep=deep)
    if not (folder / STATISTICS_NAME).is_file():
        raise RecordError(f"{folder / STATISTICS_NAME}: missing from the records folder. Run tools/prepare.py again.")
    return Records(folder, config, manifest)


@dataclass(frozen=True, eq=False)
class Records:
    """An opened records folder; make it with `open_records`."""

    folder: Path
    config: Config
    manifest: Manifest

    @cached_property
    def statistics(self) -> Statistics:
        """Mean and deviation of every feature, from training sentences only."""
        return Statistics.load(self.folder / STATISTICS_NAME)

    def n_pairs(self, split: str) -> int:
        return len(self.manifest.shard(pair_shard_name(split)).utterances)

    def n_clips(self, speaker: str, split: str) -> int:
        return len(self.manifest.shard(clip_shard_name(speaker, split)).utterances)

    def pairs(self, split: str, *, only: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Aligned pairs of `split` as dictionaries of schema.PAIR (or the features named in `only`), standardised."""
        return self._examples(self._path(pair_shard_name(split)), PAIR, only)

    def clips(self, speaker: str, split: str, *, only: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Clips of `speaker` ("source" or "target") in `split` as dictionaries of schema.CLIP, not standardised.

        `frames` stay PNG bytes: `decode_frames` makes pictures of them.
        """
        return self._examples(self._path(self._clip_name(speaker, split)), CLIP, only)

    def pair_dataset(self, split: str, *, only: Sequence[str] | None = None) -> Any:
        """tf.data of one dictionary of tensors a pair, in the order of the file."""
        return self._dataset(self._path(pair_shard_name(split)), PAIR, only)

    def clip_dataset(self, speaker: str, split: str, *, only: Sequence[str] | None = None) -> Any:
        """tf.data of one dictionary of tensors a clip, in the order of the file; `frames` is [video] of PNG strings."""
        return self._dataset(self._path(self._clip_name(speaker, split)), CLIP, only)

    def _clip_name(self, speaker: str, split: str) -> str:
        if speaker not in SPEAKERS or split not in SPLITS:
            raise ValueError(f"speaker {speaker!r}, split {split!r}; known are {SPEAKERS} and {SPLITS}")
        return clip_shard_name(speaker, split)

    def _path(self, name: str) -> Path:
        return self.folder / self.manifest.shard(name).name

    def _examples(self, path: Path, schema: Sequence[Feature], only: Sequence[str] | None) -> Iterator[dict[str, Any]]:
        chosen, symbols = _choose(schema, only), schema_symbols(self.config)
        for serialized in _serialized(path):
            yield decode_example(serialized, chosen, symbols)

    def _dataset(self, path: Path, schema: Sequence[Feature], only: Sequence[str] | None) -> Any:
        import tensorflow as tf

        chosen, symbols = _choose(schema, only), schema_symbols(self.config)
        return tf.data.TFRecordDataset(str(path)).map(
            lambda serialized: parse_example(serialized, chosen, symbols), num_parallel_calls=tf.data.AUTOTUNE
        )


def decode_example(serialized: bytes, schema: Iterable[Feature], symbols: Mapping[str, int]) -> dict[str, Any]:
    """Inverse of `writer.encode_example` for the features in `schema`: text, read-only arrays, lists of bytes."""
    import tensorflow as tf

    stored = tf.train.Example.FromString(serialized).features.feature
    return {feature.name: _decode(stored[feature.name].bytes_list.value, feature, symbols) for feature in schema}


def _decode(data: Sequence[bytes], feature: Feature, symbols: Mapping[str, int]) -> Any:
    if feature.dtype == "str":
        return data[0].decode()
    if feature.dtype == "bytes":
        return list(data)
    array = np.frombuffer(data[0], np.dtype(feature.dtype).newbyteorder("<"))
    return array.astype(feature.dtype, copy=False).reshape(_numeric_shape(feature, symbols))


def parse_example(serialized: Any, schema: Iterable[Feature], symbols: Mapping[str, int]) -> dict[str, Any]:
    """`decode_example` inside a TensorFlow graph: scalar string tensor to a dictionary of tensors."""
    import tensorflow as tf

    schema = tuple(schema)
    lists = {f.name: tf.io.VarLenFeature(tf.string) for f in schema if f.dtype == "bytes"}
    single = {f.name: tf.io.FixedLenFeature([], tf.string) for f in schema if f.dtype != "bytes"}
    parsed = tf.io.parse_single_example(serialized, {**single, **lists})
    values = {}
    for feature in schema:
        value = parsed[feature.name]
        if feature.dtype == "bytes":
            value = tf.sparse.to_dense(value)
        elif feature.dtype != "str":
            value = tf.reshape(tf.io.decode_raw(value, feature.dtype), _numeric_shape(feature, symbols))
        values[feature.name] = value
    return values


def decode_frames(frames: Sequence[bytes]) -> np.ndarray:
    """PNG frames of a clip: uint8 [T, size, size, 3], RGB. Raises RecordError for a damaged one."""
    import cv2

    images = [cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) for png in frames]
    for i, image in enumerate(images):
        if image is None:
            raise RecordError(f"frame {i} of a stored clip is no PNG; the records are damaged. Prepare them again.")
    return np.stack(images)[..., ::-1]


def _serialized(path: Path) -> Iterator[bytes]:
    import tensorflow as tf

    try:
        yield from tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    except tf.errors.DataLossError as error:
        raise RecordError(f"{path}: damaged ({error.message}). Run tools/prepare.py again.") from error


def _choose(schema: Sequence[Feature], only: Sequence[str] | None) -> tuple[Feature, ...]:
    if only is None:
        return tuple(schema)
    unknown = set(only) - {feature.name for feature in schema}
    if unknown:
        raise ValueError(f"unknown features {sorted(unknown)}; known are {[f.name for f in schema]}")
    return tuple(feature for feature in schema if feature.name in only)


def _numeric_shape(feature: Feature, symbols: Mapping[str, int]) -> list[int]:
    """Shape for a reshape: the one length that the settings do not decide is -1."""
    return [size if isinstance(size, int) else symbols.get(size, -1) for size in feature.shape]
