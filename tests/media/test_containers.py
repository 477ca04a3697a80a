"""Every container that recordings come in gives the same frames and sound, whole and from the middle."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from avsc_tf.media.audio import read_audio, read_span
from avsc_tf.media.clip_files import AUDIO_SUFFIXES, VIDEO_SUFFIXES, is_video
from avsc_tf.media.video import probe_video, read_frames

N_FRAMES, RATE_HZ = 75, 48000
CLICKS_SECONDS = (0.4, 1.3, 2.5)
SHORT_GROUPS = {"g": "12", "b": "4000000"}
OPTIONS = {
    "libx264": {**SHORT_GROUPS, "bf": "2", "preset": "ultrafast"},
    "libvpx": {**SHORT_GROUPS, "deadline": "realtime", "cpu-used": "8"},
    "wmv2": SHORT_GROUPS,  # it has no B frames
}
# Name, format, picture's and sound's codec, and how late the sound may be: what the format's clock rounds to; in AVI
# also the delay of an MP3 encoder, which nothing in the file counts.
CASES = [
    ("clip.m4v", "mp4", "libx264", "aac", 0.001),
    ("clip.MOV", "mov", "libx264", "pcm_s16le", 0.001),
    ("clip.3gp", "3gp", "libx264", "aac", 0.001),
    ("clip.f4v", "f4v", "libx264", "aac", 0.001),
    ("clip.mkv", "matroska", "libx264", "aac", 0.0011),
    ("clip.webm", "webm", "libvpx", "libopus", 0.0011),
    ("clip.ts", "mpegts", "libx264", "aac", 0.001),
    ("clip.MTS", "mpegts", "libx264", "ac3", 0.001),
    ("clip.m2ts", "mpegts", "mpeg2video", "mp2", 0.001),
    ("clip.mpg", "mpeg", "mpeg1video", "mp2", 0.001),
    ("clip.mpeg", "mpeg", "mpeg2video", "mp2", 0.001),
    ("clip.vob", "vob", "mpeg2video", "ac3", 0.001),
    ("clip.flv", "flv", "libx264", "aac", 0.001),
    ("clip.wmv", "asf", "wmv2", "wmav2", 0.001),
    ("clip.avi", "avi", "libx264", "pcm_s16le", 0.001),
    ("mp3.avi", "avi", "mpeg4", "libmp3lame", 0.025),
    ("clip.mxf", "mxf", "mpeg2video", "pcm_s16le", 0.001),
    ("h264.mxf", "mxf", "libx264", "pcm_s16le", 0.001),
    ("clip.ogv", "ogg", "libvpx", "libvorbis", 0.001),
    ("clip.nut", "nut", "libx264", "aac", 0.001),
]


def _clicks() -> np.ndarray:
    t = np.arange(N_FRAMES * RATE_HZ // 25) / RATE_HZ
    pulses = [np.exp(-(((t - at) / 0.005) ** 2)) * np.cos(2 * np.pi * 1000 * (t - at)) for at in CLICKS_SECONDS]
    return 0.8 * np.sum(pulses, axis=0)


def _lateness(waveform: np.ndarray, at: float, first_seconds: float = 0.0) -> float:
    """Seconds from `at` to the centre of the energy near it."""
    low = round((at - 0.05 - first_seconds) * RATE_HZ)
    energy = waveform[low : low + RATE_HZ // 10].astype(np.float64) ** 2
    return float((energy * np.arange(low, low + len(energy))).sum() / energy.sum() / RATE_HZ + first_seconds - at)


@pytest.mark.parametrize("name, container_format, video_codec, sound_codec, latest_seconds", CASES)
def test_containers_give_the_same_clip(
    write_clip, read_number, name, container_format, video_codec, sound_codec, latest_seconds
):
    path = write_clip(
        name,
        [Fraction(k, 25) for k in range(N_FRAMES)],
        sound=_clicks(),
        sound_codec=sound_codec,
        container_format=container_format,
        video_codec=video_codec,
        video_options=OPTIONS.get(video_codec, {**SHORT_GROUPS, "bf": "2"}),
        ticks=25,
    )
    assert is_video(path)
    assert [read_number(frame) for frame in read_frames(path, fps=25)] == list(range(N_FRAMES))
    assert probe_video(path).frames_at(25) == N_FRAMES
    for start in (1, 13, 38, N_FRAMES - 1):  # at key frames and between them
        entered = read_frames(path, fps=25, start_seconds=Fraction(start, 25), n_frames=N_FRAMES - start)
        assert [read_number(frame) for frame in entered] == list(range(start, N_FRAMES))
    waveform = read_audio(path, sample_rate_hz=RATE_HZ)
    for at in CLICKS_SECONDS:
        assert -0.001 <= _lateness(waveform, at) <= latest_seconds
    span = read_span(path, start_seconds=2.2, n_samples=RATE_HZ // 2, sample_rate_hz=RATE_HZ)
    assert -0.001 <= _lateness(span.waveform, 2.5, 2.2) <= latest_seconds


# Name, format, codec, and the delay of the encoder where nothing in the file counts it.
SOUNDS = [
    ("sound.m4a", "ipod", "aac", 0.001),
    ("alac.m4a", "ipod", "alac", 0.001),
    ("sound.Mp3", "mp3", "libmp3lame", 0.001),
    ("sound.ogg", "ogg", "libvorbis", 0.001),
    ("sound.opus", "opus", "libopus", 0.001),
    ("sound.AIFF", "aiff", "pcm_s24be", 0.001),
    ("sound.caf", "caf", "pcm_s16le", 0.001),
    ("sound.mka", "matroska", "flac", 0.001),
    ("sound.w64", "w64", "pcm_f32le", 0.001),
    ("sound.aac", "adts", "aac", 0.022),
    ("sound.mp2", "mp2", "mp2", 0.011),
    ("sound.ac3", "ac3", "ac3", 0.006),
]


@pytest.mark.parametrize("name, container_format, sound_codec, latest_seconds", SOUNDS)
def test_sound_files_begin_where_the_recording_did(write_clip, name, container_format, sound_codec, latest_seconds):
    path = write_clip(name, [], sound=_clicks(), sound_codec=sound_codec, container_format=container_format)
    assert path.suffix.lower() in AUDIO_SUFFIXES
    waveform = read_audio(path, sample_rate_hz=RATE_HZ)
    for at in CLICKS_SECONDS:
        assert -0.001 <= _lateness(waveform, at) <= latest_seconds


def test_no_suffix_is_both_picture_and_sound():
    assert not set(VIDEO_SUFFIXES) & set(AUDIO_SUFFIXES)
