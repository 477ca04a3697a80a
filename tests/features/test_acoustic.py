"""Mel spectrogram against librosa, and its frame count by hand."""

from __future__ import annotations

import dataclasses

import librosa
import numpy as np
import pytest

from avsc_tf.core.config import AcousticConfig
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.acoustic import hann_window, mel_filterbank, mel_spectrogram

PAPER = AcousticConfig(n_mels=80, window_ms=25, fft_length=2048, fmin_hz=0, fmax_hz=8000, log_floor=1e-4)
TIMEBASE = Timebase(25, 48000, 240)


def _librosa_mel(waveform: np.ndarray, acoustic: AcousticConfig, timebase: Timebase) -> np.ndarray:
    return librosa.feature.melspectrogram(
        y=waveform,
        sr=timebase.sample_rate_hz,
        n_fft=acoustic.fft_length,
        win_length=round(timebase.sample_rate_hz * acoustic.window_ms / 1000),
        hop_length=timebase.hop_samples,
        power=1,
        n_mels=acoustic.n_mels,
        fmin=acoustic.fmin_hz,
        fmax=acoustic.fmax_hz,
    ).T


@pytest.mark.parametrize(
    "acoustic, timebase",
    [
        (PAPER, TIMEBASE),
        (dataclasses.replace(PAPER, n_mels=40, window_ms=40, fmin_hz=60, fmax_hz=7000), TIMEBASE),
        (dataclasses.replace(PAPER, fft_length=512, n_mels=33), Timebase(25, 16000, 80)),
    ],
)
def test_equals_librosa(rng, acoustic, timebase):
    waveform = rng.normal(0, 0.1, timebase.samples_in(7)).astype(np.float32)
    ours = np.exp(mel_spectrogram(waveform, acoustic, timebase))
    theirs = _librosa_mel(waveform, acoustic, timebase)[:56]
    assert theirs.min() > acoustic.log_floor  # the floor plays no part here
    # both compute in float32
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * theirs.max())


@pytest.mark.parametrize("n_samples, n_mel", [(1920, 8), (3839, 8), (3840, 16), (48000, 200), (142920, 592)])
def test_eight_frames_a_video_frame(n_samples, n_mel):
    mel = mel_spectrogram(np.zeros(n_samples, np.float32), PAPER, TIMEBASE)
    assert mel.shape == (n_mel, 80)
    assert mel.dtype == np.float32


def test_silence_is_the_floor():
    mel = mel_spectrogram(np.zeros(3840, np.float32), PAPER, TIMEBASE)
    np.testing.assert_allclose(mel, np.log(1e-4), rtol=1e-6)  # float32


def test_frame_k_is_centred_on_sample_k_hops():
    waveform = np.zeros(9600, np.float32)
    waveform[20 * 240] = 1
    mel = mel_spectrogram(waveform, PAPER, TIMEBASE)
    # 600 samples on each side: frames 18 to 22 see the click, the 20th with the window's top
    assert np.flatnonzero(mel.max(axis=1) > np.log(1e-4) + 1e-6).tolist() == [18, 19, 20, 21, 22]
    assert mel[:, 40].argmax() == 20
    np.testing.assert_allclose(mel[19], mel[21], rtol=1e-5)  # the window is symmetric, float32


def test_block_boundaries_leave_no_trace(rng):
    """260 video frames are 2080 mel frames, several blocks: shifting by a video frame shifts the mel by 8 frames."""
    waveform = rng.normal(0, 0.1, TIMEBASE.samples_in(261)).astype(np.float32)
    whole = mel_spectrogram(waveform, PAPER, TIMEBASE)
    shifted = mel_spectrogram(waveform[1920:], PAPER, TIMEBASE)
    np.testing.assert_allclose(whole[16:2080], shifted[8:2072], rtol=1e-5)  # first frames see other edges; float32


def test_a_tone_falls_into_its_band():
    tone = np.sin(2 * np.pi * 1000 * np.arange(9600) / 48000).astype(np.float32)
    mel = mel_spectrogram(tone, PAPER, TIMEBASE)[20]
    centres_hz = librosa.mel_frequencies(n_mels=82, fmin=0, fmax=8000)[1:-1]
    assert abs(centres_hz[mel.argmax()] - 1000) < 25  # half the bands' distance at 1 kHz


def test_filterbank_is_cached_and_read_only():
    bank = mel_filterbank(PAPER, 48000)
    assert bank.shape == (80, 1025)
    assert mel_filterbank(PAPER, 48000) is bank
    assert not bank.flags.writeable
    assert hann_window(PAPER, 48000).shape == (1200,)


@pytest.mark.parametrize("shape", [(1919,), (2, 1920)])
def test_too_short_or_not_mono(shape):
    with pytest.raises(ValueError, match="waveform has"):
        mel_spectrogram(np.zeros(shape, np.float32), PAPER, TIMEBASE)
