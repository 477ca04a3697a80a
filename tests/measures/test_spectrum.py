"""Measures of a mel spectrogram against cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.measures import spectrum

N_FRAMES, N_MELS = 37, 80


@pytest.fixture
def log_mel(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(-4.0, 1.5, (N_FRAMES, N_MELS))


def test_distortion_of_a_known_cepstral_offset(log_mel: np.ndarray) -> None:
    a, n = 0.3, 5
    offset = a * np.cos(np.pi * n * (np.arange(N_MELS) + 0.5) / N_MELS)  # adds a to c5 of every frame
    assert np.allclose(spectrum.mel_cepstrum(log_mel + offset) - spectrum.mel_cepstrum(log_mel), a * np.eye(24)[n - 1])
    # root mean square of the offset over the bands is a / sqrt 2, in decibels 20 / ln 10 times that
    expected_db = 20 / np.log(10) * a / np.sqrt(2)
    assert spectrum.mel_cepstral_distortion_db(log_mel + offset, log_mel) == pytest.approx(expected_db)


def test_distortion_ignores_loudness_and_detail_above_c24(log_mel: np.ndarray) -> None:
    detail = np.cos(np.pi * 30 * (np.arange(N_MELS) + 0.5) / N_MELS)
    assert spectrum.mel_cepstral_distortion_db(log_mel + 1.7 + detail, log_mel) == pytest.approx(0.0, abs=1e-12)
    assert spectrum.log_mel_l1(log_mel + 1.7, log_mel) == pytest.approx(1.7)


def test_no_frames_give_nan() -> None:
    empty = np.zeros((0, N_MELS))
    assert np.isnan(spectrum.mel_cepstral_distortion_db(empty, empty))
    assert np.isnan(spectrum.log_mel_l1(empty, empty))
