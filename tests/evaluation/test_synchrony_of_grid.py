"""Synchrony of a real speaker: told from delay, from another speaker's sound, and from a frozen face."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avsc_tf.core.config import load_config
from avsc_tf.features.face import face_clip
from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.measures.lip_correlation import LipCorrelation
from avsc_tf.measures.lip_streams import sync_streams
from avsc_tf.measures.sync import offset
from avsc_tf.media.audio import read_audio
from avsc_tf.media.clips import load_clip
from avsc_tf.media.sources import single_clip

N_TRAIN, N_HELD_OUT = 12, 4
Clip = tuple[np.ndarray, np.ndarray]  # waveform, keypoints


@pytest.fixture(scope="module")
def clips(root: Path, shared_data: Path) -> list[Clip]:
    config = load_config(root / "configs" / "grid.yaml")
    timebase = config.timebase
    paths = sorted((shared_data / "grid" / "s1").glob("*.mpg"))[:: 198 // (N_TRAIN + N_HELD_OUT)]
    found = []
    with FaceTracker(config.face.min_detection_confidence) as tracker:
        for path in paths[: N_TRAIN + N_HELD_OUT]:
            clip = load_clip(single_clip(path), timebase)
            found.append((clip.waveform, face_clip(clip.frames, tracker, config.face, fps=25).keypoints))
    return found


@pytest.fixture(scope="module")
def fitted(clips: list[Clip]) -> LipCorrelation:
    return LipCorrelation.fit([sync_streams(w, 48000, k, 25) for w, k in clips[:N_TRAIN]])


@pytest.mark.slow
def test_a_real_speaker(clips: list[Clip], fitted: LipCorrelation, shared_data: Path) -> None:
    stranger = read_audio(sorted((shared_data / "grid" / "other_speakers").glob("*.mpg"))[0], sample_rate_hz=48000)
    by_row: dict[str, list[float]] = {"in step": [], "3 frames late": [], "stranger's sound": [], "null": []}
    errors = []
    for waveform, keypoints in clips[N_TRAIN:]:
        late = np.pad(waveform, (0, 3 * 1920))[3 * 1920 :]  # the sound earlier: the lips later
        streams = {
            "in step": sync_streams(waveform, 48000, keypoints, 25),
            "3 frames late": sync_streams(late, 48000, keypoints, 25),
            "stranger's sound": sync_streams(stranger, 48000, keypoints, 25),
        }
        for row, pair in streams.items():
            by_row[row].append(fitted.score(*pair))
        by_row["null"].append(float(fitted.null(*streams["in step"]).mean()))
        errors.append(offset(*fitted.variates(*streams["3 frames late"]), weights=fitted.weights).frames - 3)
    mean = {row: float(np.mean(values)) for row, values in by_row.items()}
    assert mean["in step"] > 0.55 and mean["null"] < 0.1  # 99 sentences: 0.74 with a deviation of 0.1; -0.2
    assert mean["3 frames late"] < mean["in step"] - 0.2 and mean["stranger's sound"] < mean["in step"] - 0.15
    assert np.median(np.abs(errors)) < 1  # frames: 94 of 100 offsets of single sentences are found within one


@pytest.mark.slow
def test_a_frozen_face_of_a_real_speaker(clips: list[Clip], fitted: LipCorrelation) -> None:
    waveform, keypoints = clips[-1]
    still = np.tile(keypoints[:1], (len(keypoints), 1, 1))
    assert np.isnan(fitted.score(*sync_streams(waveform, 48000, still, 25)))
