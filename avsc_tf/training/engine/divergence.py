"""A training whose figures are no numbers any more ends by name, and keeps the last good weights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from avsc_tf.core.errors import TrainingError
from avsc_tf.core.runs import network_dir
from avsc_tf.training.engine.checkpoints import Progress, latest_checkpoint, restore_checkpoint, save_weights
from avsc_tf.training.engine.model import TrainingModel

LAST_GOOD_NAME = "last_good.weights.h5"
SCALED_AWAY = "gradient_norm"  # float16: a gradient that overflows is left out and the loss scaled less


class Training(Protocol):
    """What is told of a training (`training.engine.loop`)."""

    model: TrainingModel
    run: Path
    network: str
    progress: Progress

    @property
    def checkpoints(self) -> Path: ...

    def batch(self, epoch: int, step: int) -> Any: ...


def check_figures(figures: Mapping[str, np.ndarray], training: Training) -> None:
    """Every figure of the steps just taken must be finite.

    Args:
        figures: [steps] each, of the steps after `training.progress`.

    Raises:
        TrainingError: names the step and the batch. The weights of the last checkpoint then lie in
            RUN/<network>/last_good.weights.h5.
    """
    scaled = any(hasattr(optimizer, "dynamic_scale") for optimizer in training.model.optimizers)
    bad = []
    for name, values in figures.items():
        of_gradient = name.endswith(SCALED_AWAY)
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong) and not (scaled and of_gradient):
            bad.append((int(wrong[0]), of_gradient, name))  # the first one; of one step a loss before its gradient
    if not bad:
        return
    offset, _, name = min(bad)
    progress = training.progress
    epoch, step = progress.epoch, progress.step + offset
    raise TrainingError(
        f"{network_dir(training.run, training.network)}: {name} is {figures[name][offset]} in epoch {epoch + 1}, step "
        f"{step + 1} (batch {step} of that epoch). {_why(training.batch(epoch, step), training.network)} "
        f"{_keep_last_good(training)}"
    )


def are_finite(model: TrainingModel) -> bool:
    """Whether all weights are numbers; a step from a finite loss can still make others."""
    return all(np.isfinite(weight).all() for weight in model.network.get_weights())


def _why(batch: Any, network: str) -> str:
    values = [np.asarray(part) for part in tf.nest.flatten(batch)]
    if any(np.issubdtype(v.dtype, np.floating) and not np.isfinite(v).all() for v in values):
        return "That batch itself holds values that are not finite: prepare the records again."
    rates = "learning rates" if network == "image" else "learning_rate"
    return f"The batch itself is sound, so the training diverged: lower {network}'s {rates}, or set its clip_norm."


def _keep_last_good(training: Training) -> str:
    path = latest_checkpoint(training.checkpoints)
    if path is None:
        return "No checkpoint had been written yet."
    restore_checkpoint(path, training.model)
    kept = network_dir(training.run, training.network) / LAST_GOOD_NAME
    save_weights(training.model.network, kept)
    return f"Start from the last good weights in another --out with --init-from {kept}."
