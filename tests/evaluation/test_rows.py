"""Trivial answers: ridge recovers what is linear, matching matches, the mean is the mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from avsc_tf.core.config import Config, load_config
from avsc_tf.evaluation.rows import Ridge, TrivialAnswers
from avsc_tf.features.statistics import Statistics, StatisticsFitter

N_MELS, N_KEYPOINTS, N_VGG, SIZE_PX = 5, 70, 3, 12


def test_ridge_recovers_a_linear_map_fed_in_pieces(rng: np.random.Generator) -> None:
    weights, constant = rng.normal(size=(4, 3)), rng.normal(size=3)
    x = rng.normal(size=(400, 4))
    ridge = Ridge(penalty=1e-3)
    for piece in np.split(x, [7, 150, 151]):
        ridge.add(piece, piece @ weights + constant)
    new = rng.normal(size=(9, 4))
    # float32 sums of 400 products of order 1
    assert np.allclose(ridge.predict(new), new @ weights + constant, atol=1e-3)


def test_ridge_penalty_shrinks_the_weights_and_not_the_constant(rng: np.random.Generator) -> None:
    x = rng.normal(size=(200, 2))
    x -= x.mean(axis=0)
    ridge = Ridge(penalty=1e9)
    ridge.add(x, x @ np.ones((2, 1)) + 7.0)
    assert np.allclose(ridge.predict(x), 7.0, atol=1e-3)


@dataclass
class MemoryRecords:
    """The reader's interface over arrays: the target is a fixed linear map of the source."""

    config: Config
    statistics: Statistics
    source: list[dict[str, Any]]
    target: list[dict[str, Any]]

    def clips(self, speaker: str, split: str, *, only: Any = None) -> Iterator[dict[str, Any]]:
        return iter(self.source if speaker == "source" else self.target)

    def n_clips(self, speaker: str, split: str) -> int:
        return len(self.source)

    def pairs(self, split: str, *, only: Any = None) -> Iterator[dict[str, Any]]:
        for source, target in zip(self.source, self.target, strict=True):
            pair = {}
            for speaker, clip in (("source", source), ("target", target)):
                flat = clip["keypoints"].reshape(len(clip["keypoints"]), -1)
                keypoints = self.statistics.standardise(speaker, "keypoints", flat)
                pair[f"{speaker}_mel"] = self.statistics.standardise(speaker, "mel", clip["mel"])
                pair[f"{speaker}_facial"] = np.concatenate([np.zeros((len(flat), N_VGG)), keypoints], axis=1)
            yield pair


@pytest.fixture(scope="module")
def records(root: Path) -> MemoryRecords:
    overrides = [f"acoustic.n_mels={N_MELS}", f"face.n_vgg={N_VGG}", f"image.size_px={SIZE_PX}"]
    config = load_config(root / "configs" / "demo.yaml", overrides)
    rng = np.random.default_rng(3)
    source = [_clip(rng.normal(size=(n, 3)), rng) for n in (60, 41, 77)]
    target = [_clip(clip["hidden"][:, ::-1] * 2 + 1, rng) for clip in source]
    fitter = StatisticsFitter()
    for speaker, clips in (("source", source), ("target", target)):
        for clip in clips:
            vgg = rng.normal(size=(len(clip["keypoints"]), N_VGG))
            fitter.add(speaker, mel=clip["mel"], vgg=vgg, keypoints=clip["keypoints"])
    return MemoryRecords(config, fitter.finish(), source, target)


def _clip(hidden: np.ndarray, rng: np.random.Generator) -> dict[str, Any]:
    """Mel, keypoints and pictures, all linear in three hidden variables a video frame."""
    fixed = np.random.default_rng(11)
    mel = hidden.repeat(8, axis=0) @ fixed.normal(size=(3, N_MELS)) - 4.0
    keypoints = (hidden @ fixed.normal(size=(3, 2 * N_KEYPOINTS))).reshape(len(hidden), N_KEYPOINTS, 2) + 100.0
    grey = np.clip(120 + 12 * hidden[:, :1], 0, 255).astype(np.uint8)
    frames = [
        cv2.imencode(".png", np.full((SIZE_PX, SIZE_PX, 3), level, np.uint8))[1].tobytes() for level in grey[:, 0]
    ]
    mel, keypoints = mel.astype(np.float32), keypoints.astype(np.float32)
    return {"hidden": hidden, "mel": mel, "keypoints": keypoints, "frames": frames, "grey": grey[:, 0]}


def test_answers_have_the_sources_length(records: MemoryRecords) -> None:
    trivial = TrivialAnswers(records)
    clip = records.source[1]
    for answer in (trivial.source(clip), trivial.mean(clip), trivial.band_match(clip), trivial.ridge(clip)):
        assert answer.mel.shape == (8 * 41, N_MELS)
        assert answer.keypoints.shape == (41, N_KEYPOINTS, 2)
        assert answer.frames is None or answer.frames.shape == (41, SIZE_PX, SIZE_PX, 3)


def test_ridge_answer_finds_the_target(records: MemoryRecords) -> None:
    answer, target = TrivialAnswers(records).ridge(records.source[2]), records.target[2]
    # ridge 100 against 178 frames of many copies of 3 variables: a few per cent of shrinking
    assert np.abs(answer.mel - target["mel"]).mean() < 0.1 * target["mel"].std()
    assert np.abs(answer.keypoints - target["keypoints"]).mean() < 0.1 * target["keypoints"].std()
    assert answer.frames is not None
    assert np.abs(answer.frames[:, 4, 7, 1].astype(float) - target["grey"]).mean() < 5.0


def test_band_match_has_the_targets_moments(records: MemoryRecords) -> None:
    trivial = TrivialAnswers(records)
    matched = np.concatenate([trivial.band_match(clip).mel for clip in records.source])
    wanted = np.concatenate([clip["mel"] for clip in records.target])
    assert np.allclose(matched.mean(axis=0), wanted.mean(axis=0), atol=1e-4)
    assert np.allclose(matched.std(axis=0), wanted.std(axis=0), rtol=1e-4)


def test_mean_answer_is_the_same_in_every_frame(records: MemoryRecords) -> None:
    answer = TrivialAnswers(records).mean(records.source[0])
    wanted = np.concatenate([clip["mel"] for clip in records.target]).mean(axis=0)
    assert np.allclose(answer.mel, wanted, atol=1e-4)
    assert answer.frames is not None and np.ptp(answer.frames, axis=0).max() == 0
    seen = np.concatenate([clip["grey"][::2] for clip in records.target])  # every second frame is taken
    assert answer.frames[0, 0, 0, 0] == np.rint(seen.mean())
