"""The training loop of all three networks.

An epoch is the unit: its data follow from (seed, epoch), its end writes everything that the next one needs, so that
2 epochs + resume + 2 epochs equal 4 epochs bit for bit. The model brings its own `train_step`; a GAN's is no
exception. Keras' `fit` is not used because it restores neither seed states nor unbuilt optimizers, and because it
overwrites the weights with their running average at its end, which a resumed training must not inherit.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import keras
import tensorflow as tf

from avsc_tf.config import Config
from avsc_tf.datasets.batches import named_read_errors
from avsc_tf.errors import ConfigError, RecordError
from avsc_tf.runs import CHECKPOINT_DIR_NAME, LOG_DIR_NAME, history_path, network_dir, weights_path
from avsc_tf.training.callbacks import Preview, ProgressBar, TensorBoardLog, write_history
from avsc_tf.training.checkpoints import (
    build_optimizers,
    latest_checkpoint,
    load_weights,
    optimizers_of,
    restore_checkpoint,
    save_checkpoint,
    save_weights,
)
from avsc_tf.training.early_stop import best_epoch, best_weights_path, is_over
from avsc_tf.training.run_folder import Claim, claim_folder

History = list[dict[str, float]]


def fit(
    model: keras.Model,
    make_dataset: Callable[[int], tf.data.Dataset],
    *,
    run: Path,
    network: str,
    config: Config,
    epochs: int,
    steps_per_epoch: int,
    validation_data: Any = None,
    resume: bool = False,
    preview: Preview | None = None,
    deliver: keras.Model | None = None,
    checkpoint_seconds: float = 0.0,
    early_stop_epochs: int = 0,
) -> History:
    """Train a compiled `model` and write RUN/<network>/.

    Args:
        model: compiled; a GAN builds its optimizers in `compile` and lists them as `optimizers`.
        make_dataset: epoch -> batches of that epoch, the same whenever it is asked for.
        steps_per_epoch: batches taken from each epoch's dataset.
        validation_data: held-out batches for `model.evaluate`, or None. Scored with the weights that would be
            delivered (their running average, where the optimizer keeps one).
        resume: go on from the last checkpoint, where there is one.
        preview: called after each epoch as `preview(finished_epochs, writer)`.
        deliver: the model whose weights are the result (a GAN's generator); `model` itself by default.
        checkpoint_seconds: least time between two checkpoints; 0 writes one every epoch.
        early_stop_epochs: end after so many epochs without a better held-out loss, and deliver the weights of the
            best one as they were validated; 0 never ends early and delivers the last. Needs `validation_data`.

    Returns:
        One dictionary of figures an epoch, as in `history.csv`. Empty where the training had been finished before;
        the weights are then loaded into the delivered model.

    Raises:
        ConfigError: the folder holds another or an unfinished training; nothing is held out to stop early by.
        RecordError: an epoch's dataset ends early, or meets a damaged record.
    """
    delivered = model if deliver is None else deliver
    claim = claim_folder(run, network, config, resume=resume)
    if claim is Claim.FINISHED:
        load_weights(delivered, weights_path(run, network))
        print(f"{network}: trained before, reused ({weights_path(run, network)})")
        return []
    if early_stop_epochs and validation_data is None:
        raise ConfigError(
            f"{network}.early_stop_epochs is {early_stop_epochs}, but nothing is held out to judge by. "
            "Set it to 0, or hold sentences out (split.test_share)."
        )
    build_optimizers(model)
    folder = network_dir(run, network)
    first_epoch, history = _restore(model, folder, claim)
    step = tf.function(model.train_step, jit_compile=model.jit_compile, reduce_retracing=True)
    bar = ProgressBar(network, epochs=epochs, steps_per_epoch=steps_per_epoch, first_epoch=first_epoch)
    written_at = time.monotonic()
    try:
        with named_read_errors(), TensorBoardLog(folder / LOG_DIR_NAME, preview) as log:
            for epoch in range(first_epoch, epochs):
                if is_over(history, patience_epochs=early_stop_epochs):
                    break  # a training that was killed after its last checkpoint
                row = _train_epoch(model, step, make_dataset(epoch), epoch, steps_per_epoch, bar)
                with averaged_weights(model):
                    row.update(_evaluate(model, validation_data))
                    history.append(row)
                    if early_stop_epochs and best_epoch(history) == len(history):
                        save_weights(delivered, best_weights_path(run, network))
                    log.epoch_end(epoch + 1, row)
                bar.epoch_end(row)
                is_last = epoch + 1 == epochs or is_over(history, patience_epochs=early_stop_epochs)
                if is_last or time.monotonic() - written_at >= checkpoint_seconds:
                    save_checkpoint(folder / CHECKPOINT_DIR_NAME, model, epoch=epoch + 1, history=history)
                    written_at = time.monotonic()
                write_history(history_path(run, network), history)
    except KeyboardInterrupt:
        bar.write(f"{network}: stopped in epoch {len(history) + 1} of {epochs}. Go on with --resume.")
        raise
    finally:
        bar.close()
    adopt_average(model)
    if early_stop_epochs and best_epoch(history):
        load_weights(delivered, best_weights_path(run, network))
        print(f"{network}: {len(history)} of {epochs} epochs; the best was epoch {best_epoch(history)}")
    save_weights(delivered, weights_path(run, network))
    return history


def learning_rate(
    peak: float, schedule: Literal["constant", "cosine"], *, total_steps: int, warmup_steps: int = 0
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """A constant rate, or a linear warm-up to `peak` and half a cosine down to 2 % of it over `total_steps`."""
    if schedule == "constant":
        return peak
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup_steps else peak,
        decay_steps=max(1, total_steps - warmup_steps),
        alpha=0.02,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )


def adopt_average(model: keras.Model) -> None:
    """Overwrite the weights with their running average, where an optimizer keeps one."""
    for optimizer, variables in _averaging(model):
        optimizer.finalize_variable_values(variables)


@contextmanager
def averaged_weights(model: keras.Model) -> Iterator[None]:
    """Within the block the model has its averaged weights; after it, its own again."""
    kept = [(v, v.numpy()) for _, variables in _averaging(model) for v in variables]
    adopt_average(model)
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


def _averaging(model: keras.Model) -> list[tuple[keras.optimizers.Optimizer, list[Any]]]:
    inner = [getattr(o, "inner_optimizer", o) for o in optimizers_of(model)]  # of one that scales its loss (float16)
    return [(o, o._trainable_variables) for o in inner if getattr(o, "use_ema", False)]


def _restore(model: keras.Model, folder: Path, claim: Claim) -> tuple[int, History]:
    if claim is not Claim.RESUME:
        return 0, []
    path = latest_checkpoint(folder / CHECKPOINT_DIR_NAME)
    assert path is not None  # claim_folder found it
    return restore_checkpoint(path, model)


def _train_epoch(
    model: keras.Model, step: Any, dataset: tf.data.Dataset, epoch: int, steps: int, bar: ProgressBar
) -> dict[str, float]:
    """One pass; returns the epoch's mean figures, the learning rate of its last step and its seconds."""
    started = time.monotonic()
    model.reset_metrics()
    logs: dict[str, Any] = {}
    n_done = 0
    for batch in dataset.take(steps):
        logs = step(batch)
        n_done += 1
        bar.step(epoch, logs)
    if n_done < steps:
        raise RecordError(f"epoch {epoch + 1}: the records gave {n_done} of {steps} batches. Prepare more clips.")
    row = {"epoch": epoch + 1.0, **{name: float(value) for name, value in logs.items()}}
    row["learning_rate"] = float(optimizers_of(model)[0].learning_rate)
    row["seconds"] = round(time.monotonic() - started, 3)
    return row


def _evaluate(model: keras.Model, validation_data: Any) -> dict[str, float]:
    if validation_data is None:
        return {}
    with warnings.catch_warnings():
        # A dataset read from files cannot tell its length, and Keras wonders at its first end.
        warnings.filterwarnings("ignore", message="Your input ran out of data")
        figures = model.evaluate(validation_data, verbose=0, return_dict=True)
    return {f"val_{name}": float(value) for name, value in figures.items()}
