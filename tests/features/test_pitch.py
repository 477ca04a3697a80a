"""Pitch decoding and lag taps by hand; the packaged estimator on signals of known pitch."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.core.config import load_config
from avsc_tf.core.errors import BundleError
from avsc_tf.features import pitch as p
from avsc_tf.features.acoustic import mel_spectrogram

HOP, RATE_HZ = 80, 16000


def _logits_around(bins: np.ndarray) -> np.ndarray:
    return -0.5 * ((np.arange(p.N_BINS) - bins[:, None]) / 1.2) ** 2


def test_bins_span_the_range_in_even_cents():
    steps = 1200 * np.log2(p.BINS_HZ[1:] / p.BINS_HZ[:-1])
    np.testing.assert_allclose(steps, p.BIN_CENTS)
    assert p.BINS_HZ[0] == p.LOWEST_F0_HZ and p.HIGHEST_F0_HZ / p.BINS_HZ[-1] < 2 ** (p.BIN_CENTS / 1200)


def test_decoding_finds_pitch_between_bins():
    bins = np.linspace(40.3, 90.8, 120)  # a glide of 8 cents a frame
    f0_hz = p.decode_bins(_logits_around(bins), np.ones(120))
    expected = p.LOWEST_F0_HZ * 2 ** (bins * p.BIN_CENTS / 1200)
    assert np.abs(1200 * np.log2(f0_hz / expected)).max() < 1  # the window of 7 bins cuts the sides evenly


def test_best_path_is_the_best_of_all_paths(rng):
    score = rng.normal(size=(4, 5))
    paths = np.stack(np.meshgrid(*[range(5)] * 4, indexing="ij"), -1).reshape(-1, 4)
    totals = score[np.arange(4), paths].sum(1) - p.JUMP_COST * (np.diff(paths, axis=1) ** 2).sum(1)
    assert p._best_path(score).tolist() == paths[totals.argmax()].tolist()


def test_unvoiced_frames_do_not_pull_the_path():
    bins = np.full(40, 60.0)
    bins[10:20] = 90.0  # an outlier, but unvoiced
    voicing = np.ones(40)
    voicing[10:20] = 0.0
    f0_hz = p.decode_bins(_logits_around(bins), voicing)
    voiced = p.BINS_HZ[60]
    assert np.abs(1200 * np.log2(f0_hz[:10] / voiced)).max() < 5
    assert np.abs(1200 * np.log2(f0_hz[20:] / voiced)).max() < 5


def test_lag_is_the_period_and_0_where_unvoiced():
    pitch = p.Pitch(np.array([160, 160, 200, 200], np.float32), np.array([1, 1, 1, 0], np.float32))
    lag = p.lag_samples(pitch, hop_samples=HOP, sample_rate_hz=RATE_HZ)
    assert lag.shape == (4 * HOP,)
    assert (lag[: HOP + 1] == 100).all()  # 16000 / 160
    assert lag[int(1.5 * HOP)] == round(16000 / 180)  # half way between the centres of frames 1 and 2
    assert (lag[2 * HOP : 3 * HOP] == 80).all() and not lag[3 * HOP :].any()


def test_lag_always_leaves_all_taps_in_the_past():
    pitch = p.Pitch(np.full(2, 450.0, np.float32), np.ones(2, np.float32))
    lag = p.lag_samples(pitch, hop_samples=5, sample_rate_hz=1000)
    assert lag.min() + min(-o for o in p.LAG_OFFSETS) >= 1


def test_lag_taps_read_one_period_before(rng):
    past = rng.normal(size=500).astype(np.float32)
    lag = np.full(90, 37, np.int32)
    lag[50:] = 0
    taps = p.lag_taps(past, lag, 120, silence=0.25)
    for t in (0, 13, 49):
        assert taps[t].tolist() == [past[120 + t - 37 + o] for o in p.LAG_OFFSETS]
    assert (taps[50:] == 0.25).all()
    early = p.lag_taps(past, np.full(60, 37, np.int32), 0, silence=0.25)
    assert (early[:35] == 0.25).all() and early[39].tolist() == past[0:5].tolist()


def test_condition_marks_voicing_and_hides_unvoiced_pitch():
    pitch = p.Pitch(np.array([160, 320, 320], np.float32), np.array([1, 0.9, 0.2], np.float32))
    condition = p.pitch_condition(pitch)
    np.testing.assert_allclose(condition, [[0, 1], [2 * np.log(2), 0.8], [0, -0.6]], atol=1e-6)


def test_missing_estimator_is_one_clear_error(tmp_path):
    with pytest.raises(BundleError, match="pitch estimator missing"):
        p.PitchEstimator.load(tmp_path / "none.npz")


def test_saved_estimator_says_the_same(rng, tmp_path):
    estimator = p.PitchEstimator.load(p.PACKAGED_PITCH)
    estimator.save(tmp_path / "pitch.npz")
    mel = rng.normal(-5, 2, size=(20, 80)).astype(np.float32)
    np.testing.assert_array_equal(p.PitchEstimator.load(tmp_path / "pitch.npz").logits(mel), estimator.logits(mel))


@pytest.mark.parametrize("f0_hz", [110.0, 170.0, 240.0])
def test_packaged_estimator_reads_a_buzz(f0_hz, root):
    """A pulse train with falling harmonics and a little noise, 48 kHz; pulses alike were part of its training.

    Not below 105 Hz: a 25 ms window does not part such harmonics, and their beat, seen every 5 ms, is that of another
    pitch as far above 100 Hz.
    """
    config = load_config(root / "configs" / "demo.yaml")
    timebase, rng = config.timebase, np.random.default_rng(2)
    t = np.arange(48000) / 48000
    buzz = sum(np.cos(2 * np.pi * f0_hz * k * t + k) / k for k in range(1, int(7000 / f0_hz)))
    waveform = np.concatenate([0.05 * buzz, np.zeros(24000)]) + 1e-4 * rng.normal(size=72000)
    found = p.PitchEstimator.load(p.PACKAGED_PITCH)(mel_spectrogram(waveform, config.acoustic, timebase))
    middle = slice(20, 180)
    error_cents = 1200 * np.log2(found.f0_hz[middle] / f0_hz)
    assert np.median(np.abs(error_cents)) < 30  # the gate of copy synthesis
    assert found.is_voiced[middle].mean() > 0.9
    assert found.is_voiced[220:].mean() < 0.1
