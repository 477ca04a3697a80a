"""Speech for pretraining: as long as asked, with true pitch beside it, and no sentence of a demo corpus."""

from __future__ import annotations

import numpy as np
import soundfile

from avsc_tf.demo.speakers import pretraining
from avsc_tf.demo.speakers.sentences import demo_sentences
from avsc_tf.demo.speakers.voices import EMOTIONS, VOICES


def test_clips_and_pitch_are_written(tmp_path):
    paths = pretraining.write_pretraining_speech(tmp_path, minutes=0.1, seed=3)
    seconds = [soundfile.info(path).duration for path in paths]
    assert sum(seconds) >= 6 > sum(seconds[:-1])
    for path, duration in zip(paths, seconds, strict=True):
        voice, *emotion, number = path.stem.split("_")
        assert voice in VOICES and "_".join(emotion) in EMOTIONS and number.isdigit()
        f0_hz = np.loadtxt(path.with_name(path.stem + pretraining.F0_SUFFIX))
        assert len(f0_hz) == round(duration / 0.005)
        assert 0.2 < (f0_hz > 0).mean() < 0.95 and f0_hz.max() < 450


def test_the_same_seed_says_the_same(tmp_path):
    first, again = (pretraining.write_pretraining_speech(tmp_path / n, minutes=0.03, seed=5) for n in "ab")
    assert [p.name for p in first] == [p.name for p in again]
    np.testing.assert_array_equal(soundfile.read(first[0])[0], soundfile.read(again[0])[0])


def test_no_sentence_of_a_demo_corpus_is_used():
    free = {text.replace(",", "") for text in pretraining._free_sentences(1, pretraining.RESERVED_SEEDS)}
    assert len(free) > 300
    for seed in pretraining.RESERVED_SEEDS:
        corpus = demo_sentences(12, seed=seed)
        assert not free & {text.replace(",", "") for texts in corpus.values() for text in texts}
