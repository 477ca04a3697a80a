"""Speech of all demo voices for pretraining the WaveNet and the pitch estimator: sound and true pitch, no pictures.

None of its sentences is in a demo corpus of the usual size, so that copy synthesis of any clip of the corpus is a
test on unseen speech.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from avsc_tf.core.files import claim_folder, written_whole
from avsc_tf.demo.speakers.english import (
    ADVERBS,
    COLOURS,
    COMMANDS,
    DIGITS,
    LETTERS,
    PREPOSITIONS,
    english_phones,
    grid_sentence,
)
from avsc_tf.demo.speakers.phones import Phone
from avsc_tf.demo.speakers.sentences import demo_sentences, romaji_phones
from avsc_tf.demo.speakers.speech import Speech, synthesize
from avsc_tf.demo.speakers.voices import EMOTIONS, VOICES
from avsc_tf.media.mux import write_sound

F0_SUFFIX = ".f0.txt"  # beside NAME.wav: F0 in Hz at each 5 ms, 0 where unvoiced
RESERVED_SEEDS = (0, 20181030)  # of the corpora that avsc demo makes: its own default, and that of the settings
RESERVED_PER_EMOTION = 30  # sentences kept for demo corpora of the reserved seeds
ENGLISH_SHARE = 0.4
SPEAKER_SHARES = {"source": 0.25, "target": 0.3}  # the other voices share the rest


def write_pretraining_speech(
    out: Path, *, minutes: float, seed: int, reserved_seeds: tuple[int, ...] = RESERVED_SEEDS
) -> list[Path]:
    """Write 48 kHz, 16 bit clips and their true pitch until `minutes` of speech are there.

    `reserved_seeds` are those that `demo_sentences` was or will be called with for a corpus.

    Returns:
        The wav files, in order.
    """
    claim_folder(out, (f"*{F0_SUFFIX}",))
    paths, seconds = [], 0.0
    for name, speech in _utterances(seed, reserved_seeds):
        if seconds >= 60.0 * minutes:
            break
        paths.append(out / f"{name}.wav")
        with written_whole(out / f"{name}{F0_SUFFIX}") as part:
            np.savetxt(part, speech.f0_hz, fmt="%.2f")
        write_sound(paths[-1], speech.waveform, sample_rate_hz=speech.sample_rate_hz)
        seconds += len(speech.waveform) / speech.sample_rate_hz
    return paths


def _utterances(seed: int, reserved_seeds: tuple[int, ...]) -> Iterator[tuple[str, Speech]]:
    rng = np.random.default_rng([seed, 5501])
    romaji = _free_sentences(seed, reserved_seeds)
    names = list(VOICES)
    rest = 1.0 - sum(SPEAKER_SHARES.values())
    shares = [SPEAKER_SHARES.get(name, rest / (len(names) - len(SPEAKER_SHARES))) for name in names]
    emotions = list(EMOTIONS)
    for number in range(10**6):
        voice = names[rng.choice(len(names), p=shares)]
        emotion = emotions[rng.integers(len(emotions))]
        english = rng.random() < ENGLISH_SHARE
        phones = _random_grid(rng) if english else romaji_phones(romaji[rng.integers(len(romaji))])
        yield f"{voice}_{emotion}_{number:04d}", synthesize(phones, VOICES[voice], EMOTIONS[emotion], rng=rng)


def _free_sentences(seed: int, reserved_seeds: tuple[int, ...]) -> list[str]:
    reserved = {
        text.replace(",", "")
        for reserved_seed in reserved_seeds
        for texts in demo_sentences(RESERVED_PER_EMOTION, seed=reserved_seed).values()
        for text in texts
    }
    texts = [text for texts in demo_sentences(200, seed=seed + 1).values() for text in texts]
    return [text for text in texts if text.replace(",", "") not in reserved]


def _random_grid(rng: np.random.Generator) -> list[Phone]:
    tables = (COMMANDS, COLOURS, PREPOSITIONS, LETTERS, DIGITS, ADVERBS)
    code = "".join(list(table)[rng.integers(len(table))] for table in tables)
    return english_phones(grid_sentence(code))
