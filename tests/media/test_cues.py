"""Cue lists: strict to read, exact to cut."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from avsc_tf.core.errors import MediaError
from avsc_tf.core.timebase import Timebase
from avsc_tf.media.audio import read_audio
from avsc_tf.media.clips import ClipSource, find_clips, load_clip
from avsc_tf.media.cues import parse_seconds, read_cues
from avsc_tf.media.video import read_frames

TIMEBASE = Timebase(25, 48000, 240)
RATE = Fraction(30000, 1001)


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("0", 0),
        ("83.5", Fraction(167, 2)),
        ("1:23.5", Fraction(167, 2)),
        ("01:23.040", Fraction(2076, 25)),
        ("1:02:03.001", Fraction(3723001, 1000)),
        ("90:00", 5400),
        ("1:23,5", Fraction(167, 2)),  # as spreadsheets of other languages write it
        ("0.1", Fraction(1, 10)),  # exact, unlike the binary 0.1
    ],
)
def test_times(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "1:60", "1:61:00", "1:2:3:4", "1,5,2", "nan", "1e3", "12s", ":30", "²"])
def test_no_times(text):
    with pytest.raises(ValueError, match="is no time"):
        parse_seconds(text)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 59), st.integers(0, 999))
def test_every_time_of_day_is_exact(hours, minutes, seconds, thousandths):
    text = f"{hours}:{minutes:02}:{seconds:02}.{thousandths:03}"
    assert parse_seconds(text) * 1000 == ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths


def test_a_cue_list(tmp_path):
    path = tmp_path / "s.cues.csv"
    path.write_text('\ufeffstart,end,name,sentence\n0:01.5,3,"b, 1",\n2.8,4.25,ä,Wo warst du?\n', encoding="utf-8")
    first, second = read_cues(path, session_seconds=Fraction(17, 4)).cues
    assert (first.name, first.start_seconds, first.end_seconds, first.sentence) == ("b, 1", Fraction(3, 2), 3, "b, 1")
    assert (second.name, second.sentence, second.emotion, second.line) == ("ä", "Wo warst du?", "", 3)


@pytest.mark.parametrize(
    "text, rule",
    [
        ("start,end,nmae\n0,1,a\n", "unknown column 'nmae'. The nearest known one is 'name'"),
        ("start,name\n0,a\n", "column 'end' is missing"),
        ("start,end,end,name\n0,1,1,a\n", "named twice"),
        ("start,end,name\n", "names no cue"),
        ("start,end,name\n0,1,\n", "line 2: the cell of name is empty"),
        ("start,end,name\n0,1,a,b\n", "line 2: more cells than columns"),
        ("start,end,name\n0,x,a\n", "line 2: end is 'x'. Write seconds"),
        ("start,end,name\n0,1,a\n2,2,b\n", "line 3: ends at 2, not after its start 2"),
        ("start,end,name\n3,2,b\n", "line 2: ends at 2, not after its start 3"),
        ("start,end,name\n0,1,a\n2,3,a\n", "line 3: a is named twice, first on line 2"),
        (
            "start,end,name\n0,1,a\n9,10.001,b\n",
            r"line 3: ends at 10\.001 s, but the session's picture lasts 10\.000 s",
        ),
        ("start,end,name\n0,5,a\n6,7,c\n4.4,6,b\n", r"line 4: b overlaps a \(line 2\) by 0\.60 s"),
        ("start,end,name\n0,9,a\n1,1.3,b\n5,6,c\n", r"line 4: c overlaps a \(line 2\)"),
        ("start,end,name\n0,1,a/b\n", "line 2: 'a/b' cannot name a file"),
        ("start,end,name\n0,1,.a\n", "cannot name a file"),
    ],
)
def test_faulty_cue_lists(tmp_path, text, rule):
    path = tmp_path / "s.cues.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MediaError, match=rule):
        read_cues(path, session_seconds=Fraction(10))


def test_a_cue_list_of_a_spreadsheet(tmp_path):
    """Its encoding is guessed and noted, its separator found, its empty rows and columns are left out."""
    (tmp_path / "s.cues.csv").write_bytes("start;end;name;;\r\n0,5;1:01,25;ä;;\r\n;;;;\r\n".encode("cp1252"))
    found = read_cues(tmp_path / "s.cues.csv")
    assert [(cue.name, cue.start_seconds, cue.end_seconds) for cue in found.cues] == [("ä", 0.5, 61.25)]
    (note,) = found.notes
    assert "read as Windows-1252, with 'ä'" in note


# Sessions.


@pytest.fixture
def session(write_clip, tmp_path, rng):
    """Twelve seconds at 29.97 frames/s with a key frame every 20, and its sound."""
    n_frames = 240
    images = rng.integers(0, 255, (n_frames, 8, 12, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    t = np.arange(8 * 48000 + 384) / 48000
    sound = 0.4 * np.sin(2 * np.pi * (300 * t + 40 * t**2)) + rng.uniform(-0.05, 0.05, len(t))
    times = [k / RATE for k in range(n_frames)]
    return lambda suffix=".mp4", codec="flac": (
        write_clip("s1" + suffix, times, images=images, sound=sound, sound_codec=codec, key_frames=20),
        sound,
    )


def _cut(path, start, end):
    return ClipSource("a", "A", "", "a", "", path, None, Fraction(start), None if end is None else Fraction(end))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("first, n_frames", [(0, 25), (13, 40), (64, 1), (120, 60)])
def test_a_cue_equals_the_whole_cut_by_hand(session, suffix, first, n_frames):
    path, sound = session(suffix)
    whole = list(read_frames(path, fps=25))
    clip = load_clip(_cut(path, Fraction(first, 25), Fraction(first + n_frames, 25)), TIMEBASE)
    assert len(clip.frames) == n_frames
    for _ in range(2):  # can be read again
        np.testing.assert_array_equal(np.stack(list(clip.frames)), np.stack(whole[first : first + n_frames]))
    assert clip.waveform.shape == (n_frames * 1920,)
    expected = sound[first * 1920 :][: n_frames * 1920]
    reach = 48 if suffix == ".mkv" else 0  # Matroska rounds the time of entry to a millisecond
    inside = slice(reach, len(expected) - reach)
    errors = [np.abs(clip.waveform - np.roll(expected, k))[inside].max() for k in range(-reach, reach + 1)]
    assert min(errors) < 2**-15  # a step of 16 bit


def test_times_between_frames_are_exact(session):
    path, _ = session()
    start = Fraction(1001, 30000) * 50  # exactly when frame 50 of 29.97 appears
    frames = list(load_clip(_cut(path, start, start + 1), TIMEBASE).frames)
    recorded = [int(50 + Fraction(2 * i + 1, 50) * RATE) for i in range(25)]
    everything = list(read_frames(path, fps=30000))[::1001]  # each recorded frame once
    np.testing.assert_array_equal(np.stack(frames), np.stack([everything[k] for k in recorded]))


def test_a_cue_beyond_the_end_is_noticed_when_read(session):
    path, _ = session()
    with pytest.raises(MediaError, match=r"lacks the first 0\.00 s and the last 0\.47 s"):
        load_clip(_cut(path, 7, Fraction(17, 2)), TIMEBASE)
    with pytest.raises(MediaError, match=r"28 frames .* from 7\.00 s are wanted, but only 25"):
        list(read_frames(path, fps=25, start_seconds=Fraction(7), n_frames=28))


def test_open_end(session):
    path, _ = session()
    assert len(load_clip(_cut(path, 7, None), TIMEBASE).frames) == 25  # 8.008 s: centres to 8.00


@pytest.mark.parametrize("codec, suffix", [("aac", ".mp4"), ("aac", ".mkv"), ("flac", ".mkv"), ("pcm_s16le", ".mov")])
def test_the_sound_of_a_cue_is_that_of_the_whole(session, codec, suffix):
    path, _ = session(suffix, codec)
    whole = read_audio(path, sample_rate_hz=48000)
    cut = load_clip(_cut(path, 5, 6), TIMEBASE).waveform
    errors = {k: np.abs(cut[100:-100] - whole[5 * 48000 + k :][:48000][100:-100]).max() for k in range(-48, 49)}
    lag = min(errors, key=errors.__getitem__)
    assert abs(lag) <= (48 if suffix == ".mkv" else 0)  # one millisecond
    assert errors[lag] < (0.05 if codec == "aac" else 1e-6)  # AAC draws its noise anew: below the noise put in


def test_a_folder_of_clips_and_sessions(session, write_clip, tmp_path):
    session()
    write_clip("extra.mp4", [Fraction(k, 25) for k in range(20)])
    text = "start,end,name,emotion,sentence,split\n0:01,0:02.5,u2,anger,Go away.,test\n3,0:00:05,u1,,,\n"
    (tmp_path / "S1.cues.csv".lower()).write_text(text, encoding="utf-8")
    clips = find_clips(tmp_path)
    assert [clip.utterance for clip in clips] == ["extra", "u1", "u2"]
    assert clips[0].start_seconds is None
    assert clips[2] == ClipSource(
        "u2", tmp_path.name, "anger", "Go away.", "test", tmp_path / "s1.mp4", None, Fraction(1), Fraction(5, 2)
    )
    assert [len(load_clip(clip, TIMEBASE).frames) for clip in clips[1:]] == [50, 37]  # 37.5: the last centre is at 37.5


def test_a_recorder_that_was_paused(write_clip, tmp_path, rng):
    """The session fits where most of it does; a cue after the pause would be 40 ms late and is refused."""
    world = soxr.resample(rng.standard_normal(40 * 4000), 4000, 48000)
    write_clip("s.mp4", [Fraction(k, 25) for k in range(1000)], sound=0.2 * world)
    soundfile.write(tmp_path / "s.wav", np.delete(0.2 * world, np.s_[1440000:1441920]), 48000, subtype="PCM_16")
    (tmp_path / "s.cues.csv").write_text("start,end,name\n2,4,a\n35,37,b\n", encoding="utf-8")
    before, after = find_clips(tmp_path)
    assert load_clip(before, TIMEBASE).synchrony.confidence == pytest.approx(0.75, abs=0.05)  # 30 of 40 s
    with pytest.raises(MediaError, match=r"s\.wav: does not follow the camera's own sound from 35\.00 s of s\.mp4"):
        load_clip(after, TIMEBASE)


@pytest.mark.parametrize(
    "names, text, rule",
    [
        (("s1", "u1"), "start,end,name\n0,1,u1\n", r"gives a clip of the name u1, too"),
        (("s1",), "start,end,name\n0,1,u1\n7,9,u2\n", r"s1\.cues\.csv, line 3: ends at 9\.000 s"),
        (("s1",), "start,end,name,split\n0,1,u1,dev\n", "line 2: split is 'dev'"),
        (("other",), "start,end,name\n0,1,u1\n", r"s1\.cues\.csv: no picture of that name"),
    ],
)
def test_faulty_sessions(write_clip, tmp_path, names, text, rule):
    for name in names:
        write_clip(name + ".mp4", [Fraction(k, 25) for k in range(50)])
    (tmp_path / "s1.cues.csv").write_text(text, encoding="utf-8")
    with pytest.raises(MediaError, match=rule):
        find_clips(tmp_path)


def test_a_manifest_may_name_times(tmp_path):
    (tmp_path / "s.mp4").write_bytes(b"x")
    text = "utterance,video,start,end\na,s.mp4,0:01,2.5\nb,s.mp4,3,\nc,s.mp4,,\n"
    (tmp_path / "manifest.csv").write_text(text, encoding="utf-8")
    times = [(clip.start_seconds, clip.end_seconds) for clip in find_clips(tmp_path)]
    assert times == [(1, Fraction(5, 2)), (3, None), (None, None)]
    (tmp_path / "manifest.csv").write_text(text.replace("2.5", "1"), encoding="utf-8")
    with pytest.raises(MediaError, match="line 2: ends at 1, not after its start"):
        find_clips(tmp_path)
    (tmp_path / "s.cues.csv").write_text("start,end,name\n0,1,a\n", encoding="utf-8")
    with pytest.raises(MediaError, match=r"s\.cues\.csv: manifest\.csv lies beside it"):
        find_clips(tmp_path)


def test_names_are_composed(tmp_path):
    (tmp_path / "e\u0301.mp4").write_bytes(b"x")  # decomposed, as some file systems write it
    (clip,) = find_clips(tmp_path)
    assert clip.utterance == "\u00e9"
    (tmp_path / "manifest.csv").write_text("utterance,video\n\u00e9,\u00e9.mp4\n", encoding="utf-8")
    assert find_clips(tmp_path)[0].video.is_file()


def test_a_session_with_its_sound_recorded_apart(write_clip, tmp_path, rng):
    """Offset and drift are the session's; every cue is laid by them."""
    world = soxr.resample(rng.standard_normal(41 * 4000), 4000, 48000)  # noise to 2 kHz
    world *= 0.1 * (1 + np.sign(np.sin(np.arange(len(world)) / 48000 * 5.1 + np.sin(np.arange(len(world)) / 30000))))
    write_clip("s.mp4", [Fraction(k, 25) for k in range(1000)], sound=world[48000:])
    apart = soxr.resample(world, 48000, 48000 * (1 + 80e-6))  # begins one second earlier, runs fast
    soundfile.write(tmp_path / "s.wav", apart, 48000, subtype="PCM_16")
    (tmp_path / "s.cues.csv").write_text("start,end,name\n2,4,a\n36,39,b\n", encoding="utf-8")
    for source, start in zip(find_clips(tmp_path), (2, 36), strict=True):
        clip = load_clip(source, TIMEBASE)
        assert clip.synchrony.drift_ppm == pytest.approx(80, abs=2)
        expected = world[(1 + start) * 48000 :][: len(clip.waveform)]
        # the resampling's phase, the 16 bits, and a start rounded to a sample: far below a wrong millisecond's 0.3
        assert np.corrcoef(expected, clip.waveform)[0, 1] > 0.99
