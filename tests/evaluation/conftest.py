"""Held-out sentences with known features, for what is measured on features alone."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.core.config import Config, load_config
from avsc_tf.evaluation.held_out import Sentence, bring
from avsc_tf.evaluation.rows import Answer
from avsc_tf.evaluation.timeline import Label, map_from_labels
from avsc_tf.features.statistics import Statistics
from avsc_tf.measures.lip_correlation import LipCorrelation

EMOTIONS = ("neutral", "neutral", "anger_strong")
LENGTHS = (31, 42, 37)
N_VGG, N_MELS = 6, 80


@pytest.fixture(scope="session")
def feature_config(root) -> Config:
    return load_config(root / "configs" / "demo.yaml", [f"face.n_vgg={N_VGG}", "conversion.modality_dropout=0"])


@pytest.fixture(scope="session")
def feature_statistics() -> Statistics:
    rng = np.random.default_rng(11)
    sizes = {"mel": N_MELS, "vgg": N_VGG, "keypoints": 140}
    return Statistics(
        {
            speaker: {
                name: (rng.normal(size=n).astype(np.float32), rng.uniform(0.5, 2, n).astype(np.float32))
                for name, n in sizes.items()
            }
            for speaker in ("source", "target")
        }
    )


@pytest.fixture(scope="session")
def sentences(feature_config, feature_statistics) -> list[Sentence]:
    """Source and target say the same on one clock; the target's standardised features are the source's."""
    timebase, rng = feature_config.timebase, np.random.default_rng(12)
    made = []
    for i, (emotion, n) in enumerate(zip(EMOTIONS, LENGTHS, strict=True)):
        same = {"mel": rng.normal(size=(8 * n, N_MELS)), "vgg": rng.normal(size=(n, N_VGG))}
        same["keypoints"] = rng.normal(size=(n, 140))
        clips = {}
        for speaker in ("source", "target"):
            clip = {name: feature_statistics.restore(speaker, name, x) for name, x in same.items()}
            clip["keypoints"] = clip["keypoints"].reshape(n, 70, 2)
            clip |= {"utterance": f"u{i}", "emotion": emotion, "sentence": f"s{i}"}
            clips[speaker] = clip
        labels = [Label("_", 0.0, 0.12), Label("a", 0.12, 0.6), Label("o", 0.6, n / 25 - 0.1)]
        time_map = map_from_labels(labels, labels, origin="phone times", name="x")
        own = Answer(clips["target"]["mel"], clips["target"]["keypoints"])
        path = np.stack([np.arange(n)] * 2, axis=1)
        made.append(Sentence(**clips, path=path, time_map=time_map, reference=bring(own, time_map, n, timebase),
                             timebase=timebase))  # fmt: skip
    return made


class Talker:
    """Three movements of the mouth that mel and lips share; each side has movements and noise of its own."""

    N_SHARED = 3

    def __init__(self, seed: int):
        rng = np.random.default_rng(seed)
        self.to_mel = rng.normal(size=(self.N_SHARED + 3, 80))
        self.to_lips = rng.normal(size=(self.N_SHARED + 2, 40))

    def says(self, n_frames: int, seed: int, *, late_frames: float = 0.0, drift: float = 0.0) -> tuple:
        """mel [n, 80] and lips [n, 40]; the lips come `late_frames` and `drift` frames a frame after the sound."""
        rng = np.random.default_rng(seed)
        fine = 8  # steps a frame
        raw = rng.normal(size=(fine * (n_frames + 60), self.N_SHARED))
        kernel = np.hanning(4 * fine + 1)  # a movement lasts about four frames
        moves = np.apply_along_axis(np.convolve, 0, raw, kernel / np.linalg.norm(kernel), "same")
        t = np.arange(n_frames)
        clock = np.arange(len(moves)) / fine - 30
        heard, seen = (
            np.column_stack([np.interp(at, clock, move) for move in moves.T]) for at in (t, t - late_frames - drift * t)
        )
        heard = np.column_stack([heard, rng.normal(size=(n_frames, 3))])
        seen = np.column_stack([seen, rng.normal(size=(n_frames, 2))])
        mel = heard @ self.to_mel + 0.5 * rng.normal(size=(n_frames, 80))
        lips = seen @ self.to_lips + 0.5 * rng.normal(size=(n_frames, 40))
        return mel, 0.01 * lips + 0.3  # eye distances


@pytest.fixture(scope="session")
def talker_of() -> type[Talker]:
    """`talker_of(seed)`: a made talker, for what is measured between sound and lips."""
    return Talker


@pytest.fixture(scope="session")
def talker() -> Talker:
    return Talker(1)


@pytest.fixture(scope="session")
def fitted(talker: Talker) -> LipCorrelation:
    """On twelve sentences of the talker."""
    return LipCorrelation.fit([talker.says(100 + k, k) for k in range(12)])
