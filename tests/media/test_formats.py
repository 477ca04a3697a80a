"""Property tests over what people record: frame rates, containers, stream offsets, sound formats, names."""

from __future__ import annotations

import math
import os
from fractions import Fraction

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avsc_tf.core.timebase import Timebase
from avsc_tf.media.audio import read_audio
from avsc_tf.media.clips import find_clips, load_clip
from avsc_tf.media.video import probe_video, read_frames

TIMEBASE = Timebase(25, 48000, 240)
RATES = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(50), Fraction(60)]
SCRIPTS = [
    "名前 一",
    "Žluťoučký kůň",
    "עברית",
    "مرحبا",
    "ภาษาไทย",
    "한국어",
    'it\'s "so"',
    "a:b",
    "100%d",
    "-dash",
    "😀 [x]{y}*?",
]
SETTINGS = settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
BURSTS_SECONDS = (0.4, 0.9, 1.3)


def _stored(second: Fraction, suffix: str) -> Fraction:
    """Matroska keeps whole milliseconds, the other files here 1/120000 s."""
    ticks = 1000 if suffix == ".mkv" else 120000
    return Fraction(math.floor(second * ticks + Fraction(1, 2)), ticks)


def _on_screen(times: list[Fraction], at: Fraction) -> int:
    """Slow reference: the last frame that has appeared by then."""
    return max(number for number, second in enumerate(times) if second - times[0] <= at)


@st.composite
def frame_times(draw: st.DrawFn) -> list[Fraction]:
    """A constant rate, or gaps of 4 to 250 ms as phones and screen recorders leave them."""
    n_frames, start = draw(st.integers(2, 70)), draw(st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(5, 4)]))
    rate = draw(st.sampled_from([*RATES, None]))
    if rate is not None:
        return [start + k / rate for k in range(n_frames)]
    gaps = draw(st.lists(st.integers(4, 250), min_size=n_frames - 1, max_size=n_frames - 1))
    return [start + Fraction(int(ms), 1000) for ms in np.cumsum([0, *gaps])]


@settings(parent=SETTINGS, max_examples=40)
@given(times=frame_times(), suffix=st.sampled_from([".mp4", ".mov", ".mkv"]), data=st.data())
def test_every_frame_is_the_one_on_screen(write_clip, read_number, times, suffix, data):
    path = write_clip("clip" + suffix, times, key_frames=data.draw(st.sampled_from([5, 250])))
    stored = [_stored(second, suffix) for second in times]
    numbers = [read_number(frame) for frame in read_frames(path, fps=25)]
    assert numbers == [_on_screen(stored, Fraction(2 * i + 1, 50)) for i in range(len(numbers))]
    info = probe_video(path)
    assert len(numbers) == info.frames_at(25)
    assert info.n_frames == len(times)
    assert info.start_seconds == stored[0]
    least = stored[-1] - stored[0]  # the last frame's duration is the writer's guess
    assert least < info.shown_seconds <= least + Fraction(1, 2)
    start = data.draw(st.integers(0, len(numbers)))  # entered anywhere, the same frames
    entered = read_frames(path, fps=25, start_seconds=Fraction(start, 25), n_frames=len(numbers) - start)
    assert [read_number(frame) for frame in entered] == numbers[start:]


def _bursts(seconds: float, rate_hz: int) -> np.ndarray:
    """Gaussian pulses on 1 kHz: their centres survive a lossy codec."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    pulses = [np.exp(-(((t - at) / 0.005) ** 2)) * np.cos(2 * np.pi * 1000 * (t - at)) for at in BURSTS_SECONDS]
    return 0.8 * np.sum(pulses, axis=0)


def _heard(waveform: np.ndarray, rate_hz: int, at: float) -> float:
    """Centre of the energy within 40 ms of `at`, in seconds."""
    first = round((at - 0.04) * rate_hz)
    energy = waveform[first : round((at + 0.04) * rate_hz)].astype(np.float64) ** 2
    return float((energy * np.arange(first, first + len(energy))).sum() / energy.sum() / rate_hz)


# Codec, its containers, and the rates that it knows.
CODECS = [
    ("aac", (".mp4", ".mov", ".mkv"), (16000, 22050, 44100, 48000, 96000)),
    ("alac", (".mp4", ".mov", ".mkv"), (8000, 44100, 48000, 96000)),
    ("flac", (".mp4", ".mkv"), (8000, 44100, 48000, 96000, 192000)),
    ("pcm_s16le", (".mov", ".mkv", ".avi"), (8000, 44100, 48000, 96000, 192000)),
    ("pcm_s24le", (".mov", ".mkv"), (44100, 48000, 96000)),
    ("pcm_f32le", (".mov", ".mkv"), (16000, 48000)),
    ("mp2", (".mpg",), (44100, 48000)),
]


@st.composite
def sound_streams(draw: st.DrawFn) -> tuple[str, str, int]:
    codec, suffixes, rates = draw(st.sampled_from(CODECS))
    return codec, draw(st.sampled_from(suffixes)), draw(st.sampled_from(rates))


@settings(parent=SETTINGS, max_examples=40)
@given(
    stream=sound_streams(),
    layout=st.sampled_from(["mono", "stereo", "5.1"]),
    offsets=st.sampled_from([(0.0, 0.0), (0.0, 0.31), (0.25, 0.0), (0.5, 0.2)]),
)
def test_sound_lies_on_the_pictures_clock(write_clip, stream, layout, offsets):
    """The streams begin apart (edit lists in mp4 and mov); sample 0 is the first picture all the same."""
    codec, suffix, rate_hz = stream
    layout = "stereo" if layout == "5.1" and codec in ("mp2", "alac") else layout
    picture, sound = offsets if suffix in (".mp4", ".mov", ".mkv") else (0.0, 0.0)
    path = write_clip(
        "clip" + suffix,
        [Fraction(picture) + Fraction(k, 25) for k in range(40)],
        sound=_bursts(1.7, rate_hz),
        sound_rate_hz=rate_hz,
        sound_seconds=sound,
        sound_codec=codec,
        sound_layout=layout,
        video_codec="mpeg2video" if suffix == ".mpg" else "mpeg4" if suffix == ".avi" else "libx264",
        ticks=25 if suffix in (".mpg", ".avi") else 120000,
    )
    waveform = read_audio(path, sample_rate_hz=48000)
    for at in BURSTS_SECONDS:
        expected = sound + at - picture
        # 1 ms is what is promised; Matroska's milliseconds alone may take all of it
        assert abs(_heard(waveform, 48000, expected) - expected) <= 1.0e-3 + (1e-4 if suffix == ".mkv" else 0.0)


@settings(parent=SETTINGS, max_examples=40)
@given(
    rate_hz=st.sampled_from([8000, 11025, 16000, 22050, 32000, 44100, 48000, 88200, 96000, 176400, 192000]),
    coding=st.sampled_from(
        [(".wav", s) for s in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")]
        + [(".flac", s) for s in ("PCM_S8", "PCM_16", "PCM_24")]
    ),
    channels=st.sampled_from([1, 2, 6]),
)
def test_sound_files_of_every_kind(tmp_path, rate_hz, coding, channels):
    path = tmp_path / ("sound" + coding[0])
    sound = _bursts(1.7, rate_hz)
    soundfile.write(path, sound[:, None].repeat(channels, 1), rate_hz, subtype=coding[1])
    waveform = read_audio(path, sample_rate_hz=48000)
    assert abs(len(waveform) - 1.7 * 48000) <= 6  # a sample of 8 kHz
    for at in BURSTS_SECONDS:
        assert abs(_heard(waveform, 48000, at) - at) < 1e-4
    # the highest value falls between samples of a low rate, and a step of 8 bit is 1/128
    assert waveform.max() == pytest.approx(0.8, abs=0.02)


def _rotate(path, quarter_turns: int) -> None:
    """Write the display matrix that phones write (quarter turns clockwise) into an mp4."""
    one, minus = 0x10000, 0xFFFF0000
    matrices = [(one, 0, 0, one), (0, one, minus, 0), (minus, 0, 0, minus), (0, minus, one, 0)]
    pack = [b"".join(w.to_bytes(4, "big") for w in (a, b, 0, c, d, 0, 0, 0, 1 << 30)) for a, b, c, d in matrices]
    data = path.read_bytes()
    header = data.index(b"tkhd")
    path.write_bytes(data[:header] + data[header:].replace(pack[0], pack[quarter_turns], 1))


@pytest.mark.parametrize("quarter_turns", range(4))
def test_phone_clips_stand_upright(write_clip, quarter_turns):
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :48] = 255  # upper left
    path = write_clip("clip.mp4", [Fraction(k, 25) for k in range(4)], images=[image] * 4)
    _rotate(path, quarter_turns)
    turned = np.rot90(image, -quarter_turns)
    frames = list(read_frames(path, fps=25))
    info = probe_video(path)
    assert (info.height, info.width) == turned.shape[:2]
    for frame in frames:
        assert frame.shape == turned.shape
        assert np.abs(frame.astype(int) - turned).mean() < 8  # the edges blur in the codec


def test_an_edit_list_that_cuts_the_beginning(write_clip, read_number):
    """Phones trim without encoding anew: the first ten frames are in the file and not shown."""
    path = write_clip("clip.mp4", [Fraction(k, 25) for k in range(40)], sound=_bursts(1.6, 48000))
    data = bytearray(path.read_bytes())
    at = data.index(b"elst") + 4 + 4 + 4  # name, version and flags, number of entries
    duration, media_time = (int.from_bytes(data[at + k : at + k + 4], "big") for k in (0, 4))
    data[at : at + 4] = (duration - 400).to_bytes(4, "big")  # the movie's clock counts milliseconds
    data[at + 4 : at + 8] = (media_time + 10 * 120000 // 25).to_bytes(4, "big")
    path.write_bytes(data)
    assert [read_number(frame) for frame in read_frames(path, fps=25)] == list(range(10, 40))
    assert probe_video(path).frames_at(25) == 30
    # the sound's own list was left as it was: it begins with the first picture shown
    waveform = read_audio(path, sample_rate_hz=48000)
    assert _heard(waveform, 48000, 0.9) == pytest.approx(0.9, abs=1e-4)


names = st.sampled_from(SCRIPTS) | st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/\\"), min_size=1, max_size=20
).filter(lambda text: not text.startswith(".") and len(text.encode()) < 200)


@settings(parent=SETTINGS, max_examples=40)
@given(name=names)
def test_names_in_any_script(write_clip, tmp_path_factory, monkeypatch, name):
    folder = tmp_path_factory.mktemp("clips")
    path = write_clip("clip.mp4", [Fraction(k, 25) for k in range(20)], sound=_bursts(0.8, 48000))
    os.replace(path, folder / f"{name}.mp4")
    monkeypatch.chdir(folder)
    for place in (folder, folder.__class__(".")):  # a colon in a relative name is no protocol
        (clip,) = find_clips(place)
        assert len(load_clip(clip, TIMEBASE).frames) == 20
