"""Folders of clips and their manifests; sound and picture cut to the same whole frames."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import soundfile

from avsc_tf.core.errors import MediaError
from avsc_tf.core.timebase import Timebase
from avsc_tf.media.clips import find_clips, load_clip, read_clip_folder, separate_sound, single_clip

TIMEBASE = Timebase(25, 48000, 240)
PICTURE = [Fraction(k, 25) for k in range(20)]


def _touch(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"x")


def test_clips_by_name(tmp_path):
    folder = tmp_path / "anna"
    folder.mkdir()
    _touch(folder, "b.MP4", "a.mpg", "c.mkv", "d.avi", "e.mov", "f.MTS", "g.webm", "h.m4v", "i.wmv", "j.3gp")
    _touch(folder, "a.wav", "c.flac", "g.WAV", "F.m4a", "i.aiff", "j.Mp3", "consent.yaml", "._a.mp4")
    found = read_clip_folder(folder)
    assert found.notes == ()
    assert [clip.utterance for clip in found.clips] == list("abcdefghij")
    sounds = {clip.utterance: clip.audio.name for clip in found.clips if clip.audio}
    assert sounds == {"a": "a.wav", "c": "c.flac", "f": "F.m4a", "g": "g.WAV", "i": "i.aiff", "j": "j.Mp3"}
    assert {(clip.speaker, clip.emotion, clip.split) for clip in found.clips} == {("anna", "", "")}
    assert [clip.sentence for clip in found.clips] == list("abcdefghij")
    assert all(separate_sound(clip.video) == clip.audio for clip in found.clips)  # what a single clip is converted by


def test_names_that_differ_in_case_alone(tmp_path):
    _touch(tmp_path, "A.mp4", "a.mp4", "a.wav")
    if len(list(tmp_path.iterdir())) < 3:
        pytest.skip("this disk does not tell upper from lower case")
    upper, lower = find_clips(tmp_path)
    assert (upper.audio, lower.audio) == (None, tmp_path / "a.wav")


@pytest.mark.parametrize(
    "names, rule",
    [
        ((), "holds no clips"),
        (("a.avif", "b.srt"), r"holds no clips.* It holds 2 entries that no clip uses: a\.avif, b\.srt"),
        (("a.mp4", "a.mpg"), "has the same name"),
        (
            ("a.mp4", "a.wav", "a.flac"),
            r"a\.wav: a\.flac has the same name, and one of them alone can be the sound of a",
        ),
        (("a.mp4", "A.MP3", "a.ogg"), r"a\.ogg: A\.MP3 has the same name"),
        (("a.mp4", "b.wav"), r"b\.wav: no picture of that name"),
    ],
)
def test_ambiguous_folders(tmp_path, names, rule):
    _touch(tmp_path, *names)
    with pytest.raises(MediaError, match=rule):
        find_clips(tmp_path)


def test_unused_files_are_listed_once(tmp_path):
    _touch(tmp_path, "a.mp4", "notes.txt", "Thumbs.db", ".DS_Store", *(f"GX{k:03}.LRV" for k in range(120)))
    (tmp_path / "raw").mkdir()
    (note,) = read_clip_folder(tmp_path).notes
    assert note == "holds 122 entries that no clip uses: GX000.LRV and 119 more like it, notes.txt, raw/"
    _touch(tmp_path, *(f"a.{kind}" * 60 for kind in range(10)))
    (note,) = read_clip_folder(tmp_path).notes
    assert len(note) < 700 and note.startswith("holds 132 entries") and note.endswith("7 others")


def test_media_that_no_row_of_a_manifest_names(tmp_path):
    (tmp_path / "takes").mkdir()
    _touch(tmp_path, "x.mp4", "y.webm", "readme.txt", "x.phones.csv")
    _touch(tmp_path / "takes", "z.mts", "z.wav")
    (tmp_path / "manifest.csv").write_text("utterance,video\nx,x.mp4\nz,takes/z.mts\n", encoding="utf-8")
    (note,) = read_clip_folder(tmp_path).notes
    assert note == "holds 2 entries that no clip uses: y.webm, takes/z.wav"


def test_missing_folder(tmp_path):
    with pytest.raises(MediaError, match="no such folder"):
        find_clips(tmp_path / "absent")


def test_manifest(tmp_path):
    _touch(tmp_path, "x.mp4", "y.mov", "y.wav", "not_named.mp4")
    (tmp_path / "manifest.csv").write_text(
        "utterance,speaker,emotion,sentence,split,video,audio\n"
        'u2,ben,anger,"well, no",test,y.mov,y.wav\n'
        "u1,ben,,,train,x.mp4,\n",
        encoding="utf-8",
    )
    first, second = find_clips(tmp_path)
    assert (first.utterance, first.emotion, first.sentence, first.split, first.audio) == ("u1", "", "u1", "train", None)
    assert (second.speaker, second.emotion, second.sentence) == ("ben", "anger", "well, no")
    assert (second.video, second.audio) == (tmp_path / "y.mov", tmp_path / "y.wav")


@pytest.mark.parametrize(
    "text, rule",
    [
        ("utterance,vidoe\nu,x.mp4\n", "unknown column 'vidoe'. The nearest known one is 'video'"),
        ("utterance,speaker\nu,ben\n", "column 'video' is missing"),
        ("utterance,video,video\nu,x.mp4,x.mp4\n", "named twice"),
        ("utterance,video\nu,x.mp4\nu,x.mp4\n", "line 3: utterance u is named twice"),
        ("utterance,video\nu,z.mp4\n", r"line 2: .*z\.mp4 does not exist"),
        ("utterance,video,audio\nu,x.mp4,z.wav\n", r"z\.wav does not exist"),
        ("utterance,video\n,x.mp4\n", "cell of utterance is empty"),
        ("utterance,video,split\nu,x.mp4,dev\n", "split is 'dev'"),
        ("utterance,video\nu,x.mp4,more\n", "more cells than columns"),
        ("utterance,video\n", "holds no clips"),
        ("", "column 'utterance' is missing"),
    ],
)
def test_faulty_manifests(tmp_path, text, rule):
    _touch(tmp_path, "x.mp4")
    (tmp_path / "manifest.csv").write_text(text, encoding="utf-8")
    with pytest.raises(MediaError, match=rule):
        find_clips(tmp_path)


@pytest.mark.parametrize(
    "n_samples, n_frames",
    [
        (20 * 1920, 20),
        (20 * 1920 + 3000, 20),  # longer sound is cut
        (20 * 1920 - 900, 20),  # less than half a frame is filled with silence
        (20 * 1920 - 1000, 19),  # more than half a frame costs the frame
        (15 * 1920, 15),  # 5 frames = 0.2 s, the most allowed
    ],
)
def test_common_length(write_clip, rng, n_samples, n_frames):
    sound = rng.uniform(-0.5, 0.5, n_samples)
    frames, waveform = load_clip(single_clip(write_clip("clip.mp4", PICTURE, sound=sound)), TIMEBASE)
    assert len(frames) == n_frames == sum(1 for _ in frames)
    assert waveform.shape == (1920 * n_frames,)
    kept = min(n_samples, len(waveform))
    np.testing.assert_allclose(waveform[:kept], sound[:kept], atol=2**-15)  # stored in 16 bit
    assert not waveform[kept:].any()


def test_frames_can_be_read_again(write_clip, read_number):
    frames, _ = load_clip(single_clip(write_clip("clip.mp4", PICTURE, sound=np.zeros(38400))), TIMEBASE)
    assert [read_number(f) for f in frames] == [read_number(f) for f in frames] == list(range(20))


def test_separate_sound_replaces_the_clips_own(write_clip, tmp_path, rng):
    video = write_clip("clip.mp4", PICTURE, sound=np.zeros(38400))
    sound = rng.uniform(-0.5, 0.5, 38400)
    soundfile.write(tmp_path / "clip.wav", sound, 48000, subtype="PCM_24")
    (clip,) = find_clips(tmp_path)
    assert clip == single_clip(video, tmp_path / "clip.wav")
    np.testing.assert_allclose(load_clip(clip, TIMEBASE).waveform, sound, atol=2**-23)  # a step of 24 bit


@pytest.mark.parametrize("n_samples", [14 * 1920, 26 * 1920])
def test_sound_and_picture_of_different_length(write_clip, n_samples):
    path = write_clip("clip.mp4", PICTURE, sound=np.zeros(n_samples))
    with pytest.raises(MediaError, match=r"the picture lasts 0\.80 s, the sound .*Cut both"):
        load_clip(single_clip(path), TIMEBASE)


def test_real_clips(shared_data):
    clips = find_clips(shared_data / "grid" / "s1")
    assert len(clips) == 198
    frames, waveform = load_clip(clips[0], TIMEBASE)
    # 75 pictures, 44.1 kHz sound of 2.978 s
    assert len(frames) == 74
    assert next(iter(frames)).shape == (288, 360, 3)
    assert waveform.shape == (74 * 1920,)
    assert 0.01 < waveform.std() < 0.5
