"""Written clips: every picture and every sample at its time, bit-exact where promised, whole or absent."""

from __future__ import annotations

import hashlib
from fractions import Fraction

import av
import numpy as np
import pytest

from avsc_tf.core.errors import MediaError
from avsc_tf.media.container import has_picture, has_sound
from avsc_tf.media.mux import write_sound, write_video
from avsc_tf.media.video import read_frames

HEIGHT, WIDTH = 64, 96
RATE_HZ = 48000


def grey_frames(n_frames: int) -> list[np.ndarray]:
    """Frame i is a plain grey of its own, so a decoded picture tells its number."""
    levels = np.linspace(40, 215, n_frames).round().astype(np.uint8)
    return [np.full((HEIGHT, WIDTH, 3), level, np.uint8) for level in levels]


def decoded_sound(path) -> tuple[np.ndarray, Fraction]:
    """All samples as players play them, as float, and the time of the first."""
    with av.open(str(path)) as container:
        blocks = list(container.decode(audio=0))
    first = next(b for b in blocks if b.pts >= 0)
    sound = np.concatenate([b.to_ndarray().reshape(-1) for b in blocks if b.pts >= 0])
    scale = 32768.0 if sound.dtype == np.int16 else 1.0
    return sound.astype(float) / scale, first.pts * first.time_base


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001)])
def test_pictures_stand_at_their_times(tmp_path, fps):
    path = tmp_path / "clip.mp4"
    write_video(path, grey_frames(31), np.zeros(3000), fps=fps, sample_rate_hz=16000)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert len(frames) == 31
    times = [f.pts * f.time_base for f in frames]
    expected = [i / Fraction(fps) for i in range(31)]
    # a millisecond: the time base of the file may round, a frame is 33 ms
    assert max(abs(a - b) for a, b in zip(times, expected, strict=True)) < Fraction(1, 1000)
    levels = [f.to_ndarray(format="rgb24").mean() for f in frames]
    # 2 of 255: rounding to 8-bit YCbCr and back, and H.264 at crf 16; neighbouring frames differ by 6
    np.testing.assert_allclose(levels, [f[0, 0, 0] for f in grey_frames(31)], atol=2)


def test_alac_is_bit_exact(tmp_path, rng):
    samples = rng.integers(-32768, 32768, 4801).astype(np.float32) / 32768
    path = tmp_path / "clip.mp4"
    write_video(path, grey_frames(3), samples, fps=25, sample_rate_hz=RATE_HZ, audio_codec="alac")
    sound, start = decoded_sound(path)
    assert start == 0
    np.testing.assert_array_equal(sound, samples)


def test_aac_does_not_shift_the_sound(tmp_path, rng):
    """Noise bursts of a tenth of a second, found by correlation: priming must not move them."""
    samples = np.zeros(2 * RATE_HZ, np.float32)
    for start_s in (0.2, 1.1, 1.7):
        start = round(start_s * RATE_HZ)
        samples[start : start + 4800] = rng.normal(0, 0.1, 4800)
    path = tmp_path / "clip.mp4"
    write_video(path, grey_frames(50), samples, fps=25, sample_rate_hz=RATE_HZ, audio_codec="aac")
    sound, start = decoded_sound(path)
    assert start == 0
    sound = np.pad(sound, (0, 4096))
    lags = np.arange(-1500, 1501)
    score = [np.dot(samples[4000:90000], sound[4000 + lag : 90000 + lag]) for lag in lags]
    assert lags[int(np.argmax(score))] == 0


def test_colours_survive_and_are_tagged(tmp_path):
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[:, :32], frame[:, 32:64], frame[:, 64:] = (200, 40, 40), (40, 180, 60), (50, 60, 210)
    path = tmp_path / "clip.mp4"
    write_video(path, [frame] * 4, np.zeros(1000), fps=25, sample_rate_hz=RATE_HZ)
    with av.open(str(path)) as container:
        decoded = next(container.decode(video=0))
    assert (decoded.colorspace, decoded.color_range) == (6, 1)
    picture = next(read_frames(path, fps=25)).astype(int)
    for x in (16, 48, 80):  # the middle of each stripe, away from chroma edges
        # 6 of 255: 8-bit YCbCr rounding on three channels and H.264; a wrong matrix moves these colours by 20
        np.testing.assert_allclose(picture[32, x], frame[32, x], atol=6)


def test_same_arrays_same_bytes(tmp_path, rng):
    """Twelve times, other memory in use at each: x264's macroblock tree gave four files in ten a difference here."""
    frames = rng.integers(0, 255, (5, 288, 360, 3)).astype(np.uint8)
    digests = set()
    for _ in range(12):
        junk = [rng.integers(0, 255, n_bytes, np.uint8) for n_bytes in rng.integers(1, 200_000, 5)]
        write_video(tmp_path / "clip.mp4", frames, np.zeros(9600), fps=25, sample_rate_hz=RATE_HZ)
        digests.add(hashlib.sha256((tmp_path / "clip.mp4").read_bytes()).hexdigest())
        del junk
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("frames", "waveform", "message"),
    [
        ([], np.zeros(10), "no frames"),
        ([np.zeros((63, 96, 3), np.uint8)], np.zeros(10), "even size"),
        ([np.zeros((64, 96, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)], np.zeros(10), "frame 1"),
        ([np.zeros((64, 96, 3), np.float32)], np.zeros(10), "uint8"),
        ([np.zeros((64, 96, 3), np.uint8)], np.zeros((10, 2)), "mono"),
        ([np.zeros((64, 96, 3), np.uint8)], np.array([0.0, np.nan]), "finite"),
    ],
)
def test_bad_input_leaves_nothing(tmp_path, frames, waveform, message):
    with pytest.raises(MediaError, match=message):
        write_video(tmp_path / "clip.mp4", frames, waveform, fps=25, sample_rate_hz=RATE_HZ)
    assert list(tmp_path.iterdir()) == []


def test_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"old")

    def broken():
        yield np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        raise RuntimeError("renderer failed")

    with pytest.raises(RuntimeError, match="renderer failed"):
        write_video(path, broken(), np.zeros(10), fps=25, sample_rate_hz=RATE_HZ)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mp4"]


def test_a_silent_film_has_a_picture_and_no_sound(tmp_path):
    path = tmp_path / "silent.mp4"
    write_video(path, grey_frames(7), None, fps=25, sample_rate_hz=RATE_HZ)
    assert has_picture(path) and not has_sound(path)
    with av.open(str(path)) as container:
        assert len(list(container.decode(video=0))) == 7


def test_sound_alone_comes_back(tmp_path):
    wave = np.linspace(-1.2, 1.2, 999)
    write_sound(tmp_path / "new" / "sound.wav", wave, sample_rate_hz=RATE_HZ)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["sound.wav"]
    assert has_sound(tmp_path / "new" / "sound.wav") and not has_picture(tmp_path / "new" / "sound.wav")
    sound, first = decoded_sound(tmp_path / "new" / "sound.wav")
    assert first == 0
    np.testing.assert_allclose(sound, np.clip(wave, -1, 1), atol=1 / 32768)  # one step of 16 bit
    with pytest.raises(MediaError, match="mono"):
        write_sound(tmp_path / "none.wav", np.zeros(0), sample_rate_hz=RATE_HZ)


def test_the_cover_of_a_record_is_no_picture(tmp_path):
    """An mp3 with its attached cover."""
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w", options={"id3v2_version": "3"}) as container:
        sound = container.add_stream("mp3", rate=RATE_HZ)
        cover = container.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = WIDTH, HEIGHT, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic.value
        picture = av.VideoFrame.from_ndarray(grey_frames(1)[0], format="rgb24")
        container.mux(cover.encode(picture))
        samples = av.AudioFrame.from_ndarray(np.zeros((1, 4800), np.float32), format="fltp", layout="mono")
        samples.sample_rate = RATE_HZ
        container.mux(sound.encode(samples))
        container.mux(sound.encode())
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1
    assert has_sound(path) and not has_picture(path)
