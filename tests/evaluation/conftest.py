"""Held-out sentences with known features, for what is measured on features alone."""

from __future__ import annotations

import numpy as np
import pytest
from talkers import fitted, talker, talker_of  # noqa: F401  fixtures

from avsc_tf.core.config import Config, load_config
from avsc_tf.evaluation.held_out import Sentence, bring
from avsc_tf.evaluation.rows import Answer
from avsc_tf.evaluation.timeline import Label, map_from_labels
from avsc_tf.features.statistics import Statistics

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
