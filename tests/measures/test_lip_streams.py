"""A mel frame is where its video frame is, and lips are free of the head."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from avsc_tf.core.errors import MediaError
from avsc_tf.measures.lip_streams import sync_streams

FPS = 25


@pytest.fixture
def keypoints(rng: np.random.Generator) -> np.ndarray:
    points = np.tile(rng.uniform(80, 170, (1, 70, 2)), (9, 1, 1))
    points[:, 36], points[:, 45] = (90, 100), (166, 104)
    points[:, 48:68] += rng.normal(0, 3, (9, 20, 2))
    return points


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
def test_mel_of_a_frame_is_of_that_frames_sound_alone(keypoints: np.ndarray, rate: int) -> None:
    per_frame = rate // FPS
    waveform = np.zeros(9 * per_frame + 11, np.float32)
    waveform[4 * per_frame + per_frame // 2] = 1.0  # a click in the middle of frame 4
    mel, lips = sync_streams(waveform, rate, keypoints, FPS)
    assert mel.shape == (9, 80) and lips.shape == (9, 40)
    quiet = np.log(1e-4)
    assert np.allclose(np.delete(mel, 4, axis=0), quiet) and (mel[4] > quiet).any()


def test_mel_equals_librosas(keypoints: np.ndarray, rng: np.random.Generator) -> None:
    waveform = rng.normal(0, 0.1, 9 * 1920)
    mel, _ = sync_streams(waveform, 48000, keypoints, FPS)
    padded = np.pad(waveform, 64)  # librosa lays the window of 1920 into the middle of 2048 samples
    spectrum = {"n_fft": 2048, "win_length": 1920, "hop_length": 1920, "center": False, "power": 1.0}
    expected = librosa.feature.melspectrogram(y=padded, sr=48000, **spectrum, n_mels=80, fmin=0, fmax=8000)
    assert mel == pytest.approx(np.log(np.maximum(expected.T, 1e-4)), abs=1e-4)  # float32 against float64


def test_head_motion_does_not_move_the_lips(keypoints: np.ndarray, rng: np.random.Generator) -> None:
    waveform = rng.normal(0, 0.1, 9 * 640)
    turn = np.exp(1j * rng.uniform(-0.3, 0.3, 9)) * rng.uniform(0.5, 2, 9)
    moved = (keypoints[..., 0] + 1j * keypoints[..., 1]) * turn[:, None] + rng.normal(0, 20, (9, 1))
    moved = np.stack([moved.real, moved.imag], axis=-1)
    assert np.allclose(*(sync_streams(waveform, 16000, k, FPS)[1] for k in (keypoints, moved)))


def test_frames_without_a_face_have_no_lips(keypoints: np.ndarray) -> None:
    found = np.arange(9) != 3
    _, lips = sync_streams(np.zeros(6 * 640), 16000, keypoints, FPS, found=found)
    assert np.isnan(lips).all(axis=1).tolist() == [False, False, False, True, False, False]
    keypoints[1] = np.nan
    _, lips = sync_streams(np.zeros(6 * 640), 16000, keypoints, FPS)
    assert np.isnan(lips).all(axis=1).tolist() == [False, True, False, False, False, False]


def test_what_cannot_be_laid_side_by_side_is_refused(keypoints: np.ndarray) -> None:
    with pytest.raises(MediaError, match="22050 Hz is no whole number of samples a frame at 24 fps"):
        sync_streams(np.zeros(22050), 22050, keypoints, 24)
    with pytest.raises(MediaError, match="300 samples and 9 pictures"):
        sync_streams(np.zeros(300), 16000, keypoints, FPS)
