"""What the demo speakers say: distinct sentences, romaji and GRID names read right, every word speakable."""

from __future__ import annotations

import itertools

import pytest

from avsc_tf.core.errors import ConfigError
from avsc_tf.demo.speakers.english import (
    ADVERBS,
    COLOURS,
    COMMANDS,
    DIGITS,
    LETTERS,
    PREPOSITIONS,
    PRONUNCIATIONS,
    english_phones,
    grid_sentence,
)
from avsc_tf.demo.speakers.looks import EXPRESSIONS, LOOKS
from avsc_tf.demo.speakers.phones import ARTICULATIONS, NOISE_BANDS_HZ, PAUSE
from avsc_tf.demo.speakers.sentences import demo_sentences, romaji_phones
from avsc_tf.demo.speakers.voices import EMOTIONS, VOICES


def symbols(phones) -> str:
    return " ".join(phone.symbol for phone in phones)


def test_sentences_differ_within_and_between_emotions():
    sentences = demo_sentences(100, seed=3)
    everything = list(itertools.chain.from_iterable(sentences.values()))
    assert list(sentences) == list(EMOTIONS)
    assert len(everything) == 700
    assert len({text.replace(",", "") for text in everything}) == 700


def test_a_corpus_can_grow():
    few, many = demo_sentences(3, seed=5), demo_sentences(40, seed=5)
    assert all(many[emotion][:3] == few[emotion] for emotion in EMOTIONS)
    assert few != demo_sentences(3, seed=6)


def test_the_grammar_has_an_end():
    with pytest.raises(ConfigError, match="the grammar holds"):
        demo_sentences(100_000)


def test_every_sentence_can_be_spoken_and_uses_many_phones():
    phones = [p for texts in demo_sentences(12).values() for text in texts for p in romaji_phones(text)]
    used = {phone.symbol for phone in phones}
    assert used <= set(ARTICULATIONS)
    assert len(used) >= 25


@pytest.mark.parametrize(
    ("romaji", "expected"),
    [
        ("gakkou", "_ g a q k o u _"),
        ("zasshi o", "_ z a q sh i o _"),
        ("shashin", "_ sh a sh i N _"),
        ("minna de", "_ m i N n a d e _"),
        ("kyouwa, fuyu", "_ k y o u w a _ fu u y u _"),
        ("tsubame chichi", "_ ts u b a m e ch i ch i _"),
        ("ookina", "_ o k i n a _"),
        ("nyuu", "_ n y u _"),
    ],
)
def test_romaji(romaji, expected):
    assert symbols(romaji_phones(romaji)) == expected


def test_long_vowels_are_long():
    long, short = romaji_phones("oo")[1], romaji_phones("o")[1]
    assert long.seconds > 1.5 * short.seconds


def test_other_letters_are_refused():
    with pytest.raises(ConfigError, match="cannot read"):
        romaji_phones("quixotic")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("bbaf2n", "bin blue at f two now"),
        ("pwwx7s", "place white with x seven soon"),
        ("LGIZZA", "lay green in z zero again"),
        ("srby9p", "set red by y nine please"),
    ],
)
def test_grid_names(name, sentence):
    assert grid_sentence(name) == sentence


@pytest.mark.parametrize("name", ["bbaw2n", "bbaf0n", "bba", "xbaf2n", "bbaf2nn"])
def test_other_names_are_refused(name):
    with pytest.raises(ConfigError, match="no GRID sentence"):
        grid_sentence(name)


def test_every_grid_word_is_pronounced():
    tables = (COMMANDS, COLOURS, PREPOSITIONS, DIGITS, ADVERBS)
    words = {word for table in tables for word in table.values()} | set(LETTERS)
    assert words == set(PRONUNCIATIONS)
    for word in words:
        assert all(phone.symbol in ARTICULATIONS for phone in english_phones(word))


def test_unknown_words_are_refused():
    with pytest.raises(ConfigError, match="'black'"):
        english_phones("bin black at f two now")


def test_real_grid_names_are_read(shared_data):
    names = [path.stem for path in (shared_data / "grid" / "s1").glob("*.mpg")]
    assert len(names) > 100
    for name in names:
        words = (shared_data / "grid" / "s1_align" / f"{name}.align").read_text(encoding="utf-8").split()[2::3]
        assert grid_sentence(name).split() == [word for word in words if word not in ("sil", "sp")]


def test_tables_agree():
    assert list(EXPRESSIONS) == list(EMOTIONS)
    assert set(LOOKS) <= set(VOICES)
    assert {a.noise_band for a in ARTICULATIONS.values()} - {None} == set(NOISE_BANDS_HZ)
    assert ARTICULATIONS[PAUSE].voicing == ARTICULATIONS[PAUSE].frication == 0
