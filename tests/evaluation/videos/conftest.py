"""Finished videos of made people, and the same ones spoiled."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avsc_tf.core.config import FaceConfig, load_config
from avsc_tf.demo.speakers.corpus import make_corpus
from avsc_tf.evaluation.videos.watched import FPS, SAMPLE_RATE_HZ, Watched, watch
from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.media.mux import write_video

EMOTIONS = ("neutral", "anger_strong")
N_SENTENCES = 3


@pytest.fixture(scope="session")
def face(root: Path) -> FaceConfig:
    return load_config(root / "configs" / "paper.yaml").face


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders source, target and second_take, the same sentences in each."""
    out = tmp_path_factory.mktemp("clips")
    make_corpus(out, emotions=EMOTIONS, sentences_per_emotion=N_SENTENCES, held_out_per_emotion=1, size_px=160, seed=3,
                progress=False)  # fmt: skip
    return out


@pytest.fixture(scope="session")
def tracker(face: FaceConfig):
    with FaceTracker(face.min_detection_confidence) as tracker:
        yield tracker


@pytest.fixture(scope="session")
def target(corpus: Path, tracker: FaceTracker, face: FaceConfig) -> Watched:
    return watch(corpus / "target" / "neutral_00.mp4", tracker, face)


@pytest.fixture(scope="session")
def source(corpus: Path, tracker: FaceTracker, face: FaceConfig) -> Watched:
    return watch(corpus / "source" / "neutral_00.mp4", tracker, face)


def write(path: Path, frames: np.ndarray, waveform: np.ndarray | None) -> Path:
    """Pictures and sound of a watched video as a file."""
    write_video(path, frames, waveform, fps=FPS, sample_rate_hz=SAMPLE_RATE_HZ)
    return path
