"""Trivial answers: what a figure is worth is seen beside what costs nothing.

Each answer gives mel, keypoints and, where it can, frames of a held-out sentence on the source's timeline, from the
source clip alone; the last two (the target through the alignment, a second take) show what the measure itself allows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.linalg
from tqdm import tqdm

from avsc_tf.core.config import Config
from avsc_tf.core.timebase import Timebase
from avsc_tf.corpus.reader import Records, decode_frames
from avsc_tf.features.statistics import Statistics

RIDGE = 100.0  # in standardised units squared, against some thousands of frames
OUTPUTS_A_BLOCK = 8192
PICTURE_EVERY = 2  # training frames taken for the pictures' ridge and mean

LABELS = {
    "converted": "converted (the networks)",
    "source": "source unchanged",
    "mean": "target's mean features, mean image",
    "band_match": "source, mean and variance matched band by band",
    "ridge": "frame-wise ridge regression",
    "target_dtw": "target itself through the DTW alignment",
    "second_take": "second take of the target",
}


@dataclass(frozen=True)
class Answer:
    """Features of a sentence in the units of the recordings; `frames` is None where the answer has none."""

    mel: np.ndarray  # [mel_per_video * T, n_mels] natural log
    keypoints: np.ndarray  # [T, 70, 2] px of the crop
    frames: np.ndarray | None = None  # uint8 [T, S, S, 3]


@dataclass
class Ridge:
    """Least squares with a penalty on the weights and none on the constant, fed piece by piece."""

    penalty: float = RIDGE
    _gram: np.ndarray | None = field(default=None, repr=False)
    _cross: np.ndarray | None = field(default=None, repr=False)
    _weights: np.ndarray | None = field(default=None, repr=False)

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """Add examples: [n, inputs], [n, outputs]."""
        x = _with_constant(x)
        gram, cross = x.T @ x, x.T @ np.asarray(y, np.float32)
        if self._gram is None or self._cross is None:
            self._gram, self._cross = gram, cross
        else:
            self._gram += gram
            self._cross += cross

    def predict(self, x: np.ndarray) -> np.ndarray:
        """[n, inputs] -> [n, outputs]."""
        if self._weights is None:
            self._weights = self._solve()
        return _with_constant(x) @ self._weights

    def _solve(self) -> np.ndarray:
        """float32 [inputs + 1, outputs]; in blocks of outputs, since a picture has many."""
        assert self._gram is not None and self._cross is not None, "add examples first"
        penalty = np.full(len(self._gram), self.penalty)
        penalty[-1] = 0.0
        factor = scipy.linalg.cho_factor(self._gram + np.diag(penalty))
        weights = np.empty_like(self._cross)
        for start in range(0, weights.shape[1], OUTPUTS_A_BLOCK):
            block = slice(start, start + OUTPUTS_A_BLOCK)
            weights[:, block] = scipy.linalg.cho_solve(factor, self._cross[:, block])
        return weights


def _with_constant(x: np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float32)
    return np.concatenate([x, np.ones((len(x), 1), np.float32)], axis=1)


class TrivialAnswers:
    """Answers fitted on the training sentences of a records folder.

    Ridge inputs are a video frame's mel frames and keypoints, as the networks' without VGG-19; the pictures' ridge goes
    from the target's own features to its pixels.
    """

    def __init__(self, records: Records, *, progress: bool = False) -> None:
        self.config: Config = records.config
        self.statistics: Statistics = records.statistics
        self.timebase = self.config.timebase
        self._features, self._pictures = Ridge(), Ridge()
        for source, target in _aligned_frames(records, self.config, self.timebase):
            self._features.add(source, target)
        self.mean_image = self._fit_pictures(records, progress)

    def _fit_pictures(self, records: Records, progress: bool) -> np.ndarray:
        total, n = np.zeros(1, np.float64), 0
        clips = records.clips("target", "train", only=("mel", "keypoints", "frames"))
        total_clips = records.n_clips("target", "train")
        for clip in tqdm(clips, desc="trivial answers", unit="clip", total=total_clips, disable=not progress):
            frames = decode_frames(clip["frames"][::PICTURE_EVERY])  # [n, S, S, 3]
            x = self._joined("target", clip["mel"], clip["keypoints"])[::PICTURE_EVERY]
            self._pictures.add(x, frames.reshape(len(frames), -1).astype(np.float32))
            total, n = total + frames.sum(axis=0, dtype=np.float64), n + len(frames)
        return np.rint(total / n).astype(np.uint8)

    def source(self, clip: dict[str, Any]) -> Answer:
        return Answer(clip["mel"], clip["keypoints"], decode_frames(clip["frames"]))

    def mean(self, clip: dict[str, Any]) -> Answer:
        zero_mel, zero_keypoints = np.zeros_like(clip["mel"]), np.zeros_like(clip["keypoints"])
        n_frames = len(clip["keypoints"])
        frames = np.broadcast_to(self.mean_image, (n_frames, *self.mean_image.shape))
        return Answer(*self._restored(zero_mel, zero_keypoints), frames)

    def band_match(self, clip: dict[str, Any]) -> Answer:
        standardised = (self._standardised("source", name, clip[name]) for name in ("mel", "keypoints"))
        return Answer(*self._restored(*standardised))

    def ridge(self, clip: dict[str, Any]) -> Answer:
        predicted = self._features.predict(self._joined("source", clip["mel"], clip["keypoints"]))
        n_keypoints = 2 * self.config.face.n_keypoints
        pixels = np.clip(np.rint(self.pictures(predicted)), 0, 255).astype(np.uint8)
        mel = predicted[:, :-n_keypoints].reshape(clip["mel"].shape)
        frames = pixels.reshape(len(pixels), *self.mean_image.shape)
        return Answer(*self._restored(mel, predicted[:, -n_keypoints:]), frames)

    def pictures(self, features: np.ndarray) -> np.ndarray:
        """Mel frames and keypoints of frames [T, values], standardised -> pixels [T, size * size * 3], unbounded."""
        return self._pictures.predict(features)

    def _joined(self, speaker: str, mel: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        tied = self._standardised(speaker, "mel", mel).reshape(len(keypoints), -1)
        return np.concatenate([tied, self._standardised(speaker, "keypoints", keypoints)], axis=1)

    def _standardised(self, speaker: str, name: str, x: np.ndarray) -> np.ndarray:
        return self.statistics.standardise(speaker, name, x.reshape(len(x), -1))

    def _restored(self, mel: np.ndarray, keypoints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        flat = self.statistics.restore("target", "keypoints", keypoints.reshape(len(keypoints), -1))
        return self.statistics.restore("target", "mel", mel), flat.reshape(len(flat), -1, 2)


def _aligned_frames(records: Records, config: Config, timebase: Timebase) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Standardised mel and keypoints of each training pair, a row a video frame: [n, 8 * n_mels + 140] each."""
    for pair in records.pairs("train"):
        rows = []
        for speaker in ("source", "target"):
            keypoints = pair[f"{speaker}_facial"][:, config.face.n_vgg :].astype(np.float32)
            rows.append(np.concatenate([pair[f"{speaker}_mel"].reshape(len(keypoints), -1), keypoints], axis=1))
        yield rows[0], rows[1]
