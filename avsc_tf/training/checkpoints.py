"""State of an unfinished training, written so that going on equals never having stopped.

One `.npz` an epoch holds every variable: weights, batch-norm averages, the seed states of dropout and noise layers,
and each optimizer's counters, slots and running averages. Keras' own formats leave out the seed states, and restore
an optimizer that is not built yet with no more than a warning.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from avsc_tf.errors import ConfigError

KEPT = 2  # the newest and the one before


def optimizers_of(model: keras.Model) -> list[keras.optimizers.Optimizer]:
    """All optimizers of a compiled model: its `optimizers` where it has several, or its one."""
    return list(getattr(model, "optimizers", None) or [model.optimizer])


def build_optimizers(model: keras.Model) -> None:
    """Create all slots now, so that they can be restored (GANs build theirs in `compile`)."""
    if getattr(model, "optimizers", None) is None and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)


def save_checkpoint(folder: Path, model: keras.Model, *, epoch: int, history: Sequence[Mapping[str, float]]) -> Path:
    """Write the state after `epoch` finished epochs; the newest `KEPT` files stay."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.asarray(variable.value) for name, variable in _variables(model).items()}
    buffer = io.BytesIO()
    np.savez(buffer, epoch=epoch, history=json.dumps(list(history)), **arrays)
    path = folder / f"epoch-{epoch:05d}.npz"
    write_atomically(path, buffer.getvalue())
    for old in _checkpoints(folder)[:-KEPT]:
        old.unlink()
    return path


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint, or None."""
    found = _checkpoints(folder)
    return found[-1] if found else None


def restore_checkpoint(path: Path, model: keras.Model) -> tuple[int, list[dict[str, float]]]:
    """Set every variable of a built model and its optimizers; returns finished epochs and their history.

    Raises:
        ConfigError: the file belongs to another network.
    """
    variables = _variables(model)
    with np.load(path) as stored:
        names = set(stored.files) - {"epoch", "history"}
        fits = names == set(variables) and all(stored[name].shape == tuple(variables[name].shape) for name in names)
        if not fits:
            raise ConfigError(f"{path}: belongs to another network. Train into another folder, or delete this one.")
        for name, variable in variables.items():
            variable.assign(stored[name])
        return int(stored["epoch"]), json.loads(str(stored["history"]))


def write_atomically(path: Path, content: bytes | str) -> None:
    """Write beside, then rename: a half-written file never has the final name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    if isinstance(content, str):
        partial.write_text(content)
    else:
        partial.write_bytes(content)
    os.replace(partial, path)


def save_weights(model: keras.Model, path: Path) -> None:
    """Weights alone (no optimizer) as Keras' `.weights.h5`, renamed into place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"partial-{path.name}")
    with _without_optimizer(model):
        model.save_weights(partial)
    os.replace(partial, path)


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


def _variables(model: keras.Model) -> dict[str, Any]:
    """Every variable of the model (seed states included) and of its optimizers, by a stable name."""
    named = {f"model/{i:04d}": v for i, v in enumerate(model.variables)}
    for k, optimizer in enumerate(optimizers_of(model)):
        named.update({f"optimizer{k}/{i:04d}": v for i, v in enumerate(optimizer.variables)})
    return named


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(folder.glob("epoch-*.npz"))
