"""Every measure of a voice moves the right way when made speech is spoiled, and stays where its recipe is blind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import soundfile

from avsc_tf.core.config import load_config
from avsc_tf.demo.speakers.sentences import romaji_phones
from avsc_tf.demo.speakers.speech import synthesize
from avsc_tf.demo.speakers.voices import EMOTIONS, VOICES
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.measures import speaker_identity, spectrum, voice
from avsc_tf.measures.duration import duration_agreement
from avsc_tf.measures.loudness import loudness_difference_db
from avsc_tf.measures.mel_cepstrum import waveform_distortion
from avsc_tf.measures.pitch_contour import PitchAgreement, pitch_agreement
from avsc_tf.signal.speech import audible_frames

RATE_HZ = 48_000
SENTENCE = "kyouwa, akai sakana o tabemashita"


def speak(speaker: str, *, seed: int = 1, emotion: str = "neutral", **changes: float) -> np.ndarray:
    voice_ = replace(VOICES[speaker], **changes)
    rng = np.random.default_rng(seed)
    return synthesize(romaji_phones(SENTENCE), voice_, EMOTIONS[emotion], rng=rng, sample_rate_hz=RATE_HZ).waveform


def noisy(waveform: np.ndarray, level: float) -> np.ndarray:
    return waveform + np.random.default_rng(5).normal(0, level, len(waveform)).astype(np.float32)


def distortion_db(waveform: np.ndarray, reference: np.ndarray) -> float:
    return waveform_distortion(waveform, reference, RATE_HZ).mean_db


@pytest.fixture(scope="module")
def natural() -> np.ndarray:
    return speak("target")


@pytest.fixture(scope="module")
def second_take() -> np.ndarray:
    return speak("target", seed=2)


@pytest.fixture(scope="module")
def track(natural) -> voice.PitchTrack:
    return voice.track_pitch(natural, RATE_HZ)


@pytest.fixture(scope="module")
def mel_of(root):
    config = load_config(root / "configs" / "demo.yaml")
    timebase = config.timebase
    assert timebase.sample_rate_hz == RATE_HZ
    return lambda waveform: mel_spectrogram(waveform, config.acoustic, timebase)


def test_distortion_ranks_takes_speakers_and_noise(natural, second_take):
    again = distortion_db(second_take, natural)
    others = [distortion_db(speak(name), natural) for name in ("source", "extra2", "extra3")]
    assert distortion_db(natural, natural) == 0.0
    assert again < 0.7 * min(others)
    unheard, little, much = (distortion_db(noisy(natural, level), natural) for level in (0.0003, 0.003, 0.03))
    assert 0 < unheard < again  # -70 dB of full scale
    assert again < little < much


def test_distortion_of_real_speech(shared_data):
    """VCTK: the same sentence by another speaker is far; noise takes a voice there step by step."""
    paths = [shared_data / "vctk" / f"{speaker}_003.wav" for speaker in ("p225", "p226")]
    (voice_, rate_hz), (other, _) = (soundfile.read(path, dtype="float32") for path in paths)
    found = [waveform_distortion(noisy(voice_, level), voice_, rate_hz).mean_db for level in (0.0, 0.0003, 0.003, 0.03)]
    assert found == sorted(found) and found[0] == 0.0 < found[1]
    assert waveform_distortion(other, voice_, rate_hz).mean_db > 5.0 > found[1]


def test_distortion_is_blind_to_loudness_and_delay(natural):
    assert distortion_db(natural / 2, natural) < 1e-6
    quiet = 1e-4 * np.random.default_rng(6).normal(size=RATE_HZ // 4).astype(np.float32)  # the demo's own room
    assert distortion_db(np.concatenate([quiet, natural]), natural) < 0.2


def test_distortion_of_mel_frames_ranks_alike_but_minds_delay(natural, second_take, mel_of):
    reference = mel_of(natural)
    speech = audible_frames(reference)

    def both(mel):
        mel = mel[: len(reference)][speech[: len(mel)]]
        there = reference[: len(speech)][speech][: len(mel)]
        return spectrum.mel_cepstral_distortion_db(mel, there), spectrum.log_mel_l1(mel, there)

    spoiled = [both(mel_of(noisy(natural, level))) for level in (0.0, 0.001, 0.01)]
    delayed = [both(np.roll(reference, k, axis=0)) for k in (1, 3, 10)]
    for figure in (0, 1):
        assert spoiled[0][figure] < spoiled[1][figure] < spoiled[2][figure]
        assert 0 < delayed[0][figure] < delayed[1][figure] < delayed[2][figure]


def pitch_of(waveform: np.ndarray, track: voice.PitchTrack) -> PitchAgreement:
    return pitch_agreement(voice.track_pitch(waveform, RATE_HZ).at(track.seconds).f0_hz, track.f0_hz)


def test_a_voice_a_semitone_higher_is_100_cents_higher(natural, track):
    """The same draws at another pitch; pyin's grid is 10 cents, and some frames at edges lie elsewhere."""
    found = pitch_of(speak("target", f0_hz=VOICES["target"].f0_hz * 2 ** (1 / 12)), track)
    assert found.median_cents == pytest.approx(100.0, abs=10)
    assert found.mean_difference_cents == pytest.approx(100.0, abs=10)
    assert found.rmse_cents == pytest.approx(100.0, abs=15)
    assert found.correlation > 0.95
    shifted = voice.PitchTrack(track.f0_hz * 2 ** (1 / 12))
    assert voice.pitch_error_cents(shifted, track) == pytest.approx(100.0)


def test_pitch_of_another_speaker_and_of_a_monotone(natural, track):
    itself, other = pitch_of(natural, track), pitch_of(speak("source"), track)
    monotone = pitch_of(speak("target", f0_range=0.0), track)
    assert itself.rmse_cents == 0.0 and itself.voicing_error == 0.0 and itself.correlation == pytest.approx(1.0)
    assert other.mean_difference_cents > 300 and other.rmse_hz > 40  # 225 beside 172 Hz is 465 cents
    assert other.voicing_error > 0.1  # her phones lie elsewhere
    assert monotone.rmse_cents > 20 and monotone.correlation < 0.9


def test_delay_spoils_pitch_and_voicing_steadily(track):
    found = [pitch_agreement(np.roll(track.f0_hz, k), track.f0_hz) for k in (0, 2, 5, 10)]
    for name in ("rmse_hz", "rmse_cents", "voicing_error"):
        values = [getattr(x, name) for x in found]
        assert values == sorted(values) and values[0] == 0.0 < values[1]
    correlations = [x.correlation for x in found]
    assert correlations == sorted(correlations, reverse=True)


def test_a_voice_in_the_pauses_is_a_voicing_error(natural, track):
    buzz = 0.05 * np.sign(np.sin(2 * np.pi * 120 * np.arange(len(natural)) / RATE_HZ)).astype(np.float32)
    mixed = voice.track_pitch(natural + buzz, RATE_HZ)
    assert voice.voicing_error(mixed, track) > 0.1
    assert pitch_agreement(mixed.f0_hz, track.f0_hz).voicing_error == voice.voicing_error(mixed, track)


def test_loudness_and_duration(natural, mel_of):
    assert loudness_difference_db(natural / 2, natural, RATE_HZ) == pytest.approx(-6.0206, abs=0.01)
    slow = speak("target", rate=VOICES["target"].rate / 1.25)
    found = duration_agreement(mel_of(slow), mel_of(natural), mel_fps=200)
    assert found.ratio == pytest.approx(1.25, abs=0.06)  # the speech inside; pauses scale with the rate as well
    padded = np.concatenate([natural, np.zeros(RATE_HZ // 2, np.float32)])
    assert duration_agreement(mel_of(padded), mel_of(natural), mel_fps=200).ratio == pytest.approx(1.0, abs=0.02)


def test_predicted_mos_falls_with_noise(natural):
    pytest.importorskip("speechmos", reason="optional: pip install avsc_tf[evaluation]")
    clean, noisy_, drowned = (voice.predicted_mos(noisy(natural, level), RATE_HZ) for level in (0.0, 0.02, 0.2))
    assert clean is not None and noisy_ is not None and drowned is not None
    assert clean > noisy_ > drowned >= 1.0


def test_intelligibility_falls_with_noise_and_with_delay(natural):
    pytest.importorskip("pystoi", reason="optional: pip install avsc_tf[evaluation]")
    spoiled = [voice.intelligibility(noisy(natural, level), natural, RATE_HZ) for level in (0.0, 0.01, 0.1)]
    assert spoiled == sorted(spoiled, reverse=True) and spoiled[-1] < 0.9  # type: ignore[type-var]
    delayed = voice.intelligibility(np.roll(natural, RATE_HZ // 10), natural, RATE_HZ)
    assert delayed is not None and delayed < 0.6


@pytest.mark.skipif(not speaker_identity.available(), reason=f"optional: {speaker_identity.INSTALL}")
def test_the_wrong_speaker_is_less_alike(natural, second_take):
    encoder = speaker_identity.SpeakerEncoder()
    own = encoder.embed(natural, RATE_HZ)

    def like(waveform):
        return speaker_identity.speaker_similarity(encoder.embed(waveform, RATE_HZ), own)

    others = [like(speak(name)) for name in ("source", "extra2")]
    assert like(second_take) > max(others) + 0.05
    assert like(noisy(natural, 0.03)) < like(noisy(natural, 0.003)) < 1.0
