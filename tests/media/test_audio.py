"""Sound on the picture's clock: clicks and tones at known times."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import soundfile

from avsc_tf.core.errors import MediaError
from avsc_tf.media.audio import read_audio

PICTURE = [Fraction(k, 25) for k in range(50)]


def _click(n_samples: int, at: int) -> np.ndarray:
    waveform = np.zeros(n_samples)
    waveform[at] = 0.9
    return waveform


def _burst(n_samples: int, rate_hz: int, at_seconds: float) -> np.ndarray:
    """A Gaussian pulse on 1 kHz: its envelope's centre survives a lossy codec."""
    t = np.arange(n_samples) / rate_hz - at_seconds
    return 0.8 * np.exp(-((t / 0.005) ** 2)) * np.cos(2 * np.pi * 1000 * t)


def _centre_seconds(waveform: np.ndarray, rate_hz: int) -> float:
    energy = waveform.astype(np.float64) ** 2
    return float((energy * np.arange(len(energy))).sum() / energy.sum() / rate_hz)


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000, 96000])
def test_a_click_stays_at_its_time(tmp_path, rate_hz):
    soundfile.write(tmp_path / "a.wav", _click(rate_hz, rate_hz // 4), rate_hz, subtype="PCM_16")
    waveform = read_audio(tmp_path / "a.wav", sample_rate_hz=48000)
    assert waveform.dtype == np.float32
    assert waveform.shape == (48000,)
    assert abs(int(np.abs(waveform).argmax()) - 12000) <= 1  # a sample of 48 kHz


@pytest.mark.parametrize(
    "name, subtype, step",
    [
        ("a.wav", "PCM_U8", 2**-7),
        ("a.wav", "PCM_16", 2**-15),
        ("a.wav", "PCM_24", 2**-23),
        ("a.wav", "PCM_32", 2**-24),  # float32 has 24 bits
        ("a.wav", "FLOAT", 2**-24),
        ("a.flac", "PCM_16", 2**-15),
        ("a.flac", "PCM_24", 2**-23),
        ("a.aiff", "PCM_24", 2**-23),  # of three bytes each: a byte of padding follows an odd number
    ],
)
def test_sample_formats(tmp_path, rng, name, subtype, step):
    samples = rng.uniform(-0.9, 0.9, size=3001)
    soundfile.write(tmp_path / name, samples, 48000, subtype=subtype)
    waveform = read_audio(tmp_path / name, sample_rate_hz=48000)
    np.testing.assert_allclose(waveform, samples, atol=step)  # one quantisation step


def test_channels_are_averaged(tmp_path, rng):
    stereo = rng.uniform(-0.5, 0.5, size=(700, 3))
    soundfile.write(tmp_path / "a.wav", stereo, 48000, subtype="FLOAT")
    waveform = read_audio(tmp_path / "a.wav", sample_rate_hz=48000)
    np.testing.assert_allclose(waveform, stereo.mean(axis=1), atol=1e-7)  # float32 rounding


def test_resampling_does_not_alias(tmp_path):
    t = np.arange(96000) / 96000
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 30000 * t), 96000, subtype="FLOAT")
    waveform = read_audio(tmp_path / "a.wav", sample_rate_hz=48000)
    # 30 kHz would fold to 18 kHz; -100 dB is far above soxr HQ's floor and far below poorer resamplers'
    assert np.abs(waveform[1000:-1000]).max() < 0.5e-5


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("codec, tolerance_seconds", [("flac", 2e-5), ("aac", 1e-3)])
def test_sound_in_a_clip(write_clip, suffix, codec, tolerance_seconds):
    sound = _burst(96000, 48000, 0.7)
    path = write_clip("clip" + suffix, PICTURE, sound=sound, sound_codec=codec)
    waveform = read_audio(path, sample_rate_hz=48000)
    slack = 1e-3 if suffix == ".mkv" else 0.0  # Matroska stores whole milliseconds
    assert _centre_seconds(waveform, 48000) == pytest.approx(0.7, abs=tolerance_seconds + slack)


@pytest.mark.parametrize("picture_seconds, sound_seconds", [(0.0, 0.31), (0.5, 0.0), (1.25, 0.75)])
def test_sample_zero_is_the_first_picture(write_clip, picture_seconds, sound_seconds):
    rate_hz = 44100
    times = [second + Fraction(picture_seconds) for second in PICTURE]
    sound = _burst(2 * rate_hz, rate_hz, 0.9)
    path = write_clip("clip.mkv", times, sound=sound, sound_rate_hz=rate_hz, sound_seconds=sound_seconds)
    waveform = read_audio(path, sample_rate_hz=48000)
    expected = sound_seconds + 0.9 - picture_seconds
    assert _centre_seconds(waveform, 48000) == pytest.approx(expected, abs=1e-3)  # Matroska's milliseconds
    lead = round((sound_seconds - picture_seconds) * 48000)
    assert len(waveform) == pytest.approx(96000 + lead, abs=49)  # one millisecond
    if lead > 0:
        assert not waveform[: lead - 49].any()


def test_pcm_of_24_bit_in_a_mov(write_clip, rng):
    sound = rng.uniform(-0.9, 0.9, size=48000)
    path = write_clip("clip.mov", PICTURE, sound=sound, sound_codec="pcm_s24le")
    np.testing.assert_allclose(read_audio(path, sample_rate_hz=48000), sound, atol=2**-15)  # written from 16 bit


def test_missing_file(tmp_path):
    with pytest.raises(MediaError, match=r"absent\.wav: no such file"):
        read_audio(tmp_path / "absent.wav", sample_rate_hz=48000)


def test_no_sound(write_clip):
    with pytest.raises(MediaError, match=r"clip\.mp4: holds no sound"):
        read_audio(write_clip("clip.mp4", PICTURE), sample_rate_hz=48000)


@pytest.mark.parametrize(
    "name, subtype", [("a.wav", "PCM_16"), ("a.wav", "PCM_24"), ("a.flac", "PCM_16"), ("a.aiff", "PCM_24")]
)
def test_truncated_sound_file(tmp_path, rng, name, subtype):
    path = tmp_path / name
    soundfile.write(path, rng.uniform(-1, 1, size=20000), 48000, subtype=subtype)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    with pytest.raises(MediaError, match="truncated"):
        read_audio(path, sample_rate_hz=48000)


@pytest.mark.parametrize("faststart", [False, True])
def test_truncated_clip(write_clip, rng, faststart):
    path = write_clip("clip.mp4", PICTURE, sound=rng.uniform(-1, 1, size=96000), faststart=faststart)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match="truncated"):
        read_audio(path, sample_rate_hz=48000)


def test_empty_and_invalid_sound(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 48000)
    with pytest.raises(MediaError, match="no samples"):
        read_audio(tmp_path / "empty.wav", sample_rate_hz=48000)
    for value in (np.nan, np.inf, 1e30):
        soundfile.write(tmp_path / "odd.wav", np.array([0.0, value, 0.0]), 48000, subtype="FLOAT")
        with pytest.raises(MediaError, match=r"odd\.wav: the sound holds values that are not numbers, or that no"):
            read_audio(tmp_path / "odd.wav", sample_rate_hz=48000)
