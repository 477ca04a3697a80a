"""When a training ends before its last epoch, and which epoch's weights are its result.

All of it follows from the history of figures, so that a training that goes on decides as one that never stopped.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from avsc_tf.core.runs import network_dir

BEST_NAME = "best.weights.h5"
LOSS = "loss"

History = Sequence[Mapping[str, float]]


def best_weights_path(run: Path, network: str) -> Path:
    """Weights of the best epoch so far, as they were validated; of trainings that hold something out."""
    return network_dir(run, network) / BEST_NAME


def best_epoch(history: History, monitored: str = LOSS) -> int:
    """Finished epochs after which the held-out figure was lowest, the first of equals; 0: it never was a number."""
    lowest, found = math.inf, 0
    for number, row in enumerate(history, start=1):
        if row[f"val_{monitored}"] < lowest:
            lowest, found = row[f"val_{monitored}"], number
    return found


def is_over(history: History, *, patience_epochs: int, monitored: str = LOSS) -> bool:
    """Whether the last `patience_epochs` epochs brought no better held-out figure; never with 0."""
    return patience_epochs > 0 and len(history) - best_epoch(history, monitored) >= patience_epochs
