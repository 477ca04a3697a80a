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

from avsc_tf.training.checkpoints import write_atomically

Preview = Callable[[int, Any], None]  # (finished epochs, tf.summary writer)


class ProgressBar:
    """One bar over all steps of all epochs; its time left is that of the whole training."""

    def __init__(self, network: str, *, epochs: int, steps_per_epoch: int, first_epoch: int) -> None:
        total = epochs * steps_per_epoch
        self._bar = tqdm(total=total, initial=first_epoch * steps_per_epoch, desc=network, unit="step", mininterval=1.0)
        self._epochs = epochs
        self._validation = ""

    def step(self, epoch: int, logs: Mapping[str, Any], *, refresh_every: int = 20) -> None:
        """Advance by one step; the losses shown are means of the epoch so far."""
        self._bar.update()
        if self._bar.n % refresh_every == 0:
            shown = " ".join(f"{name} {float(logs[name]):.4g}" for name in _headline(logs))
            self._bar.set_postfix_str(f"epoch {epoch + 1}/{self._epochs} {shown}{self._validation}", refresh=False)

    def epoch_end(self, row: Mapping[str, float]) -> None:
        """Keep the last validation loss in view."""
        held_out = [name for name in _headline(row, prefix="val_")]
        self._validation = "".join(f" {name} {row[name]:.4g}" for name in held_out)

    def write(self, text: str) -> None:
        """Print a line without breaking the bar."""
        self._bar.write(text)

    def close(self) -> None:
        self._bar.close()


class TensorBoardLog:
    """Scalars of every epoch, and the previews a caller adds, under RUN/<network>/logs."""

    def __init__(self, folder: Path, preview: Preview | None) -> None:
        self._writer = tf.summary.create_file_writer(str(folder))
        self._preview = preview

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    def epoch_end(self, finished_epochs: int, row: Mapping[str, float]) -> None:
        """Write one epoch's figures at step `finished_epochs`."""
        with self._writer.as_default(step=finished_epochs):
            for name, value in row.items():
                tf.summary.scalar(name, value)
        if self._preview is not None:
            self._preview(finished_epochs, self._writer)
        self._writer.flush()


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


def _headline(logs: Mapping[str, Any], prefix: str = "") -> list[str]:
    """The one or two figures worth a place beside the bar."""
    wanted = [f"{prefix}{name}" for name in ("loss", "generator/l1", "discriminator/loss")]
    return [name for name in wanted if name in logs]
