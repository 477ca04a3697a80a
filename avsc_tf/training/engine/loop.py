"""The training loop of all three networks.

What a step sees follows from (seed, epoch, step) alone, and a checkpoint holds all that the next step needs: so a
training that was stopped, or killed, at any step and goes on equals one that never stopped, bit for bit. Keras' `fit`
is not used because it restores neither seed states nor unbuilt optimizers, and because it overwrites the weights with
their running average at its end, which a resumed training must not inherit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avsc_tf.core.config import Config, TrainingConfig
from avsc_tf.core.digests import seal
from avsc_tf.core.errors import ConfigError, RecordError
from avsc_tf.core.runs import CHECKPOINT_DIR_NAME, LOG_DIR_NAME, history_path, network_dir, weights_path
from avsc_tf.datasets.batches import WHOLE, Share, named_read_errors
from avsc_tf.training.engine.callbacks import Preview, ProgressBar, TensorBoardLog, write_history
from avsc_tf.training.engine.checkpoints import (
    Progress,
    latest_checkpoint,
    load_weights,
    restore_checkpoint,
    save_checkpoint,
    save_weights,
    state_variables,
)
from avsc_tf.training.engine.devices import ONE_DEVICE, Devices
from avsc_tf.training.engine.divergence import are_finite, check_figures
from avsc_tf.training.engine.dry_run import plan_training
from avsc_tf.training.engine.dry_run_text import plan_text
from avsc_tf.training.engine.early_stop import best_epoch, best_weights_path, is_over
from avsc_tf.training.engine.interruption import Interruption
from avsc_tf.training.engine.model import TrainingModel
from avsc_tf.training.engine.run_folder import Claim, claim_folder
from avsc_tf.training.engine.steps import Execution, execution_on

History = list[dict[str, float]]
MakeDataset = Callable[[int, int, Share], tf.data.Dataset]  # (epoch, first batch, share of each batch)


def fit(
    model: TrainingModel,
    make_dataset: MakeDataset,
    *,
    run: Path,
    network: str,
    config: Config,
    steps_per_epoch: int,
    validation_data: Any = None,
    resume: bool = False,
    preview: Preview | None = None,
    dry_run: bool = False,
    devices: Devices = ONE_DEVICE,
) -> History:
    """Train a compiled `model` as the settings of `network` say and write RUN/<network>/.

    Args:
        make_dataset: the batches of an epoch from one on, the same whenever they are asked for.
        steps_per_epoch: batches taken from each epoch's dataset.
        validation_data: held-out batches, or None. Scored with the weights that would be delivered (their running
            average, where the optimizer keeps one).
        resume: go on from the last checkpoint, where there is one.
        preview: called every `preview_epochs` epochs as `preview(finished_epochs, writer)`.
        dry_run: print what the training would be (`training.engine.dry_run`) and write nothing.
        devices: those that `model` was built on. Of several processes the chief alone reads and writes the folder.

    Returns:
        One dictionary of figures an epoch, as in `history.csv`. Empty where the training had been finished before;
        the weights are then loaded into the network.

    Raises:
        ConfigError: the folder holds another or an unfinished training; nothing is held out to stop early by.
        TrainingError: a figure became infinite or not a number.
        RecordError: an epoch's dataset ends early, or meets a damaged record.
        KeyboardInterrupt: stopped, after a checkpoint of the last step.
    """
    settings: TrainingConfig = getattr(config, network)
    devices.check(settings, network)
    if dry_run:
        counts = {"steps_per_epoch": steps_per_epoch, "validation_data": validation_data}
        print(plan_text(plan_training(model, make_dataset, network=network, settings=settings, **counts)))
        return []
    claim = Claim(devices.decide(lambda: claim_folder(run, network, config, resume=resume).value))
    if claim is Claim.FINISHED:
        devices.decide(lambda: load_weights(model.network, weights_path(run, network)))
        devices.spread(model.network.variables)
        devices.decide(lambda: seal(run))
        if devices.is_chief:
            print(f"{network}: trained before, reused ({weights_path(run, network)})")
        return []
    if settings.early_stop_epochs and validation_data is None:
        raise ConfigError(
            f"{network}.early_stop_epochs is {settings.early_stop_epochs}, but nothing is held out to judge by. "
            "Set it to 0, or hold sentences out (split.test_share)."
        )
    model.build_optimizers()
    training = _Training(
        *(model, make_dataset, run, network, settings, steps_per_epoch, validation_data, preview),
        devices=devices,
    )
    training.begin(resume=claim is Claim.RESUME)
    training.run_epochs()
    return training.deliver()


@dataclass
class _Training:
    """One training in its folder; `progress` is where it is."""

    model: TrainingModel
    make_dataset: MakeDataset
    run: Path
    network: str
    settings: TrainingConfig
    steps_per_epoch: int
    validation_data: Any
    preview: Preview | None
    devices: Devices
    progress: Progress = field(default_factory=Progress)
    written_at: float = field(default_factory=time.monotonic)

    @property
    def checkpoints(self) -> Path:
        return network_dir(self.run, self.network) / CHECKPOINT_DIR_NAME

    def begin(self, *, resume: bool) -> None:
        """Have the same state on all devices: that of the chief, which restores it."""
        if resume:
            self.progress = Progress(**self.devices.decide(lambda: asdict(self._restored())))
        self.devices.spread(state_variables(self.model).values())
        self.devices.part_noise(self.model)

    def _restored(self) -> Progress:
        path = latest_checkpoint(self.checkpoints)
        assert path is not None  # claim_folder found it
        return restore_checkpoint(path, self.model)

    def run_epochs(self) -> None:
        epochs, progress = self.settings.epochs, self.progress
        steps_done = progress.steps_before(self.steps_per_epoch)
        bar = ProgressBar(self.network, epochs, self.steps_per_epoch, steps_done, shown=self.devices.is_chief)
        try:
            with Interruption() as interruption, self.devices.named_losses(), named_read_errors(), self._log() as log:
                execution = execution_on(self.devices, self.model, self.settings, interruption)
                if log is not None and not steps_done:
                    log.graph(self.model, self.make_dataset(0, 0, WHOLE).element_spec)
                while progress.epoch < epochs and not self._is_over():
                    self._steps_of_epoch(execution, bar)
                    self._end_epoch(execution, log, bar)
                    if progress.epoch == epochs or self._is_over() or self._is_time() or execution.is_asked_to_stop:
                        self._checkpoint()
                    _raise_if_asked(execution)
        except KeyboardInterrupt:
            place = f"epoch {progress.epoch + 1} of {epochs}, step {progress.step}"
            bar.write(f"{self.network}: stopped in {place}. Go on with --resume.")
            raise
        finally:
            bar.close()

    def _log(self) -> AbstractContextManager[TensorBoardLog | None]:
        logs = network_dir(self.run, self.network) / LOG_DIR_NAME
        return TensorBoardLog(logs) if self.devices.is_chief else nullcontext()

    def deliver(self) -> History:
        """Write the weights that are the result, and have them on all devices."""
        adopt_average(self.model)
        self.devices.decide(self._write_weights)
        self.devices.spread(self.model.network.variables)
        return self.progress.history

    def _write_weights(self) -> None:
        history = self.progress.history
        best = best_weights_path(self.run, self.network)
        if self.settings.early_stop_epochs and self._best_epoch():
            load_weights(self.model.network, best)
            found = f"{len(history)} of {self.settings.epochs} epochs; the best was epoch {self._best_epoch()}"
            print(f"{self.network}: {found}")
        save_weights(self.model.network, weights_path(self.run, self.network))
        seal(self.run, trained=self.network)

    def _steps_of_epoch(self, execution: Execution, bar: ProgressBar) -> None:
        """The steps of the current epoch that are not done yet."""
        progress = self.progress
        dataset = execution.distribute(lambda share: self.make_dataset(progress.epoch, progress.step, share))
        started = time.monotonic()
        for figures in execution.run(dataset, self.steps_per_epoch - progress.step):
            self._check(figures)
            progress.add(figures)
            progress.seconds += time.monotonic() - started
            started = time.monotonic()
            bar.step(progress)
            if execution.is_asked_to_stop or self._is_time():
                self._checkpoint()
                _raise_if_asked(execution)
                started = time.monotonic()
        if progress.step < self.steps_per_epoch:
            raise RecordError(
                f"epoch {progress.epoch + 1}: the records gave {progress.step} of {self.steps_per_epoch} batches. "
                "Prepare more clips."
            )

    def _check(self, figures: dict[str, np.ndarray]) -> None:
        if not all(np.isfinite(values).all() for values in figures.values()):  # the same in all processes
            self.devices.decide(lambda: check_figures(figures, self))

    def _end_epoch(self, execution: Execution, log: TensorBoardLog | None, bar: ProgressBar) -> None:
        progress, epoch = self.progress, self.progress.epoch + 1
        row = {"epoch": float(epoch), **progress.means(), **_learning_rates(self.model)}
        row["seconds"] = round(progress.seconds, 3)
        with averaged_weights(self.model):
            held_out = self.devices.decide(lambda: execution.held_out_figures(self.validation_data))
            row.update({f"val_{name}": value for name, value in held_out.items()})
            progress.end_epoch(row)
            if log is not None:
                self._write_epoch(row, log)
        bar.epoch_end(row)

    def _write_epoch(self, row: dict[str, float], log: TensorBoardLog) -> None:
        """What is kept of a finished epoch, while the model has its averaged weights; by the chief."""
        epoch = self.progress.epoch
        if self.validation_data is not None and self._best_epoch() == epoch:
            save_weights(self.model.network, best_weights_path(self.run, self.network))
        log.scalars(epoch, row, steps=self.steps_per_epoch, batch_size=self.settings.batch_size)
        if self.preview is not None and self.settings.preview_epochs and epoch % self.settings.preview_epochs == 0:
            self.preview(epoch, log.writer)
        write_history(history_path(self.run, self.network), self.progress.history)

    def _is_over(self) -> bool:
        patience, monitored = self.settings.early_stop_epochs, self.model.monitored
        return is_over(self.progress.history, patience_epochs=patience, monitored=monitored)

    def _best_epoch(self) -> int:
        return best_epoch(self.progress.history, self.model.monitored)

    def _is_time(self) -> bool:
        return time.monotonic() - self.written_at >= self.settings.checkpoint_seconds

    def _checkpoint(self) -> None:
        if not self.devices.is_chief or not are_finite(self.model):
            return  # of such weights the next step will tell, and the checkpoint before is the last good one
        save_checkpoint(self.checkpoints, self.model, self.progress, steps_per_epoch=self.steps_per_epoch)
        self.written_at = time.monotonic()

    def batch(self, epoch: int, step: int) -> Any:
        """A whole batch once more."""
        return next(iter(self.make_dataset(epoch, step, WHOLE)))


def _raise_if_asked(execution: Execution) -> None:
    if execution.is_asked_to_stop:
        raise KeyboardInterrupt


def adopt_average(model: TrainingModel) -> None:
    """Overwrite the weights with their running average, where an optimizer keeps one."""
    for optimizer, variables in _averaging(model):
        optimizer.finalize_variable_values(variables)


@contextmanager
def averaged_weights(model: TrainingModel) -> Iterator[None]:
    """Within the block the model has its averaged weights; after it, its own again."""
    kept = [(v, v.numpy()) for _, variables in _averaging(model) for v in variables]
    adopt_average(model)
    try:
        yield
    finally:
        for variable, value in kept:
            variable.assign(value)


def _averaging(model: TrainingModel) -> list[tuple[keras.optimizers.Optimizer, list[Any]]]:
    inner = [getattr(o, "inner_optimizer", o) for o in model.optimizers]  # of one that scales its loss (float16)
    return [(o, o._trainable_variables) for o in inner if getattr(o, "use_ema", False)]


def _learning_rates(model: TrainingModel) -> dict[str, float]:
    return {f"{d.label}learning_rate": float(np.asarray(d.optimizer.learning_rate)) for d in model.descents()}
