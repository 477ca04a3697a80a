"""What a training shows while it runs: a bar with the time left, TensorBoard curves and previews, a history table."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import tensorflow as tf
from tqdm import tqdm

from avsc_tf.core.files import write_atomically
from avsc_tf.training.engine.checkpoints import Progress
from avsc_tf.training.engine.model import TrainingModel

LOGS = ("train", "held_out")
HELD_OUT = "val_"  # how a figure of held-out sentences is named

Preview = Callable[[int, Any], None]  # (finished epochs, tf.summary writer)


class ProgressBar:
    """One bar over all steps of all epochs; its time left is that of the whole training."""

    def __init__(self, network: str, epochs: int, steps_per_epoch: int, steps_done: int, *, shown: bool = True) -> None:
        total = epochs * steps_per_epoch
        self._bar = tqdm(total=total, initial=steps_done, desc=network, unit="step", mininterval=1.0, disable=not shown)
        self._epochs = epochs
        self._steps_per_epoch = steps_per_epoch
        self._validation = ""

    def step(self, progress: Progress, *, refresh_every: int = 20) -> None:
        """Go to where the training is; the losses shown are means of the epoch so far."""
        before = self._bar.n
        self._bar.update(progress.steps_before(self._steps_per_epoch) - before)
        if self._bar.n // refresh_every > before // refresh_every:
            shown = _headline(progress.means())
            self._bar.set_postfix_str(f"epoch {progress.epoch + 1}/{self._epochs}{shown}{self._validation}", False)

    def epoch_end(self, row: Mapping[str, float]) -> None:
        """Keep the last validation loss in view."""
        self._validation = _headline(row, prefix="val_")

    def write(self, text: str) -> None:
        """Print a line without breaking the bar."""
        if not self._bar.disable:
            self._bar.write(text)

    def close(self) -> None:
        self._bar.close()


class TensorBoardLog:
    """Two runs under RUN/<network>/logs, `train` and `held_out`, whose curves of one name TensorBoard lays together.

    Previews write through `writer`, which is that of what is held out.
    """

    def __init__(self, folder: Path) -> None:
        self.train_writer, self.writer = (tf.summary.create_file_writer(str(folder / name)) for name in LOGS)

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.train_writer.close()
        self.writer.close()

    def graph(self, model: TrainingModel, batch: Any) -> None:
        """Write the networks with their losses, without the way back, which would hide them.

        Args:
            batch: tf.TensorSpec of its tensors.
        """
        traced = tf.function(lambda data: model.losses_of(data, training=False)).get_concrete_function(batch)
        with self.train_writer.as_default(step=0):
            tf.summary.graph(traced.graph)

    def scalars(self, finished_epochs: int, row: Mapping[str, float], *, steps: int, batch_size: int) -> None:
        """Write one epoch's figures at step `finished_epochs`, and how fast it went."""
        seconds = max(row["seconds"], 1e-9)
        speed = {"speed/steps_per_second": steps / seconds, "speed/examples_per_second": steps * batch_size / seconds}
        for name, value in {**row, **speed}.items():
            writer = self.writer if name.startswith(HELD_OUT) else self.train_writer
            if name != "epoch":  # every curve is drawn over it
                with writer.as_default(step=finished_epochs):
                    tf.summary.scalar(tag_of(name.removeprefix(HELD_OUT)), value)
        self.train_writer.flush()
        self.writer.flush()


def tag_of(name: str) -> str:
    """Chart of a figure: its group, a slash, its name. A network of several (the GAN's) is a group of its own."""
    if "/" in name:
        return name
    if name.endswith(("learning_rate", "gradient_norm")):
        return f"optimizer/{name}"
    return f"speed/{name}" if name == "seconds" else f"loss/{name}"


def write_history(path: Path, rows: Sequence[Mapping[str, float]]) -> None:
    """Rewrite the table of all epochs so far (CSV, one row an epoch)."""
    if not rows:
        return
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, names, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_atomically(path, text.getvalue())


def _headline(row: Mapping[str, float], prefix: str = "") -> str:
    """The one or two figures worth a place beside the bar."""
    wanted = [f"{prefix}{name}" for name in ("loss", "generator/l1", "discriminator/loss")]
    return "".join(f" {name} {row[name]:.4g}" for name in wanted if name in row)
