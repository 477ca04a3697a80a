"""Batches that NumPy functions read, as tf.data: ahead of the training, by threads, in one order."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from avsc_tf.core.errors import ConfigError, RecordError

READERS = min(4, os.cpu_count() or 1)  # batches being read at the same time
READ_AHEAD = 2  # further batches that wait for the training; together they bound the memory


@dataclass(frozen=True)
class Share:
    """Each batch is cut into `n` equal parts, of which `own` are given, one after the other, batch by batch."""

    n: int = 1
    own: tuple[int, ...] = (0,)

    def rows(self, part: int, batch_size: int) -> slice:
        """Of a whole batch."""
        size = self.size(batch_size)
        return slice(part * size, (part + 1) * size)

    def size(self, batch_size: int) -> int:
        """Examples in a part. Raises ConfigError where the parts would not be equal."""
        if batch_size % self.n:
            raise ConfigError(
                f"batch_size {batch_size}: cannot be shared by {self.n} devices. Choose a multiple of it."
            )
        return batch_size // self.n


WHOLE = Share()


def batches(
    read: Callable[[int, slice], Sequence[np.ndarray]],
    specs: Sequence[Any],
    *,
    n_batches: int,
    start_batch: int = 0,
    share: Share = WHOLE,
    finish: Callable[..., Any],
) -> Any:
    """tf.data of the batches `start_batch` to `n_batches` - 1, or of a share of each.

    Args:
        read: batch number, and which of its rows -> arrays, the same whenever it is asked; called by several threads.
        specs: a tf.TensorSpec of a whole batch for each array.
        finish: the tensors of a batch -> its elements, in the graph.

    Raises:
        ConfigError: the batch cannot be shared out equally.
    """
    import tensorflow as tf

    batch_size, own = specs[0].shape[0], share.own
    part_shapes = [[share.size(batch_size), *spec.shape[1:]] for spec in specs]

    def part(element: int) -> list[np.ndarray]:
        rows = share.rows(own[element % len(own)], batch_size)
        return list(read(start_batch + element // len(own), rows))

    def load(element: Any) -> Any:
        arrays = tf.numpy_function(lambda k: part(int(k)), [element], [spec.dtype for spec in specs])
        return finish(*(tf.ensure_shape(array, shape) for array, shape in zip(arrays, part_shapes, strict=True)))

    return (
        tf.data.Dataset.range((n_batches - start_batch) * len(own))
        .map(load, num_parallel_calls=READERS, deterministic=True)
        .prefetch(READ_AHEAD)
    )


@contextmanager
def named_read_errors() -> Iterator[None]:
    """Within the block a RecordError that was raised inside tf.data comes out as itself, not as TensorFlow's."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        found = re.search(r"\bRecordError: (.+)", error.message)
        if found is None:
            raise
        raise RecordError(found[1]) from error
