"""The layers of what is trained, as a table that fits on a screen: a layer with its activation and norm is one row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import keras
import tensorflow as tf

from avsc_tf.training.engine.model import TrainingModel


@dataclass(frozen=True)
class Row:
    """Layers that follow each other and belong together, or that are all alike.

    Args:
        name: of the first of them; "block_0 to block_38" of alike ones.
        output: shapes of what the last one gives.
        n_values: of one pass over a batch, all their outputs together.
    """

    name: str
    output: tuple[tuple[int, ...], ...]
    trainable: int
    fixed: int
    n_values: int
    n_alike: int = 1


@dataclass(frozen=True)
class Part:
    """One network of a training; parameters are counted in numbers."""

    network: keras.Model
    active: bool  # whether it learns
    rows: tuple[Row, ...]
    output_bytes: int  # of all layers, for one batch

    @property
    def trainable(self) -> int:
        return _count(self.network.trainable_variables)

    @property
    def fixed(self) -> int:
        """Running averages and fixed paths; the state of random layers is none."""
        return _count(self.network.weights) - self.trainable


def parts_of(model: TrainingModel, batch: Any) -> tuple[Part, ...]:
    """The networks that a model trains, each with its layers' outputs for a batch of that shape."""
    return tuple(_part(descent.network, descent.active, batch) for descent in model.descents())


def _part(network: keras.Model, active: bool, batch: Any) -> Part:
    layers = [layer for layer in network.layers if not isinstance(layer, keras.layers.InputLayer)]
    shapes = _output_shapes(network, layers, batch)
    single = [
        Row(
            layer.name,
            shape,
            _count(layer.trainable_variables),
            _count(layer.weights) - _count(layer.trainable_variables),
            sum(map(prod, shape)),
        )
        for layer, shape in zip(layers, shapes, strict=True)
    ]
    n_bytes = sum(
        row.n_values * tf.as_dtype(layer.compute_dtype).size for row, layer in zip(single, layers, strict=True)
    )
    return Part(network, active, tuple(_alike(_together(single))), n_bytes)


def _output_shapes(network: keras.Model, layers: Sequence[Any], batch: Any) -> list[tuple[tuple[int, ...], ...]]:
    """Shapes of every layer's outputs; nothing is computed."""
    every = keras.Model(network.inputs, [layer.output for layer in layers])
    of_batch = _tensors_by_name(batch)
    size = next(iter(of_batch.values())).shape[0]
    specs = []
    for tensor in network.inputs:
        known = of_batch.get(tensor.name)
        shape = tuple(known.shape) if known is not None else (size, *tensor.shape[1:])
        specs.append(keras.KerasTensor(shape, dtype=tensor.dtype))
    outputs = every.compute_output_spec(specs)
    return [tuple(tuple(t.shape) for t in tf.nest.flatten(one)) for one in outputs]


def _tensors_by_name(batch: Any) -> dict[str, Any]:
    """The inputs of a batch by their names; of a batch without names its first tensor alone."""
    inputs = batch[0]
    return dict(inputs) if isinstance(inputs, dict) else {"": tf.nest.flatten(inputs)[0]}


def _together(rows: Sequence[Row]) -> list[Row]:
    """`conv_1`, `conv_1_relu` and `conv_1_norm` as one row, and a stack's rows one after the other."""
    groups: dict[str, Row] = {}
    for row in rows:
        owner = max((name for name in groups if row.name.startswith(f"{name}_")), key=len, default=None)
        if owner is None:
            groups[row.name] = row
        else:
            group = groups[owner]
            groups[owner] = replace(
                group,
                output=row.output,
                trainable=group.trainable + row.trainable,
                fixed=group.fixed + row.fixed,
                n_values=group.n_values + row.n_values,
            )
    stacks: dict[str, list[Row]] = {}
    for row in groups.values():
        stacks.setdefault(_stack(row), []).append(row)
    return [row for stack in stacks.values() for row in stack]


def _alike(rows: Sequence[Row]) -> Iterator[Row]:
    """Rows that differ in the number at their name's end alone as one, with the parameters of all."""
    run: list[Row] = []
    for row in rows:
        if run and _kind(row) != _kind(run[0]):
            yield _joined(run)
            run = []
        run.append(row)
    if run:
        yield _joined(run)


def _stack(row: Row) -> str:
    return re.sub(r"\d+$", "", row.name)


def _kind(row: Row) -> tuple[Any, ...]:
    return (_stack(row), row.output, row.trainable, row.fixed, row.n_values)


def _joined(rows: Sequence[Row]) -> Row:
    first, n = rows[0], len(rows)
    if n == 1:
        return first
    return Row(
        f"{first.name} to {rows[-1].name}",
        first.output,
        n * first.trainable,
        n * first.fixed,
        n * first.n_values,
        n_alike=n,
    )


def _count(variables: Any) -> int:
    return sum(prod(v.shape) for v in variables)
