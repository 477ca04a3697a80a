"""TFRecord files by position: where each record lies, and where inside it each feature's bytes are. No TensorFlow.

A file is a row of frames: the length of the data (uint64), its masked CRC32C (4 bytes), the data, and their masked
CRC32C (4 bytes), all little-endian. The data are a serialized `tf.train.Example` whose features are lists of bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

HEADER_BYTES = 12
FOOTER_BYTES = 4
_LENGTH_DELIMITED = 2  # wire type of protocol buffers


def frame_sizes(path: Path) -> list[int]:
    """Bytes of each frame of a whole file, header and footer included.

    Raises:
        ValueError: the last frame is cut off.
    """
    sizes, offset, n_bytes = [], 0, path.stat().st_size
    with path.open("rb") as file:
        while offset < n_bytes:
            file.seek(offset)
            header = file.read(HEADER_BYTES)
            if len(header) < HEADER_BYTES:
                raise ValueError(f"{path}: cut off at byte {n_bytes}")
            (n_data,) = struct.unpack_from("<Q", header)
            sizes.append(HEADER_BYTES + n_data + FOOTER_BYTES)
            offset += sizes[-1]
    if offset != n_bytes:
        raise ValueError(f"{path}: cut off at byte {n_bytes}, its last record ends at {offset}")
    return sizes


def data_of(frame: bytes) -> memoryview:
    """The data of a frame, without a copy."""
    return memoryview(frame)[HEADER_BYTES:-FOOTER_BYTES]


def feature_spans(example: bytes | memoryview) -> dict[str, np.ndarray]:
    """Where the values of each feature of a serialized `tf.train.Example` are.

    Returns:
        name -> int64 [values, 2]: first byte and number of bytes, counted from the beginning of `example`.

    Raises:
        ValueError: no Example of lists of bytes.
    """
    view = memoryview(example)
    spans = {}
    for features in _children(view, (0, len(view)), field=1):
        for entry in _children(view, features, field=1):
            (key,), (feature,) = _children(view, entry, field=1), _children(view, entry, field=2)
            values = [span for values in _children(view, feature, field=1) for span in _children(view, values, field=1)]
            start, end = key
            spans[str(view[start:end], "utf-8")] = np.array([(a, b - a) for a, b in values], np.int64).reshape(-1, 2)
    return spans


def _children(view: memoryview, span: tuple[int, int], *, field: int) -> list[tuple[int, int]]:
    """First byte and end of every member `field` of the message that lies in `span`."""
    return [(a, b) for number, a, b in _members(view, *span) if number == field]


def _members(view: memoryview, offset: int, end: int) -> Iterator[tuple[int, int, int]]:
    while offset < end:
        tag, offset = _varint(view, offset, end)
        n, offset = _varint(view, offset, end)
        if tag & 7 != _LENGTH_DELIMITED or offset + n > end:
            raise ValueError(f"byte {offset}: no list of bytes")
        yield tag >> 3, offset, offset + n
        offset += n


def _varint(view: memoryview, offset: int, end: int) -> tuple[int, int]:
    """A number of seven bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while offset < end:
        byte = view[offset]
        value |= (byte & 127) << shift
        offset, shift = offset + 1, shift + 7
        if byte < 128:
            return value, offset
    raise ValueError(f"byte {offset}: cut off")
