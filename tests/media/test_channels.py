"""Which sound is read of several: channels that are empty, cancel or have a centre, tracks, and how loud it is."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from avsc_tf.core.config import SyncConfig
from avsc_tf.core.errors import MediaError
from avsc_tf.core.timebase import Timebase
from avsc_tf.features.health import clipped_share
from avsc_tf.media.audio import low_rate_sound, read_audio, read_span, recorded_samples
from avsc_tf.media.clips import load_clip, single_clip
from avsc_tf.media.sound import sound_notes
from avsc_tf.signal.pcm import to_int16

RATE_HZ = 48000
TIMEBASE = Timebase(25, RATE_HZ, 240)


@pytest.fixture
def voice(rng) -> np.ndarray:
    """Two seconds of noise that swells and fades."""
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    return 0.05 * rng.standard_normal(len(t)) * (1 + np.sin(2 * np.pi * 3 * t))


def _write(path, channels: np.ndarray, layout: str, codec: str = "pcm_f32le") -> None:
    """Sound alone, [channels, samples]."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=RATE_HZ, layout=layout)
        resampler = av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=RATE_HZ)
        frame = av.AudioFrame.from_ndarray(channels.astype(np.float32), format="fltp", layout=layout)
        frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, 0, Fraction(1, RATE_HZ)
        for piece in resampler.resample(frame):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def _level_db(waveform: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(np.square(waveform, dtype=np.float64))))


CHANNELS = [
    ("stereo", (1, 1), ""),
    ("stereo", (1, 0), "the voice is in the left channel alone"),
    ("stereo", (0.02, 1), "the voice is in the right channel alone"),  # crosstalk
    ("stereo", (1, -1), "the left and right channels cancel each other; the left one"),
    ("stereo", (-0.9, 1), "cancel each other; the right one"),
    ("5.1", (0, 0, 1, 0, 0, 0), "holds 6 channels of sound; the centre one"),
    ("5.1", (0.9, -0.3, 1, 0.5, 0.4, 0.4), "holds 6 channels of sound; the centre one"),
    ("5.1", (1, 1, 0, 0.5, 0.3, 0.3), "holds 6 channels of sound; the mean of the left and right ones"),
    ("3.0", (0, 0, 1), "the centre one"),
    ("quad", (1, 1, 0, 0), "the mean of the left and right ones"),
]


@pytest.mark.parametrize("name, codec", [("x.mkv", "flac"), ("x.wav", "pcm_f32le")])
@pytest.mark.parametrize("layout, gains, note", CHANNELS)
def test_the_voice_keeps_its_level(tmp_path, rng, voice, name, codec, layout, gains, note):
    path = tmp_path / name
    _write(path, np.array(gains)[:, None] * voice + 1e-5 * rng.standard_normal((len(gains), len(voice))), layout, codec)
    whole = read_audio(path, sample_rate_hz=RATE_HZ)
    assert _level_db(whole) == pytest.approx(_level_db(voice), abs=0.5)  # cancelling ones at 0.9 of each other
    notes = sound_notes(path)
    assert (len(notes) == 1 and note in notes[0]) if note else notes == ()
    span = read_span(path, start_seconds=1.5, n_samples=9600, sample_rate_hz=RATE_HZ).waveform
    np.testing.assert_array_equal(span, whole[72000:81600])
    low = low_rate_sound(path, sample_rate_hz=8000)
    low_band = read_audio(path, sample_rate_hz=8000)
    np.testing.assert_allclose(low, low_band, atol=1e-3)  # half precision of values below 1


def test_ordinary_stereo_is_averaged(tmp_path, rng):
    """Two people at a microphone each, and a plain WAV of three channels without names."""
    for n_channels in (2, 3):
        channels = 0.1 * rng.standard_normal((RATE_HZ, n_channels))
        soundfile.write(tmp_path / f"{n_channels}.wav", channels, RATE_HZ, subtype="FLOAT")
        waveform = read_audio(tmp_path / f"{n_channels}.wav", sample_rate_hz=RATE_HZ)
        np.testing.assert_allclose(waveform, channels.mean(axis=1), atol=1e-7)  # rounding to float32
        assert sound_notes(tmp_path / f"{n_channels}.wav") == ()


def _two_tracks(path, default: int | None) -> None:
    """440 Hz, then 1000 Hz with language and title."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        tones = [container.add_stream("flac", rate=RATE_HZ, layout="mono") for _ in range(2)]
        tones[1].metadata.update({"language": "deu", "title": "Kom\nmentar"})
        for number, stream in enumerate(tones):
            stream.disposition = av.stream.Disposition.default.value if number == default else 0
        for k in range(25):
            picture = av.VideoFrame.from_ndarray(np.full((64, 96, 3), 5 * k, np.uint8), format="rgb24")
            picture.pts, picture.time_base = k, Fraction(1, 25)
            container.mux(video.encode(picture))
        for stream, hz in zip(tones, (440, 1000), strict=True):
            tone = np.round(8000 * np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ)).astype(np.int16)
            for first in range(0, RATE_HZ, 4096):
                frame = av.AudioFrame.from_ndarray(tone[None, first : first + 4096], format="s16", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE_HZ, first, Fraction(1, RATE_HZ)
                container.mux(stream.encode(frame))
        for stream in (video, *tones):
            container.mux(stream.encode(None))


@pytest.mark.parametrize(
    "default, wanted, hz, note",
    [
        (1, 0, 1000, "holds 2 sound tracks; number 2 (deu, Kommentar), the default one, is used"),
        (None, 0, 440, "holds 2 sound tracks; number 1, the first, is used"),
        (1, 1, 440, "holds 2 sound tracks; number 1, as wanted, is used"),
    ],
)
def test_one_of_two_tracks(tmp_path, default, wanted, hz, note):
    path = tmp_path / "x.mkv"
    _two_tracks(path, default)
    clip = load_clip(single_clip(path), TIMEBASE, sync=SyncConfig(audio_track=wanted))
    assert np.abs(np.fft.rfft(clip.waveform)).argmax() == hz  # one second: a bin is 1 Hz
    assert clip.notes == (note,)
    span = read_span(path, start_seconds=0.5, n_samples=4800, sample_rate_hz=RATE_HZ, track=wanted).waveform
    assert np.abs(np.fft.rfft(span)).argmax() * 10 == hz
    with pytest.raises(MediaError, match=r"x\.mkv: holds 2 sound tracks, but track 3 is wanted\. Name one from 1 to 2"):
        load_clip(single_clip(path), TIMEBASE, sync=SyncConfig(audio_track=3))


@pytest.mark.parametrize("peak", [0.9, 1.05, 10.0])
def test_floating_point_above_full_scale(write_clip, tmp_path, voice, peak):
    """Scaled down as a whole, and not taken for clipping; resampling leaves it within 16 bit."""
    sound = soundfile_samples = peak * voice / np.abs(voice).max()
    write_clip("x.mp4", [Fraction(k, 25) for k in range(50)], sound=None)
    soundfile.write(tmp_path / "x.wav", soundfile_samples[: 2 * RATE_HZ], RATE_HZ, subtype="FLOAT")
    clip = load_clip(single_clip(tmp_path / "x.mp4", tmp_path / "x.wav"), TIMEBASE)
    gain = float(clip.waveform @ sound[: len(clip.waveform)] / np.square(sound[: len(clip.waveform)]).sum())
    np.testing.assert_allclose(clip.waveform, gain * sound[: len(clip.waveform)], atol=1e-6)
    recorded = recorded_samples(tmp_path / "x.wav", start_seconds=0, seconds=2)
    assert np.abs(recorded).max() <= 1.0 and clipped_share(recorded) == 0
    if peak == 10.0:
        assert clip.notes == ("the sound passes full scale by 20.0 dB; all of it is made 21.0 dB quieter",)
        assert np.abs(to_int16(clip.waveform).astype(int)).max() == pytest.approx(32768 * 10 ** (-1 / 20), abs=2)
    else:  # up to 1 dB more is what coding and resampling add to any sound
        assert gain == pytest.approx(1) and clip.notes == ()


def test_clipping_in_a_lossy_file_is_still_seen(write_clip):
    """Coding bends flat tops beyond full scale; such sound is scaled down, but was clipped all the same."""
    burst = np.sin(2 * np.pi * 300 * np.arange(RATE_HZ) / RATE_HZ) * (np.arange(RATE_HZ) % 9600 < 900)
    path = write_clip(
        "x.mkv", [Fraction(k, 25) for k in range(25)], sound=np.clip(20 * burst, -1, 1), sound_codec="aac"
    )
    (note,) = sound_notes(path)
    assert note.startswith("the sound passes full scale by ")
    assert np.abs(read_audio(path, sample_rate_hz=RATE_HZ)).max() == pytest.approx(10 ** (-1 / 20), abs=1e-4)
    assert clipped_share(recorded_samples(path, start_seconds=0, seconds=1)) > 0.005


def test_a_silent_track_is_noted(write_clip):
    path = write_clip("x.mp4", [Fraction(k, 25) for k in range(25)], sound=np.zeros(RATE_HZ), sound_codec="aac")
    assert load_clip(single_clip(path), TIMEBASE).notes == ("the sound is silent",)


def test_a_coding_that_nobody_knows(write_clip):
    path = write_clip("x.mov", [Fraction(k, 25) for k in range(25)], sound=np.zeros(RATE_HZ), sound_codec="pcm_s16le")
    path.write_bytes(path.read_bytes().replace(b"sowt", b"zzzz"))
    with pytest.raises(MediaError, match=r"x\.mov: the audio is coded in an unknown way\. Export the recording again"):
        read_audio(path, sample_rate_hz=RATE_HZ)
