"""Running a model's steps in the graph: one or many a call, on one device or on many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from avsc_tf.config import TrainingConfig
from avsc_tf.datasets.batches import WHOLE, Share
from avsc_tf.training.model import TrainingModel


class Execution:
    """The compiled steps of a training: `steps_per_execution` of them a call, by XLA where `jit_compile` says so."""

    def __init__(self, model: TrainingModel, settings: TrainingConfig) -> None:
        self.model = model
        self.steps_a_call = settings.steps_per_execution
        self._step = tf.function(model.train_step, jit_compile=settings.jit_compile, reduce_retracing=True)
        self._many = tf.function(self._take_many, reduce_retracing=True)
        self._test = tf.function(model.test_step, reduce_retracing=True)

    def distribute(self, make_dataset: Callable[[Share], tf.data.Dataset]) -> Any:
        """The batches that this process trains on."""
        return make_dataset(WHOLE)

    def run(self, dataset: Any, n_steps: int) -> Iterator[dict[str, np.ndarray]]:
        """Take `n_steps` steps, fewer where the dataset ends; yields the figures of each call, [steps] each."""
        iterator = iter(dataset)
        while n_steps > 0:
            n_now = min(self.steps_a_call, n_steps)
            try:
                figures = self._many(iterator, tf.constant(n_now)) if n_now > 1 else self._one(iterator)
            except (StopIteration, tf.errors.OutOfRangeError):
                return
            n_steps -= n_now
            yield {name: np.atleast_1d(value.numpy()) for name, value in figures.items()}

    def _one(self, iterator: Any) -> Any:
        return self._step(next(iterator))

    def _take_many(self, iterator: Any, n_steps: Any) -> dict[str, Any]:
        first = self._step(iterator.get_next())
        names = list(first)

        def step(k: Any, *columns: Any) -> tuple[Any, ...]:
            figures = self._step(iterator.get_next())
            return (k + 1, *(column.write(k, figures[name]) for name, column in zip(names, columns, strict=True)))

        columns = [tf.TensorArray(v.dtype, n_steps, element_shape=()).write(0, v) for v in first.values()]
        start = (tf.constant(1), *columns)
        _, *columns = tf.while_loop(lambda k, *_: k < n_steps, step, start, parallel_iterations=1)
        return {name: column.stack() for name, column in zip(names, columns, strict=True)}

    def held_out_figures(self, batches: Any) -> dict[str, float]:
        """Mean figures of held-out batches, each batch weighing as much as it holds examples; {} for None."""
        totals: dict[str, float] = {}
        n_examples = 0
        for batch in batches if batches is not None else ():
            size = int(tf.nest.flatten(batch)[0].shape[0])
            for name, value in self._test(batch).items():
                totals[name] = totals.get(name, 0.0) + size * float(value)
            n_examples += size
        return {name: total / n_examples for name, total in totals.items()}
