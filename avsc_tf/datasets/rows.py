"""Rows of stored features by position: held decoded in memory, or read from the shards when they are asked for.

Both give the same values, so that the size of the memory decides nothing but the speed. Streaming reads a record whole
when it first meets it, to compare its checksum, and after that only the rows that are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.config import Config
from avsc_tf.core.errors import RecordError
from avsc_tf.core.schema import Feature
from avsc_tf.corpus.manifest import AGAIN, Shard, read_bytes, read_frame
from avsc_tf.corpus.reader import Records, decode_example, decode_feature, spans_of
from avsc_tf.corpus.tfrecord import HEADER_BYTES, data_of
from avsc_tf.corpus.writer import schema_symbols


class Rows(Protocol):
    """Some features of the records of a stem, in the order of the manifest."""

    lengths: NDArray[np.int64]  # video frames of each record

    def read(self, record: int, first: int, n: int) -> dict[str, Any]:
        """Features of `n` video frames of a record from `first` on: read-only arrays, or lists of bytes."""


@lru_cache(maxsize=2)
def open_rows(records: Records, stem: str, features: tuple[Feature, ...], *, memory_mb: float) -> Rows:
    """Hold the features of a split where they fit into `memory_mb`, else read them when they are asked for.

    Raises:
        RecordError: a record is damaged (of streamed ones, when it is read).
    """
    rows = StreamedRows(records, stem, features)
    return HeldRows(rows) if decoded_bytes(records, stem, features) <= memory_mb * 2**20 else rows


def decoded_bytes(records: Records, stem: str, features: Sequence[Feature]) -> int:
    """What the features of a split take in memory; pictures as PNG, as much as the shards at most."""
    if any(feature.dtype == "bytes" for feature in features):
        return sum(shard.n_bytes for shard in records.manifest.shards_of(stem))
    n_frames = sum(records.manifest.video_frames_of(stem))
    return n_frames * sum(rows_a_frame(f, records.config) * row_bytes(f, records.config) for f in features)


def rows_a_frame(feature: Feature, config: Config) -> int:
    """Rows of a feature in one video frame."""
    timebase = config.timebase
    return {"video": 1, "mel": timebase.mel_per_video, "samples": timebase.samples_per_video_frame}[
        str(feature.shape[0])
    ]


def row_bytes(feature: Feature, config: Config) -> int:
    """Stored bytes of one row of a numeric feature."""
    symbols = schema_symbols(config)
    sizes = (size if isinstance(size, int) else symbols[size] for size in feature.shape[1:])
    return np.dtype(feature.dtype).itemsize * math.prod(sizes)


class StreamedRows:
    """Reads from the shards at every call; may be called by several threads."""

    def __init__(self, records: Records, stem: str, features: Sequence[Feature]):
        self.config = records.config
        self.features = tuple(features)
        self.lengths = np.array(records.manifest.video_frames_of(stem), np.int64)
        self._folder = records.folder
        self._symbols = schema_symbols(records.config)
        shards = records.manifest.shards_of(stem)
        self._places: list[tuple[Shard, int, int]] = [
            (shard, k, int(first) + HEADER_BYTES)
            for shard in shards
            for k, first in enumerate(np.cumsum([0, *shard.frame_bytes[:-1]])[: len(shard.frame_bytes)])
        ]
        self._spans: dict[int, dict[str, NDArray[np.int64]]] = {}  # of records that were checked

    def name(self, record: int) -> str:
        """The utterance."""
        shard, k, _ = self._places[record]
        return shard.utterances[k]

    def whole(self, record: int) -> dict[str, Any]:
        """All rows of a record, its checksum compared."""
        shard, k, _ = self._places[record]
        return decode_example(data_of(read_frame(self._folder, shard, k)), self.features, self._symbols)

    def read(self, record: int, first: int, n: int) -> dict[str, Any]:
        spans = self._checked_spans(record)
        return {feature.name: self._rows(record, feature, spans[feature.name], first, n) for feature in self.features}

    def _checked_spans(self, record: int) -> dict[str, NDArray[np.int64]]:
        if record not in self._spans:
            shard, k, _ = self._places[record]
            self._spans[record] = spans_of(data_of(read_frame(self._folder, shard, k)), self.features)
        return self._spans[record]

    def _rows(self, record: int, feature: Feature, spans: NDArray[np.int64], first: int, n: int) -> Any:
        if feature.dtype == "bytes":
            return self._strings(record, spans[first : first + n])
        a_frame = rows_a_frame(feature, self.config) * row_bytes(feature, self.config)
        start, n_bytes = (int(value) for value in spans[0])
        if (first + n) * a_frame > n_bytes:
            shard, k, _ = self._places[record]
            raise RecordError(
                f"{self._folder / shard.name}: record {k}, utterance {shard.utterances[k]!r}: {feature.name} has "
                f"{n_bytes} bytes, too few for {shard.video_frames[k]} video frames. {AGAIN}"
            )
        return decode_feature([self._piece(record, start + first * a_frame, n * a_frame)], feature, self._symbols)

    def _strings(self, record: int, spans: NDArray[np.int64]) -> list[bytes]:
        """Neighbours in the file: one read."""
        if not len(spans):
            return []
        start, end = int(spans[0, 0]), int(spans[-1].sum())
        piece = self._piece(record, start, end - start)
        return [piece[a - start : a - start + size] for a, size in spans]

    def _piece(self, record: int, start: int, n_bytes: int) -> bytes:
        shard, _, offset = self._places[record]
        return read_bytes(self._folder / shard.name, offset + start, n_bytes)


class HeldRows:
    """All rows of a split, decoded once."""

    def __init__(self, rows: StreamedRows):
        self.lengths = rows.lengths
        self._a_frame = {feature.name: rows_a_frame(feature, rows.config) for feature in rows.features}
        self._records = [rows.whole(record) for record in range(len(rows.lengths))]

    def read(self, record: int, first: int, n: int) -> dict[str, Any]:
        return {
            name: values[first * self._a_frame[name] : (first + n) * self._a_frame[name]]
            for name, values in self._records[record].items()
        }
