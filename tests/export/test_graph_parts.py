"""What the graphs compute anew, each against the NumPy code that it stands for."""

from __future__ import annotations

import numpy as np
import pytest
import soxr
import tensorflow as tf

from avsc_tf.core.config import load_config
from avsc_tf.export.matching import MelMatching, can_match, resampler
from avsc_tf.export.side_information import PitchReader, PredictionFilter
from avsc_tf.export.smoothing import smooth_keypoints as smooth_keypoints_in_graph
from avsc_tf.export.smoothing import smooth_tracks
from avsc_tf.export.waveforms import de_emphasised
from avsc_tf.features import pitch
from avsc_tf.features.crop import smooth_track
from avsc_tf.features.linear_prediction import prediction_coefficients
from avsc_tf.features.smoothing import smooth_keypoints
from avsc_tf.signal.companding import de_emphasise
from avsc_tf.vocoder.mel_matching import match_mel


@pytest.mark.parametrize("n_frames", [1, 2, 3, 4, 5, 23])
@pytest.mark.parametrize("frames", [0.5, 2.0, 12.0])
def test_smoothing_solves_the_same_equations(rng, n_frames: int, frames: float) -> None:
    tracks = rng.normal(100, 20, (n_frames, 3))
    wanted = np.stack([smooth_track(column, frames) for column in tracks.T], axis=1)
    # Float64; the matrix's condition is 1 + 16 frames^4, here up to 3e5: 1e-16 of 100 times that is 4e-9.
    np.testing.assert_allclose(smooth_tracks(tf.constant(tracks), frames), wanted, rtol=0, atol=1e-8)


@pytest.mark.parametrize("n_frames", [1, 2, 3, 17])
@pytest.mark.parametrize(("head", "face"), [(2.0, 0.0), (0.0, 1.5), (2.0, 1.5)])
def test_steadying(rng, n_frames: int, head: float, face: float) -> None:
    keypoints = (rng.uniform(40, 200, (70, 2)) + rng.normal(0, 3, (n_frames, 70, 2))).astype(np.float32)
    wanted = smooth_keypoints(keypoints, head_frames=head, face_frames=face)
    found = smooth_keypoints_in_graph(tf.constant(keypoints), head_frames=head, face_frames=face)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3.1e-5)  # two last places of a float32 beyond 128


@pytest.fixture(scope="module")
def log_mel(root):
    """Of a buzz whose pitch falls from 190 to 110 Hz, in noise; the first third is noise alone."""
    from avsc_tf.features.acoustic import mel_spectrogram

    config = load_config(root / "configs" / "demo.yaml")
    rng, timebase = np.random.default_rng(4), config.timebase
    n_samples = timebase.samples_in(29)
    phase = 2 * np.pi * np.cumsum(np.linspace(190, 110, n_samples)) / timebase.sample_rate_hz
    buzz = sum(np.cos(k * phase + k) / k for k in range(1, 30)) * (np.arange(n_samples) > n_samples / 3)
    waveform = (0.1 * buzz + 0.001 * rng.normal(size=n_samples)).astype(np.float32)
    return mel_spectrogram(waveform, config.acoustic, timebase)


def test_pitch(log_mel) -> None:
    estimator = pitch.PitchEstimator.load(pitch.PACKAGED_PITCH)
    wanted, found = estimator(log_mel), PitchReader(estimator)(tf.constant(log_mel))
    assert 0.3 < wanted.is_voiced.mean() < 0.9
    # Three convolutions in float32: logits of some 10 to 1e-5 of that; F0 is a mean over the bins that they weigh.
    np.testing.assert_allclose(found.voicing, wanted.voicing, rtol=0, atol=1e-4)
    np.testing.assert_allclose(found.f0_hz, wanted.f0_hz, rtol=2e-5)
    np.testing.assert_allclose(found.condition(), pitch.pitch_condition(wanted), rtol=0, atol=2e-4)
    rates = {"hop_samples": 80, "sample_rate_hz": 16000}
    apart = np.abs(found.lag(**rates).numpy() - pitch.lag_samples(wanted, **rates))
    assert apart.max() <= 1 and (apart > 0).mean() < 0.01  # a period at half a sample rounds to either side


def test_pitch_of_one_voice_only(rng) -> None:
    """Noise: the path through unvoiced frames is the same one."""
    estimator = pitch.PitchEstimator.load(pitch.PACKAGED_PITCH)
    mel = rng.normal(-5, 2, (16, 80)).astype(np.float32)
    np.testing.assert_allclose(PitchReader(estimator)(tf.constant(mel)).f0_hz, estimator(mel).f0_hz, rtol=2e-5)


@pytest.mark.parametrize("order", [1, 16])
def test_prediction_filter(root, log_mel, order: int) -> None:
    config = load_config(root / "configs" / "demo.yaml", [f"wavenet.prediction_order={order}"])
    wanted, found = prediction_coefficients(log_mel, config), PredictionFilter(config)(tf.constant(log_mel)).numpy()
    assert found.shape == wanted.shape == (29 * 8, order)
    # Float64; the matrices' condition is bounded by WHITE_NOISE to about 1e4 times the spectrum's range.
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("rate_hz", "passes"), [(16000, 1), (16000, 20), (24000, 2), (48000, 2)])
def test_mel_matching(root, log_mel, rng, rate_hz: int, passes: int) -> None:
    """Noise, brought to the buzz."""
    overrides = [f"wavenet.sample_rate_hz={rate_hz}", f"wavenet.mel_matching_passes={passes}"]
    config = load_config(root / "configs" / "demo.yaml", overrides)
    assert can_match(config)
    noise = rng.normal(0, 0.05, len(log_mel) * rate_hz // 200).astype(np.float32)
    wanted = match_mel(noise, log_mel, config, passes=passes)
    found = MelMatching(config)(tf.constant(noise), tf.constant(log_mel)).numpy()
    assert np.abs(wanted - noise).max() > 0.05
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-6)  # float32 spectra; found 2e-7 apart


def test_other_rates_are_not_matched(root) -> None:
    """Six times, and no whole multiple."""
    for rate_hz in (8000, 32000):
        assert not can_match(load_config(root / "configs" / "demo.yaml", [f"wavenet.sample_rate_hz={rate_hz}"]))


@pytest.mark.parametrize("ratio", [2, 3])
def test_the_resampler_is_soxrs(rng, ratio: int) -> None:
    up, down = resampler(ratio)
    low, high = rng.normal(0, 0.1, 700).astype(np.float32), rng.normal(0, 0.1, 700 * ratio).astype(np.float32)
    found_up = tf.reshape(tf.nn.conv1d(low[None, :, None], up.astype(np.float32), 1, "SAME"), [-1])
    found_down = tf.nn.conv1d(high.reshape(1, -1, ratio), down.astype(np.float32), 1, "SAME")[0, :, 0]
    # soxr computes in float32 itself, 20 bits of which its HQ promises: 1e-6 of full scale.
    np.testing.assert_allclose(found_up, soxr.resample(low, 1, ratio, quality="HQ"), rtol=0, atol=1e-6)
    np.testing.assert_allclose(found_down, soxr.resample(high, ratio, 1, quality="HQ"), rtol=0, atol=1e-6)


@pytest.mark.parametrize("coefficient", [0.0, 0.85, 0.97])
@pytest.mark.parametrize(("n_blocks", "block"), [(1, 7), (5, 3), (4, 80)])
def test_de_emphasis(rng, coefficient: float, n_blocks: int, block: int) -> None:
    linear = rng.normal(0, 0.1, (3, n_blocks * block)).astype(np.float32)
    wanted = np.stack([de_emphasise(row, coefficient) for row in linear])
    found = de_emphasised(tf.constant(linear), coefficient, block=block)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=3e-7)  # float64 rounded once: a last place of 1 to 4
