from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.media.audio import read_audio
from avsc_tf.provenance.sound_mark import PERIOD_SECONDS, detect_sound, mark_sound, scores_at_start

from .conftest import speech_like

PAYLOAD = 0xBEEF


@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 24_000, 44_100, 48_000])
def test_what_is_marked_is_found_at_every_rate(rate_hz) -> None:
    sound = speech_like(3.0, rate_hz)
    marked = mark_sound(sound, sample_rate_hz=rate_hz, payload=PAYLOAD)
    found = detect_sound(marked, sample_rate_hz=rate_hz)
    assert found.found and found.payload == PAYLOAD and found.place == "" and found.seconds == pytest.approx(3.0)
    assert not detect_sound(sound, sample_rate_hz=rate_hz).found
    assert marked.dtype == np.float32 and marked.shape == sound.shape


def test_the_mark_is_small() -> None:
    """Gains of 1.5 dB change a cell by at most 19 %: the difference lies at least 14 dB below the sound."""
    sound = speech_like(3.0, 16_000)
    change = mark_sound(sound, sample_rate_hz=16_000, payload=PAYLOAD) - sound
    assert 0 < np.mean(change**2) / np.mean(sound**2) < 10 ** (-14 / 10)


@pytest.mark.parametrize("start_seconds", [0.013, 0.5, 1.177])
def test_a_cut_piece_is_found_wherever_it_begins(start_seconds) -> None:
    marked = mark_sound(speech_like(4.0, 16_000), sample_rate_hz=16_000, payload=PAYLOAD)
    piece = marked[round(start_seconds * 16_000) :][: 2 * 16_000]
    found = detect_sound(piece, sample_rate_hz=16_000)
    assert found.found and found.payload == PAYLOAD


def test_another_key_finds_nothing() -> None:
    marked = mark_sound(speech_like(3.0, 16_000), sample_rate_hz=16_000, payload=PAYLOAD, key="a secret")
    assert not detect_sound(marked, sample_rate_hz=16_000).found
    assert detect_sound(marked, sample_rate_hz=16_000, key="a secret").payload == PAYLOAD


@pytest.mark.parametrize(
    "name", ["AAC 96 kb/s", "AAC 48 kb/s", "MP3 64 kb/s", "Opus 32 kb/s", "noise (20 dB, 8 levels)", "5 % faster"]
)
def test_codecs_and_noise_are_survived(attacks, rng, name) -> None:
    marked = mark_sound(speech_like(3.0, 48_000), sample_rate_hz=48_000, payload=PAYLOAD)
    after = attacks.ATTACKS[name][0](attacks.Clip(None, marked, 25, 48_000), rng)
    found = detect_sound(after.waveform, sample_rate_hz=after.sample_rate_hz)
    assert found.found and found.payload == PAYLOAD
    assert ("speed" in found.place) == (name == "5 % faster")


def test_a_marked_excerpt_in_a_long_recording_is_found() -> None:
    long = speech_like(40.0, 16_000, seed=3)
    long[20 * 16_000 : 28 * 16_000] = mark_sound(speech_like(8.0, 16_000), sample_rate_hz=16_000, payload=PAYLOAD)
    found = detect_sound(long, sample_rate_hz=16_000)
    assert found.found and found.payload == PAYLOAD and found.place in ("from 15 s", "from 20 s")


def test_silence_stays_silence_and_peaks_stay_below_full_scale() -> None:
    silence = np.zeros(16_000, np.float32)
    np.testing.assert_array_equal(mark_sound(silence, sample_rate_hz=16_000, payload=PAYLOAD), silence)
    loud = speech_like(2.0, 16_000)
    loud *= 0.95 / np.abs(loud).max()
    assert np.abs(mark_sound(loud, sample_rate_hz=16_000, payload=PAYLOAD)).max() <= 0.95 + 1e-6


@pytest.mark.parametrize("n_samples", [0, 1, 100, 16_000 // 4])
def test_very_short_sound_is_no_finding(n_samples) -> None:
    sound = speech_like(1.0, 16_000)[:n_samples]
    assert len(mark_sound(sound, sample_rate_hz=16_000, payload=PAYLOAD)) == n_samples
    assert not detect_sound(sound, sample_rate_hz=16_000).found
    assert not detect_sound(np.zeros(n_samples, np.float32), sample_rate_hz=16_000).found


def test_scores_of_chance_are_normal() -> None:
    """Over keys: 24 x 65536 sums of 24 x 512 independent values; the mean of their squares errs by about 0.02."""
    sound = speech_like(3.0, 16_000)
    squares, means = [], []
    for number in range(24):
        scores = scores_at_start(sound, sample_rate_hz=16_000, key=f"key {number}")
        sums = scores[0][:, None] + scores[1]
        squares.append(np.mean(sums**2))
        means.append(sums.mean())
    assert np.mean(means) == pytest.approx(0.0, abs=0.06)
    assert np.mean(squares) == pytest.approx(1.0, abs=0.08)


def test_real_speech_is_marked_and_unmarked_real_speech_is_not_suspected(shared_data) -> None:
    for path in sorted((shared_data / "vctk").glob("*.wav"))[::7]:
        sound = read_audio(path, sample_rate_hz=16_000)
        assert not detect_sound(sound, sample_rate_hz=16_000).found
        marked = mark_sound(sound, sample_rate_hz=16_000, payload=PAYLOAD)
        assert detect_sound(marked, sample_rate_hz=16_000).payload == PAYLOAD


def test_the_period_holds_whole_cells() -> None:
    assert pytest.approx(1.2) == PERIOD_SECONDS
