"""Batches that NumPy functions read, as tf.data: ahead of the training, by threads, in one order."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from avsc_tf.errors import RecordError

READERS = min(4, os.cpu_count() or 1)  # batches being read at the same time
READ_AHEAD = 2  # further batches that wait for the training; together they bound the memory


def batches(
    read: Callable[[int], Sequence[np.ndarray]],
    specs: Sequence[Any],
    *,
    n_batches: int,
    start_batch: int = 0,
    finish: Callable[..., Any],
) -> Any:
    """tf.data of the batches `start_batch` to `n_batches` - 1.

    Args:
        read: batch number -> arrays, the same whenever it is asked; called by several threads.
        specs: a tf.TensorSpec for each array.
        finish: the tensors of a batch -> its elements, in the graph.
    """
    import tensorflow as tf

    def load(batch: Any) -> Any:
        arrays = tf.numpy_function(lambda k: list(read(int(k))), [batch], [spec.dtype for spec in specs])
        return finish(*(tf.ensure_shape(array, spec.shape) for array, spec in zip(arrays, specs, strict=True)))

    return (
        tf.data.Dataset.range(start_batch, n_batches)
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
