"""Figures of converted features: perfect where the answer is the target, and sound beside lips."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.evaluation.from_features import (
    answer_of,
    conversion_figures,
    source_streams,
    together_figures,
)
from avsc_tf.evaluation.rows import Answer


def test_the_right_answer_is_perfect(sentences, feature_statistics, feature_config):
    for sentence in sentences:
        answer = answer_of(source_streams(sentence, feature_statistics), feature_statistics, feature_config)
        found = conversion_figures(answer, sentence, feature_config)
        assert found["mcd_db"] < 1e-3 and found["lip_error"] < 1e-4  # float32 there and back
        assert found["opening_r"] == pytest.approx(1, abs=1e-5)


def test_sound_and_lips_that_move_together(feature_config, rng):
    """Loudness follows the opening three frames later."""
    n = 60
    keypoints = np.tile(rng.uniform(80, 170, (1, 70, 2)), (n, 1, 1))
    keypoints[:, 36], keypoints[:, 45] = (90, 100), (166, 100)
    wave = np.cumsum(rng.normal(size=n + 3))
    keypoints[:, 51], keypoints[:, 62], keypoints[:, 57] = (128, 140), (128, 142), (128, 150)
    keypoints[:, 66] = np.column_stack([np.full(n, 128), 146 + 0.2 * wave[3:]])
    mel = np.repeat(wave[:n], 8)[:, None] + np.zeros((1, 80))
    found = together_figures(Answer(mel, keypoints), np.ones(n, bool), feature_config)
    assert found["lag_size"] == 3
    still = together_figures(Answer(mel, np.tile(keypoints[:1], (n, 1, 1))), np.ones(n, bool), feature_config)
    assert np.isnan(still["sound_lips_r"])
