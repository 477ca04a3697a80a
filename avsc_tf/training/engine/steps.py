"""Running a model's steps in the graph: one or many a call, on one device or on many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avsc_tf.core.config import TrainingConfig
from avsc_tf.datasets.batches import WHOLE, Share
from avsc_tf.training.engine.devices import Devices
from avsc_tf.training.engine.interruption import Interruption
from avsc_tf.training.engine.model import TrainingModel

ASKED = "asked to stop"  # travels with the figures of a step that several processes take


class Execution:
    """The compiled steps of a training: `steps_per_execution` of them a call, by XLA where `jit_compile` says so."""

    def __init__(self, model: TrainingModel, settings: TrainingConfig, interruption: Interruption) -> None:
        self.model = model
        self.interruption = interruption
        self.steps_a_call = settings.steps_per_execution
        self._step = tf.function(model.train_step, jit_compile=settings.jit_compile, reduce_retracing=True)
        self._many = tf.function(self._take_many, reduce_retracing=True)
        self._test = tf.function(model.test_step, reduce_retracing=True)

    @property
    def is_asked_to_stop(self) -> bool:
        """Whether to stop after the steps of the last call; the same in all processes."""
        return self.interruption.asked

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


class SharedExecution(Execution):
    """Steps that several devices take together: each on its part of the batch, with equal weights before and after."""

    def __init__(
        self, model: TrainingModel, settings: TrainingConfig, interruption: Interruption, devices: Devices
    ) -> None:
        super().__init__(model, settings, interruption)
        self.devices = devices
        self._step = tf.function(self._step_together, reduce_retracing=True)
        self._asked = tf.Variable(0.0)
        self._stops = False
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.synchronized = True  # statistics of the whole batch, as on one device

    @property
    def is_asked_to_stop(self) -> bool:
        return self._stops

    def distribute(self, make_dataset: Callable[[Share], tf.data.Dataset]) -> Any:
        share = self.devices.share
        return self.devices.strategy.distribute_datasets_from_function(lambda _: make_dataset(share))

    def run(self, dataset: Any, n_steps: int) -> Iterator[dict[str, np.ndarray]]:
        for figures in super().run(dataset, n_steps):
            self._stops = bool(figures.pop(ASKED).any())
            yield figures
            self._asked.assign(float(self.interruption.asked))

    def _step_together(self, batch: Any) -> dict[str, Any]:
        strategy = self.devices.strategy
        names: list[str] = []

        def step(part: Any) -> Any:
            figures = {**self.model.train_step(part), ASKED: self._asked.read_value()}
            names[:] = figures
            return tf.stack(list(figures.values()))

        means = strategy.reduce(tf.distribute.ReduceOp.MEAN, strategy.run(step, args=(batch,)), axis=None)
        return dict(zip(names, tf.unstack(means), strict=True))


def execution_on(
    devices: Devices, model: TrainingModel, settings: TrainingConfig, interruption: Interruption
) -> Execution:
    """How `model`, which was built on `devices`, takes its steps."""
    if devices.strategy is None:
        return Execution(model, settings, interruption)
    return SharedExecution(model, settings, interruption, devices)
