"""The synthesiser keeps its promises: times, pitch, formants, silence, level, seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import resample_poly

from avsc_tf.core.errors import ConfigError
from avsc_tf.demo.speakers.english import english_phones
from avsc_tf.demo.speakers.phones import ARTICULATIONS, PAUSE, Phone
from avsc_tf.demo.speakers.prosody import breath_groups, stretch, time_phones
from avsc_tf.demo.speakers.sentences import demo_sentences, romaji_phones
from avsc_tf.demo.speakers.speech import Speech, synthesize
from avsc_tf.demo.speakers.voices import EMOTIONS, VOICES

RATE_HZ = 48000


def speak(phones, voice="source", emotion="neutral", seed=1) -> Speech:
    return synthesize(phones, VOICES[voice], EMOTIONS[emotion], rng=np.random.default_rng(seed))


@pytest.fixture(scope="module")
def sentence() -> Speech:
    return speak(romaji_phones("kyouwa, akai sakana o tabemashita"))


def rms_db(speech: Speech, start_s: float, end_s: float) -> float:
    part = speech.waveform[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)].astype(float)
    return 10 * np.log10(np.mean(part**2))


def test_shapes_and_range(sentence):
    assert sentence.waveform.dtype == sentence.f0_hz.dtype == np.float32
    assert len(sentence.waveform) == 240 * len(sentence.f0_hz)
    assert np.abs(sentence.waveform).max() < 1.0
    # the waveform is rounded up to whole 5 ms
    assert 0 <= len(sentence.waveform) / RATE_HZ - sentence.phones[-1].end_s < 0.005 + 1e-9


def test_phones_follow_each_other(sentence):
    assert sentence.phones[0].start_s == 0
    for before, after in zip(sentence.phones[:-1], sentence.phones[1:], strict=True):
        assert before.end_s == after.start_s > before.start_s


def test_pauses_are_silent_and_vowels_are_not(sentence):
    for phone in sentence.phones:
        if phone.end_s - phone.start_s < 0.08:
            continue
        # 20 ms at either side belong to the neighbours' fades
        level = rms_db(sentence, phone.start_s + 0.02, phone.end_s - 0.03)
        if phone.symbol == PAUSE:
            assert level < -70
        elif ARTICULATIONS[phone.symbol].kind == "vowel":
            assert level > -40


def test_f0_is_zero_exactly_where_nothing_is_voiced(sentence):
    for phone in sentence.phones:
        middle = round(0.5 * (phone.start_s + phone.end_s) / 0.005)
        articulation = ARTICULATIONS[phone.symbol]
        if articulation.voicing == 0 and phone.end_s - phone.start_s > 0.04:
            assert sentence.f0_hz[middle] == 0
        if articulation.kind == "vowel":
            assert 100 < sentence.f0_hz[middle] < 400


@pytest.mark.parametrize("voice", ["source", "target", "extra2"])
def test_the_sound_has_the_pitch_it_says(voice):
    speech = speak([Phone("a", 0.8)], voice)
    start = round(0.35 * RATE_HZ)
    part = speech.waveform[start : start + 4800].astype(float)
    correlation = np.correlate(part, part, "full")[len(part) :]
    lags = np.arange(1, len(part))
    search = (lags > RATE_HZ / 420) & (lags < RATE_HZ / 80)
    period = lags[search][np.argmax(correlation[search])]
    f0_hz = speech.f0_hz[70:90].mean()
    # 3 %: pitch falls within the 100 ms that are looked at
    assert RATE_HZ / period == pytest.approx(f0_hz, rel=0.03)


def linear_prediction_formants_hz(part: np.ndarray, *, order: int, rate_hz: int) -> np.ndarray:
    """Resonances of an all-pole fit (Yule-Walker) below 4 kHz, ascending."""
    emphasised = np.diff(part) * np.hanning(len(part) - 1)
    correlation = np.correlate(emphasised, emphasised, "full")[len(emphasised) - 1 :][: order + 1]
    coefficients = solve_toeplitz(correlation[:-1], correlation[1:])
    poles = np.roots(np.concatenate([[1.0], -coefficients]))
    poles = poles[(poles.imag > 0) & (np.abs(poles) > 0.85)]
    return np.sort(np.angle(poles) * rate_hz / (2 * np.pi))


@pytest.mark.parametrize("vowel", ["a", "i", "u", "e", "o", "ae", "ah"])
def test_formants_are_where_the_table_has_them(vowel):
    voice = VOICES["extra2"]  # the lowest voice: its harmonics are densest
    speech = speak([Phone(vowel, 0.8)], "extra2")
    part = resample_poly(speech.waveform[12000:24000].astype(float), 1, 6)  # 8 kHz
    found_hz = linear_prediction_formants_hz(part, order=12, rate_hz=8000)
    for expected_hz in np.array(ARTICULATIONS[vowel].formants_hz[:2]) * voice.formant_scale:
        # linear prediction leans to the nearest harmonic: within 60 % of the 112 Hz between them
        assert np.abs(found_hz - expected_hz).min() < 0.6 * voice.f0_hz


def test_fricatives_are_high_and_stops_are_silent():
    speech = speak([Phone(PAUSE, 0.1), Phone("a"), Phone("s", 0.2), Phone("a"), Phone("k", 0.2), Phone("a")])
    s, k = speech.phones[2], speech.phones[4]
    part = speech.waveform[round((s.start_s + 0.05) * RATE_HZ) : round((s.end_s - 0.05) * RATE_HZ)]
    power = np.abs(np.fft.rfft(part)) ** 2
    frequency_hz = np.fft.rfftfreq(len(part), 1 / RATE_HZ)
    assert power[frequency_hz > 3500].sum() > 20 * power[frequency_hz < 2500].sum()
    assert rms_db(speech, k.start_s + 0.03, k.start_s + 0.08) < -65


def test_no_clicks_inside_vowels():
    """The second difference of a steady vowel stays of one size: no jump where coefficients change."""
    speech = speak([Phone("a", 0.3), Phone("i", 0.3), Phone("o", 0.3)])
    bend = np.abs(np.diff(speech.waveform[4800:-4800].astype(float), 2))
    blocks = bend[: len(bend) // 480 * 480].reshape(-1, 480).max(axis=1)
    # 4: glottal closures differ by vowel and shimmer, a click stands out far more
    assert blocks.max() < 4 * np.median(blocks)


def test_seeds_decide_everything():
    phones = romaji_phones("umi e ikimashou")
    first, again, other = speak(phones, seed=4), speak(phones, seed=4), speak(phones, seed=5)
    np.testing.assert_array_equal(first.waveform, again.waveform)
    assert first.phones[-1].end_s != other.phones[-1].end_s


def test_moods_change_pitch_level_and_rate():
    phones = romaji_phones("kodomo ga yonde iru yo")
    said = {name: speak(phones, "target", name) for name in EMOTIONS}
    f0 = {name: np.median(s.f0_hz[s.f0_hz > 0]) for name, s in said.items()}
    level = {name: rms_db(s, *breath_groups(s.phones)[0]) for name, s in said.items()}
    length = {name: s.phones[-1].end_s for name, s in said.items()}
    assert f0["happiness_strong"] > f0["happiness"] > f0["neutral"] > f0["sadness_strong"]
    assert level["anger_strong"] > level["anger"] > level["neutral"] > level["sadness"] > level["sadness_strong"]
    assert length["sadness_strong"] > length["neutral"] > length["anger_strong"]


def test_durations_of_the_two_speakers_spread():
    """Over the corpus target/source lengths must reach from 0.8 to 1.4, or alignment has nothing to do."""
    ratios = []
    for number, (emotion, texts) in enumerate(demo_sentences(12).items()):
        for text_number, text in enumerate(texts):
            ends = [
                time_phones(
                    romaji_phones(text),
                    VOICES[name],
                    EMOTIONS[emotion],
                    rng=np.random.default_rng([take, number, text_number]),
                )[-1].end_s
                for take, name in enumerate(("source", "target"))
            ]
            ratios.append(ends[1] / ends[0])
    assert min(ratios) < 0.85
    assert max(ratios) > 1.4
    assert 0.95 < np.median(ratios) < 1.25


def test_stretch_fills_the_window():
    timed = time_phones(
        english_phones("bin blue at f two now"), VOICES["source"], EMOTIONS["neutral"], rng=np.random.default_rng(2)
    )
    moved = stretch(timed, start_s=0.5, end_s=2.25)
    assert moved[0].symbol == PAUSE
    assert moved[0].end_s == moved[1].start_s == pytest.approx(0.5)
    assert moved[-1].end_s == pytest.approx(2.25)
    assert [p.symbol for p in moved] == [p.symbol for p in timed[:-1]]


def test_unknown_phone():
    with pytest.raises(ConfigError, match="'xx'"):
        speak([Phone("xx")])


def test_rates_that_cannot_hold_the_formants_are_refused():
    with pytest.raises(ConfigError, match="resample afterwards"):
        synthesize(
            [Phone("a")],
            VOICES["source"],
            EMOTIONS["neutral"],
            rng=np.random.default_rng(1),
            sample_rate_hz=16000,
        )
