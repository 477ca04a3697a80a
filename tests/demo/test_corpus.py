"""Clips on disk: names, lengths, manifests; sound and lips in step; resumable and reproducible."""

from __future__ import annotations

import csv
from itertools import pairwise

import av
import numpy as np
import pytest

from avsc_tf.core.errors import ConfigError
from avsc_tf.demo.speakers.corpus import (
    MANIFEST_COLUMNS,
    SAMPLES_PER_FRAME,
    make_corpus,
    make_grid_corpus,
    read_phones,
)
from avsc_tf.demo.speakers.motion import mouth_track
from avsc_tf.demo.speakers.voices import EMOTIONS

SMALL = {"sentences_per_emotion": 2, "held_out_per_emotion": 1, "size_px": 32, "progress": False}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus")
    make_corpus(out, **SMALL)
    return out


def manifest(folder) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def frames_and_sound(path) -> tuple[int, np.ndarray]:
    with av.open(str(path)) as container:
        n_frames = sum(1 for _ in container.decode(video=0))
    with av.open(str(path)) as container:
        sound = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    return n_frames, sound / 32768.0


def test_layout(corpus):
    for speaker in ("source", "target"):
        rows = manifest(corpus / speaker)
        assert tuple(rows[0]) == MANIFEST_COLUMNS
        assert [row["utterance"] for row in rows] == [f"{e}_{n:02d}" for e in EMOTIONS for n in range(2)]
        assert all((corpus / speaker / row["video"]).is_file() for row in rows)
        assert {row["speaker"] for row in rows} == {speaker}
        assert sum(row["split"] == "test" for row in rows) == len(EMOTIONS)
    second = manifest(corpus / "second_take")
    assert [row["utterance"] for row in second] == [f"{e}_00" for e in EMOTIONS]
    assert not list(corpus.rglob("*.part"))


def test_pairs_say_the_same_with_other_timing(corpus):
    source, target = manifest(corpus / "source"), manifest(corpus / "target")
    assert [r["sentence"] for r in source] == [r["sentence"] for r in target]
    assert len({r["sentence"] for r in source}) == len(source)
    a = read_phones(corpus / "source" / "anger_01.phones.csv")
    b = read_phones(corpus / "target" / "anger_01.phones.csv")
    assert [p.symbol for p in a] == [p.symbol for p in b]
    assert [p.start_s for p in a[1:]] != [p.start_s for p in b[1:]]


def test_second_take_is_another(corpus):
    first = corpus / "target" / "neutral_00.phones.csv"
    second = corpus / "second_take" / "neutral_00.phones.csv"
    assert [p.symbol for p in read_phones(first)] == [p.symbol for p in read_phones(second)]
    assert first.read_text(encoding="utf-8") != second.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["source/neutral_00", "target/sadness_strong_01"])
def test_sound_and_picture_end_together(corpus, name):
    n_frames, sound = frames_and_sound(corpus / f"{name}.mp4")
    assert len(sound) == n_frames * SAMPLES_PER_FRAME
    phones = read_phones(corpus / f"{name}.phones.csv")
    assert phones[0].start_s == 0
    assert phones[-1].end_s == pytest.approx(n_frames / 25)
    assert all(before.end_s == after.start_s for before, after in pairwise(phones))
    f0_hz = np.loadtxt(corpus / f"{name}.f0.txt")
    assert len(f0_hz) == 8 * n_frames


def test_sound_and_lips_are_in_step(corpus):
    """Energy against lip opening peaks at lag 0 in nearly all of 14 clips."""
    at_zero = 0
    for path in sorted((corpus / "target").glob("*.mp4")):
        n_frames, sound = frames_and_sound(path)
        energy = np.log(np.sqrt((sound.reshape(n_frames, -1) ** 2).mean(axis=1)) + 1e-3)
        opening, _ = mouth_track(
            read_phones(path.with_name(f"{path.stem}.phones.csv")), (np.arange(n_frames) + 0.5) / 25
        )
        scores = [
            np.corrcoef(opening[max(0, lag) : n_frames + min(0, lag)], energy[max(0, -lag) : n_frames - max(0, lag)])
            for lag in range(-4, 5)
        ]
        at_zero += int(np.argmax([score[0, 1] for score in scores])) == 4
    assert at_zero >= 13


def test_whole_clips_are_kept_and_missing_ones_come_back_equal(corpus):
    kept, lost = corpus / "source" / "anger_00.mp4", corpus / "source" / "anger_01.mp4"
    stamp, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    make_corpus(corpus, **SMALL)
    assert kept.stat().st_mtime_ns == stamp
    assert lost.read_bytes() == content


def test_other_settings_need_another_folder(corpus):
    with pytest.raises(ConfigError, match="choose another folder"):
        make_corpus(corpus, **{**SMALL, "seed": 1})


def test_all_held_out_is_no_corpus(tmp_path):
    with pytest.raises(ConfigError, match="leave at least one to train"):
        make_corpus(tmp_path, **{**SMALL, "held_out_per_emotion": 2})


def test_grid_clips_are_like_grid(tmp_path):
    names = ["bbaf2n", "pwwx7s", "lgizza", "srby9p", "swiv4a"]
    make_grid_corpus(tmp_path, names, size_px=32, progress=False)
    rows = manifest(tmp_path)
    assert sorted(row["utterance"] for row in rows) == sorted(names)
    assert sum(row["split"] == "test" for row in rows) == 1  # a fifth
    assert {row["sentence"] for row in rows} >= {"set white in v four again"}
    for name in names:
        n_frames, sound = frames_and_sound(tmp_path / f"{name}.mp4")
        assert n_frames == 75
        phones = read_phones(tmp_path / f"{name}.phones.csv")
        assert 0.3 <= phones[0].end_s <= 0.8
        assert 1.45 <= phones[-1].start_s <= 2.6
        assert np.abs(sound[: round((phones[0].end_s - 0.03) * 48000)]).max() < 0.01


def test_no_grid_names(tmp_path):
    with pytest.raises(ConfigError, match="no GRID names"):
        make_grid_corpus(tmp_path, [], progress=False)
