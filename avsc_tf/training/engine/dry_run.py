"""What a training would be, before it is started: shapes, parameters, steps, rates, memory and time.

Nothing is written. Memory and time are measured: a few steps are taken on real batches by the training's own code, and
the model that took them is thrown away. `dry_run_text` says it all in words.
"""

from __future__ import annotations

import contextlib
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import keras
import tensorflow as tf

from avsc_tf.core.config import TrainingConfig
from avsc_tf.datasets.batches import named_read_errors
from avsc_tf.training.engine.interruption import Interruption
from avsc_tf.training.engine.layer_table import Part, parts_of
from avsc_tf.training.engine.model import TrainingModel
from avsc_tf.training.engine.steps import Execution

WARM_STEPS = 5
HELD_OUT_BATCHES = 4
MIB = 2**20


@dataclass(frozen=True)
class Rate:
    """One optimizer's learning rate at steps of the training: (step, rate)."""

    label: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Memory:
    """Bytes. What is counted follows from the variables; what is measured is of this process, or of the first GPU."""

    weights: int
    gradients: int
    optimizer: int  # slots, running averages, counters
    layer_outputs: int  # of one pass over a batch, all layers: backpropagation keeps most of them
    before_steps: int  # measured: program, records held in memory, weights
    peak: int  # measured, while the steps were taken
    on_gpu: int | None  # measured peak


@dataclass(frozen=True)
class Timing:
    """Seconds."""

    first_step: float  # with the making of its graph
    step: float  # median of warm ones
    waiting: float  # of a warm step, for its batch
    reading: float  # making one batch, were nothing else to be done
    held_out: float  # all held-out batches once


@dataclass(frozen=True)
class Plan:
    """All that a dry run found."""

    network: str
    batch: tuple[str, ...]  # one line a tensor
    parts: tuple[Part, ...]
    settings: TrainingConfig
    steps_per_epoch: int
    n_held_out_batches: int
    rates: tuple[Rate, ...]
    memory: Memory
    timing: Timing

    @property
    def total_steps(self) -> int:
        return self.settings.epochs * self.steps_per_epoch

    @property
    def epoch_seconds(self) -> float:
        return self.steps_per_epoch * self.timing.step + self.timing.held_out

    @property
    def whole_seconds(self) -> float:
        """Of the whole training, without previews, checkpoints and a start in closed form."""
        return self.timing.first_step + self.settings.epochs * self.epoch_seconds


def plan_training(
    model: TrainingModel,
    make_dataset: Any,
    *,
    network: str,
    settings: TrainingConfig,
    steps_per_epoch: int,
    validation_data: Any,
) -> Plan:
    """Take a few steps of a compiled model and count the rest; the arguments are those of `training.engine.loop.fit`.

    Raises:
        RecordError: a batch cannot be read.
    """
    model.build_optimizers()
    execution = Execution(model, replace(settings, steps_per_execution=1), Interruption())
    with named_read_errors():
        dataset = execution.distribute(lambda share: make_dataset(0, 0, share))
        batch = next(iter(dataset))
        rates = tuple(_rates(model, settings.warmup_steps, settings.epochs * steps_per_epoch))
        parts = parts_of(model, batch)
        before = _start_peak()
        first, step, waiting = _time_steps(execution, dataset)
        peak = _peak_bytes()
        reading = _time_reading(dataset)
        held_out, n_held_out = _time_held_out(execution, validation_data)
    return Plan(
        network=network,
        batch=tuple(_lines_of(batch)),
        parts=parts,
        settings=settings,
        steps_per_epoch=steps_per_epoch,
        n_held_out_batches=n_held_out,
        rates=rates,
        memory=Memory(
            weights=sum(_bytes(part.network.variables) for part in parts),
            gradients=sum(_bytes(part.network.trainable_variables) for part in parts if part.active),
            optimizer=sum(_bytes(optimizer.variables) for optimizer in model.optimizers),
            layer_outputs=sum(part.output_bytes for part in parts),
            before_steps=before,
            peak=peak,
            on_gpu=_gpu_peak_bytes(),
        ),
        timing=Timing(first, step, waiting, reading, held_out),
    )


class _Clocked:
    """Batches, and how long each was waited for."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches
        self.seconds: list[float] = []

    def __iter__(self) -> Iterator[Any]:
        iterator = iter(self.batches)
        while True:
            started = time.perf_counter()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            self.seconds.append(time.perf_counter() - started)
            yield batch


def _time_steps(execution: Execution, dataset: Any) -> tuple[float, float, float]:
    """Seconds of the first step, of a warm one, and of the wait in it; a short dataset is begun again."""
    steps: list[float] = []
    waits: list[float] = []
    while len(steps) <= WARM_STEPS:
        clocked = _Clocked(dataset)
        started = time.perf_counter()
        for _ in execution.run(clocked, WARM_STEPS + 1 - len(steps)):
            steps.append(time.perf_counter() - started)
            waits.append(clocked.seconds[-1])
            started = time.perf_counter()
    return steps[0], median(steps[1:]), median(waits[1:])


def _time_reading(dataset: Any) -> float:
    """Seconds of reading one batch, the graph of the input pipeline being made already."""
    iterator = iter(dataset)
    next(iterator)
    started, n = time.perf_counter(), 0
    while n < WARM_STEPS and next(iterator, None) is not None:
        n += 1
    return (time.perf_counter() - started) / n if n else 0.0


def _time_held_out(execution: Execution, batches: Any) -> tuple[float, int]:
    """Seconds of scoring all held-out batches, by a few of them, and how many there are."""
    if batches is None:
        return 0.0, 0
    few = list(batches.take(HELD_OUT_BATCHES))
    execution.held_out_figures(few[:1])  # makes its graph
    started = time.perf_counter()
    execution.held_out_figures(few)
    seconds = time.perf_counter() - started
    n = sum(1 for _ in batches)
    return seconds / max(len(few), 1) * n, n


def _rates(model: TrainingModel, warmup_steps: int, total_steps: int) -> Iterator[Rate]:
    """The rates at the beginning, after the warm-up, half-way, and at the end, as the optimizers themselves say."""
    steps = sorted({0, min(warmup_steps, total_steps), total_steps // 2, total_steps})
    for descent in model.descents():
        optimizer = getattr(descent.optimizer, "inner_optimizer", descent.optimizer)
        now = int(optimizer.iterations)
        points = []
        for step in steps:
            optimizer.iterations.assign(step)
            points.append((step, float(tf.convert_to_tensor(optimizer.learning_rate))))
        optimizer.iterations.assign(now)
        yield Rate(descent.label, tuple(points))


def _lines_of(batch: Any) -> Iterator[str]:
    """Each tensor of a batch by its place in it."""
    for path, tensor in keras.tree.flatten_with_path(batch):
        yield f"{'/'.join(map(str, path)):12} {tensor.dtype.name:9} {list(tensor.shape)}"


def _bytes(variables: Any) -> int:
    return sum(int(tf.size(v)) * tf.as_dtype(v.dtype).size for v in variables)


def _start_peak() -> int:
    """Forget the memory's peak so far, where the system lets us; returns what is in use."""
    with contextlib.suppress(OSError):  # the peak then also counts what came before the steps
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    for gpu in _gpus():
        tf.config.experimental.reset_memory_stats(gpu)
    return _proc_bytes("VmRSS") or _peak_bytes()


def _peak_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    return _proc_bytes("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _proc_bytes(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def _gpus() -> list[str]:
    return [f"GPU:{k}" for k, _ in enumerate(tf.config.list_logical_devices("GPU"))]


def _gpu_peak_bytes() -> int | None:
    gpus = _gpus()
    return tf.config.experimental.get_memory_info(gpus[0])["peak"] if gpus else None
