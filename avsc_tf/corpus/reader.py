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

from avsc_tf.core.config import Config
from avsc_tf.core.errors import RecordError
from avsc_tf.core.schema import CLIP, PAIR, SPEAKERS, Feature
from avsc_tf.corpus.manifest import (
    STATISTICS_NAME,
    Manifest,
    check_files,
    check_fingerprint,
    check_shard,
    read_frame,
    read_manifest,
)
from avsc_tf.corpus.tfrecord import data_of, feature_spans
from avsc_tf.corpus.writer import schema_symbols
from avsc_tf.features.statistics import Statistics
from avsc_tf.media.clips import SPLITS


def clip_stem(speaker: str, split: str) -> str:
    """What the shards of a speaker's clips are called before their number."""
    if speaker not in SPEAKERS or split not in SPLITS:
        raise ValueError(f"speaker {speaker!r}, split {split!r}; known are {SPEAKERS} and {SPLITS}")
    return f"{speaker}-{split}"


def pair_stem(split: str) -> str:
    """What the shards of a split's pairs are called before their number."""
    return f"pairs-{split}"


def open_records(folder: str | Path, config: Config, *, deep: bool = False) -> Records:
    """Check a records folder and open it.

    Args:
        folder: made by `corpus.prepare`.
        config: must agree with the records' own in every setting that decides their bytes.
        deep: also compare the sha256 of every shard; without it a record is checked when it is first read.

    Raises:
        RecordError: unfinished, damaged, or made with other settings (each one named).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecordError(f"{folder}: no such records folder. Make it with avsc prepare --out {folder}.")
    manifest = read_manifest(folder)
    check_fingerprint(folder, manifest, config)
    for shard in manifest.shards:
        check_shard(folder, shard, deep=deep)
    check_files(folder, manifest)
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
        return len(self.manifest.video_frames_of(pair_stem(split)))

    def n_clips(self, speaker: str, split: str) -> int:
        return len(self.manifest.video_frames_of(clip_stem(speaker, split)))

    def pairs(self, split: str, *, only: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Aligned pairs of `split` as dictionaries of schema.PAIR (or the features named in `only`), standardised."""
        return self._examples(pair_stem(split), PAIR, only)

    def clips(self, speaker: str, split: str, *, only: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Clips of `speaker` ("source" or "target") in `split` as dictionaries of schema.CLIP, not standardised.

        `frames` stay PNG bytes: `decode_frames` makes pictures of them.
        """
        return self._examples(clip_stem(speaker, split), CLIP, only)

    def pair_dataset(self, split: str, *, only: Sequence[str] | None = None) -> Any:
        """tf.data of one dictionary of tensors a pair, in the order of the files."""
        return self._dataset(pair_stem(split), PAIR, only)

    def clip_dataset(self, speaker: str, split: str, *, only: Sequence[str] | None = None) -> Any:
        """tf.data of one dictionary of tensors a clip, in the order of the files; `frames` is [video] of PNGs."""
        return self._dataset(clip_stem(speaker, split), CLIP, only)

    def _examples(self, stem: str, schema: Sequence[Feature], only: Sequence[str] | None) -> Iterator[dict[str, Any]]:
        chosen, symbols = choose(schema, only), schema_symbols(self.config)
        for shard in self.manifest.shards_of(stem):
            for k in range(len(shard.utterances)):
                yield decode_example(data_of(read_frame(self.folder, shard, k)), chosen, symbols)

    def _dataset(self, stem: str, schema: Sequence[Feature], only: Sequence[str] | None) -> Any:
        import tensorflow as tf

        chosen, symbols = choose(schema, only), schema_symbols(self.config)
        names = [str(self.folder / shard.name) for shard in self.manifest.shards_of(stem)]
        return tf.data.TFRecordDataset(names).map(
            lambda serialized: parse_example(serialized, chosen, symbols), num_parallel_calls=tf.data.AUTOTUNE
        )


def decode_example(
    serialized: bytes | memoryview, schema: Iterable[Feature], symbols: Mapping[str, int]
) -> dict[str, Any]:
    """Inverse of `writer.encode_example` for the features in `schema`: text, read-only arrays, lists of bytes."""
    schema = tuple(schema)
    spans = spans_of(serialized, schema)
    return {
        f.name: decode_feature([bytes(serialized[a : a + n]) for a, n in spans[f.name]], f, symbols) for f in schema
    }


def spans_of(serialized: bytes | memoryview, schema: Iterable[Feature]) -> dict[str, np.ndarray]:
    """`tfrecord.feature_spans` of the features in `schema`. Raises RecordError where one is not stored."""
    spans = feature_spans(serialized)
    for feature in schema:
        if feature.name not in spans:
            raise RecordError(
                f"a record holds no {feature.name!r}, only {', '.join(spans)}. Prepare the records again."
            )
    return {feature.name: spans[feature.name] for feature in schema}


def decode_feature(data: Sequence[bytes], feature: Feature, symbols: Mapping[str, int]) -> Any:
    """The stored values of one feature; an array may also be some rows of the stored one."""
    if feature.dtype == "str":
        return data[0].decode()
    if feature.dtype == "bytes":
        return list(data)
    array = np.frombuffer(data[0], np.dtype(feature.dtype).newbyteorder("<"))
    return array.astype(feature.dtype, copy=False).reshape(numeric_shape(feature, symbols))


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
            value = tf.reshape(tf.io.decode_raw(value, feature.dtype), numeric_shape(feature, symbols))
        values[feature.name] = value
    return values


def decode_frames(frames: Sequence[bytes]) -> np.ndarray:
    """PNG frames of a clip: uint8 [T, size, size, 3], RGB. Raises RecordError for a damaged one."""
    import cv2

    images = [cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) for png in frames]
    for i, image in enumerate(images):
        if image is None:
            raise RecordError(f"frame {i} of a stored clip is no PNG; the records are damaged. Prepare them again.")
    return np.stack([cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in images])


def choose(schema: Sequence[Feature], only: Sequence[str] | None) -> tuple[Feature, ...]:
    """The features of `schema` named in `only`, or all of them."""
    if only is None:
        return tuple(schema)
    unknown = set(only) - {feature.name for feature in schema}
    if unknown:
        raise ValueError(f"unknown features {sorted(unknown)}; known are {[f.name for f in schema]}")
    return tuple(feature for feature in schema if feature.name in only)


def numeric_shape(feature: Feature, symbols: Mapping[str, int]) -> list[int]:
    """Shape for a reshape: the one length that the settings do not decide is -1."""
    return [size if isinstance(size, int) else symbols.get(size, -1) for size in feature.shape]
