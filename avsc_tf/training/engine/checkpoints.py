"""State of an unfinished training, written so that going on equals never having stopped.

One `.npz` holds every variable: weights, batch-norm averages, the seed states of dropout and noise layers,
and each optimizer's counters, slots and running averages. Keras' own formats leave out the seed states, and restore
an optimizer that is not built yet with no more than a warning.
"""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from avsc_tf.core.errors import ConfigError
from avsc_tf.core.files import reserve, write_atomically, written_whole
from avsc_tf.training.engine.model import TrainingModel

HDF5_BYTES_A_VARIABLE = 4096  # at most: its header and its part of the tree of names
WEIGHTS_SUFFIX = ".weights.h5"  # that Keras asks for
KEPT = 2  # the newest and the one before


@dataclass
class Progress:
    """Where a training is, and the figures of the epoch it is in."""

    epoch: int = 0  # finished ones
    step: int = 0  # finished ones of the epoch that is going on
    sums: dict[str, float] = field(default_factory=dict)  # over those steps
    seconds: float = 0.0  # spent on them
    history: list[dict[str, float]] = field(default_factory=list)  # one row a finished epoch

    def add(self, figures: Mapping[str, np.ndarray]) -> None:
        """Count steps whose figures are [steps] each; summed one by one, so that no grouping changes the sum."""
        for name, values in figures.items():
            for value in values:
                self.sums[name] = self.sums.get(name, 0.0) + float(value)
        self.step += len(next(iter(figures.values())))

    def means(self) -> dict[str, float]:
        """Of the steps of this epoch."""
        return {name: total / self.step for name, total in self.sums.items()}

    def end_epoch(self, row: dict[str, float]) -> None:
        """Close the epoch with its row of figures."""
        self.history.append(row)
        self.epoch, self.step, self.sums, self.seconds = self.epoch + 1, 0, {}, 0.0

    def steps_before(self, steps_per_epoch: int) -> int:
        """Steps since the beginning of the training."""
        return self.epoch * steps_per_epoch + self.step


def save_checkpoint(folder: Path, model: TrainingModel, progress: Progress, *, steps_per_epoch: int) -> Path:
    """Write the state; the newest `KEPT` files stay."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.asarray(variable.value) for name, variable in state_variables(model).items()}
    buffer = io.BytesIO()
    np.savez(buffer, progress=json.dumps(dataclasses.asdict(progress)), **arrays)
    path = folder / f"step-{progress.steps_before(steps_per_epoch):09d}.npz"
    write_atomically(path, buffer.getvalue())
    for old in _checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint, or None."""
    found = _checkpoints(folder)
    return found[-1] if found else None


def restore_checkpoint(path: Path, model: TrainingModel) -> Progress:
    """Set every variable of a built model and its optimizers; returns where it was.

    Raises:
        ConfigError: the file belongs to another network.
    """
    variables = state_variables(model)
    with np.load(path) as stored:
        names = set(stored.files) - {"progress"}
        fits = names == set(variables) and all(stored[name].shape == tuple(variables[name].shape) for name in names)
        if not fits:
            raise ConfigError(f"{path}: belongs to another network. Train into another folder, or delete this one.")
        for name, variable in variables.items():
            variable.assign(stored[name])
        return Progress(**json.loads(str(stored["progress"])))


def save_weights(model: keras.Model, path: Path) -> None:
    """Weights alone (no optimizer) as Keras' `.weights.h5`, renamed into place."""
    with written_whole(path, suffix=f".part{WEIGHTS_SUFFIX}") as part, _without_optimizer(model):
        reserve(part, 2**16 + sum(HDF5_BYTES_A_VARIABLE + np.asarray(v.value).nbytes for v in model.variables))
        model.save_weights(part)


def load_weights(model: keras.Model, path: Path) -> None:
    """Read what `save_weights` wrote into a built model, compiled or not.

    Raises:
        ConfigError: the file holds another network.
    """
    try:
        with _without_optimizer(model):
            model.load_weights(path)
    except (ValueError, KeyError) as error:
        raise ConfigError(f"{path}: holds another network than these settings make ({error}).") from error


class _without_optimizer:  # noqa: N801 - a context manager, used like a function
    """Hide the optimizer: `save_weights` would store its slots, three times the size."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def __enter__(self) -> None:
        self.optimizer = getattr(self.model, "optimizer", None)
        self.model.optimizer = None

    def __exit__(self, *_: Any) -> None:
        self.model.optimizer = self.optimizer


def state_variables(model: TrainingModel) -> dict[str, Any]:
    """Every variable of the model (seed states included) and of its optimizers, by a stable name."""
    named = {f"model/{i:04d}": v for i, v in enumerate(model.variables)}
    for k, optimizer in enumerate(model.optimizers):
        named.update({f"optimizer{k}/{i:04d}": v for i, v in enumerate(optimizer.variables)})
    return named


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.npz"))
