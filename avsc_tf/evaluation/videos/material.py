"""What is judged: finished videos by row and utterance, and what is known of each sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from avsc_tf.evaluation.timeline import TimeMap

CONVERTED, VERSUS, TARGET, SOURCE = "converted", "versus", "target", "source"
MEAN, RIDGE, THROUGH_ALIGNMENT, SECOND_TAKE = "mean", "ridge", "target_dtw", "second_take"
ROWS = (CONVERTED, VERSUS, SOURCE, MEAN, RIDGE, THROUGH_ALIGNMENT, SECOND_TAKE, TARGET)
ROW_LABELS = {
    SOURCE: "source unchanged",
    MEAN: "target's mean voice and mean image",
    RIDGE: "frame-wise ridge regression",
    THROUGH_ALIGNMENT: "target itself through the alignment",
    SECOND_TAKE: "target, second take",
    TARGET: "target, natural",
}


@dataclass(frozen=True)
class SentenceInfo:
    """One sentence; `time_map` leads from the source's seconds to the target's, None where there is no source."""

    utterance: str
    emotion: str = ""
    text: str = ""
    time_map: TimeMap | None = None


@dataclass(frozen=True)
class NaturalClip:
    """A training sentence of the natural target."""

    utterance: str
    waveform: np.ndarray  # float32 [samples]
    sample_rate_hz: int
    keypoints: np.ndarray  # [T, 70, 2], pixels of `picture`
    picture: np.ndarray | None = None  # uint8 [S, S, 3], the middle frame
    fps: int = 25

    @property
    def middle(self) -> np.ndarray:
        """[70, 2]: keypoints of the middle frame."""
        return self.keypoints[len(self.keypoints) // 2]


@dataclass(frozen=True)
class Material:
    """Everything an evaluation reads.

    Args:
        rows: row -> utterance -> finished video; `TARGET` is the reference of all.
        training: makes the target's training sentences anew with each call, one at a time.
        held_out_in_turn: the training sentences are the very references: each is left out when it is scored itself.
        labels: what to call the judged systems.
        notes: what a reader must know.
    """

    rows: Mapping[str, Mapping[str, Path]]
    sentences: Sequence[SentenceInfo]
    training: Iterable[NaturalClip]
    held_out_in_turn: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def label(self, row: str) -> str:
        """What a reader calls a row."""
        return self.labels.get(row, ROW_LABELS.get(row, row))


def short_labels(folders: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    """What to call systems by their folders: the last parts of the paths, as many as tell them apart."""
    paths = {row: [path.resolve().parts for path in named] for row, named in folders.items()}
    for depth in range(1, 1 + max(len(parts) for named in paths.values() for parts in named)):
        labels = {row: " + ".join("/".join(parts[-depth:]) for parts in named) for row, named in paths.items()}
        if len(set(labels.values())) == len(labels):
            break
    return labels
