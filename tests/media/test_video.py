"""Frames by presentation time: the painted number says which recorded frame was chosen."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest

from avsc_tf.core.errors import MediaError
from avsc_tf.media.video import _probe_frames, _probe_packets, probe_video, read_frames


def _shown(times: list[Fraction], at: Fraction) -> int:
    """Slow reference: the last frame that has appeared by then."""
    return max(i for i, second in enumerate(times) if second - times[0] <= at)


@pytest.mark.parametrize(
    "rate", [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)]
)
def test_constant_rates_give_the_frame_on_screen(write_clip, read_number, rate):
    times = [k / rate for k in range(50)]
    path = write_clip("clip.mp4", times)
    numbers = [read_number(frame) for frame in read_frames(path, fps=25)]
    assert numbers == [_shown(times, Fraction(2 * i + 1, 50)) for i in range(len(numbers))]
    # the last frame lasts one period: centres before 50 / rate
    assert len(numbers) == sum(Fraction(2 * i + 1, 50) < 50 / rate for i in range(80))
    assert len(numbers) == probe_video(path).frames_at(25)


def test_sixty_to_twenty_five_by_hand(write_clip, read_number):
    path = write_clip("clip.mp4", [Fraction(k, 60) for k in range(24)])
    # centres 0.02, 0.06, 0.10, ... s times 60 frames/s = 1.2, 3.6, 6.0, 8.4, 10.8, 13.2, 15.6, 18.0, 20.4, 22.8
    assert [read_number(f) for f in read_frames(path, fps=25)] == [1, 3, 6, 8, 10, 13, 15, 18, 20, 22]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_variable_rate(write_clip, read_number, rng, suffix):
    # whole milliseconds, because Matroska stores no finer time; none on a centre (20 + 40 i ms)
    steps = rng.choice([9, 17, 33, 34, 41, 83, 250], size=40)
    times = [Fraction(int(t), 1000) for t in np.cumsum(steps)]
    path = write_clip("clip" + suffix, times)
    numbers = [read_number(frame) for frame in read_frames(path, fps=25)]
    assert numbers == [_shown(times, Fraction(2 * i + 1, 50)) for i in range(len(numbers))]
    assert abs(len(numbers) / 25 - float(times[-1] - times[0])) < 0.3  # last frame's duration is not known exactly


@pytest.mark.parametrize("name, codec", [("clip.mpg", "mpeg1video"), ("clip.avi", "mpeg4")])
def test_old_containers(write_clip, read_number, name, codec):
    path = write_clip(name, [Fraction(k, 25) for k in range(40)], video_codec=codec, ticks=25)
    assert [read_number(frame) for frame in read_frames(path, fps=25)] == list(range(40))


def test_clock_starts_at_the_first_frame(write_clip, read_number):
    path = write_clip("clip.mkv", [Fraction(k, 25) + Fraction(3, 2) for k in range(12)])
    assert [read_number(frame) for frame in read_frames(path, fps=25)] == list(range(12))
    assert probe_video(path).start_seconds == Fraction(3, 2)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_clock_of_the_day_of_recording(write_clip, read_number, suffix):
    """Some cameras count seconds since 1970: the clip is as long as it is, not as old."""
    path = write_clip("clip" + suffix, [1_700_000_000 + Fraction(k, 25) for k in range(12)], ticks=1000)
    assert [read_number(frame) for frame in read_frames(path, fps=25)] == list(range(12))
    assert [read_number(f) for f in read_frames(path, fps=25, start_seconds=Fraction(8, 25), n_frames=3)] == [8, 9, 10]
    assert probe_video(path).frames_at(25) == 12


def test_a_still_screen_is_shown_for_minutes(write_clip):
    path = write_clip("clip.mkv", [Fraction(k, 25) + 540 * (k > 5) for k in range(12)], ticks=1000)
    frames = list(read_frames(path, fps=25))
    assert len(frames) == probe_video(path).frames_at(25) >= 540 * 25 + 11
    assert len({id(frame) for frame in frames}) == 12  # one array for each recorded frame, however long it is shown


@pytest.mark.parametrize("name, codec", [("clip.mkv", "libx264"), ("clip.webm", "libvpx-vp9")])
def test_a_frame_that_claims_hours_is_refused(write_clip, name, codec):
    """The first probe counts packets, the second decodes."""
    path = write_clip(name, [Fraction(k, 25) + 7200 * (k > 5) for k in range(12)], ticks=1000, video_codec=codec)
    message = rf"{name}: one frame is shown from 0\.20 s to 7200\.24 s; .* more than 600 s is taken for damage"
    with pytest.raises(MediaError, match=message):
        probe_video(path)
    with pytest.raises(MediaError, match=message):
        list(read_frames(path, fps=25))


def test_a_last_frame_that_claims_a_day_is_refused(write_clip):
    path = write_clip("clip.mp4", [Fraction(0)], ticks=1000)
    data = bytearray(path.read_bytes())
    # where each box holds a duration, and its ticks a second (the muxer takes 16000 for 1000)
    for name, at, ticks in ((b"stts", 16, 16000), (b"mdhd", 20, 16000), (b"elst", 12, 1000), (b"tkhd", 24, 1000)):
        start = data.index(name) + at
        data[start : start + 4] = (86400 * ticks).to_bytes(4, "big")
    path.write_bytes(data)
    with pytest.raises(MediaError, match=r"one frame is shown from 0\.00 s to 86400\.00 s"):
        probe_video(path)


def test_reading_twice_gives_the_same_bytes(write_clip):
    path = write_clip("clip.mp4", [Fraction(k, 30) for k in range(20)])
    first, second = (np.stack(list(read_frames(path, fps=25))) for _ in range(2))
    assert first.shape == (17, 64, 96, 3)
    np.testing.assert_array_equal(first, second)


def test_pixels_become_square(write_clip, read_number):
    """Old cameras write 720 x 576 that is shown 4:3."""
    path = write_clip("clip.mp4", [Fraction(k, 25) for k in range(7)], pixel_aspect=Fraction(4, 3))
    frames = list(read_frames(path, fps=25))
    assert frames[0].shape == (64, 128, 3)
    assert [read_number(frame) for frame in frames] == list(range(7))
    assert (probe_video(path).width, probe_video(path).height) == (128, 64)


def test_probe(write_clip):
    info = probe_video(write_clip("clip.mp4", [Fraction(k, 30) for k in range(21)]))
    assert (info.width, info.height, info.n_frames) == (96, 64, 21)
    assert info.shown_seconds == pytest.approx(0.7, abs=1e-4)  # ticks of 1/120000 s
    # centres 0.02 ... 0.66 s lie before 0.7 s: 17 of them; 0.70 itself does not
    assert info.frames_at(25) == 17


def test_missing_file_raises_at_once(tmp_path):
    with pytest.raises(MediaError, match=r"absent\.mp4: no such file"):
        read_frames(tmp_path / "absent.mp4", fps=25)


def test_empty_and_foreign_files(tmp_path):
    empty, text = tmp_path / "empty.mp4", tmp_path / "text.mp4"
    empty.write_bytes(b"")
    text.write_text("not a recording\n" * 100, encoding="utf-8")
    with pytest.raises(MediaError, match="is empty"):
        probe_video(empty)
    with pytest.raises(MediaError, match=r"text\.mp4: cannot be decoded"):
        probe_video(text)


def test_no_picture(write_clip):
    path = write_clip("clip.mp4", [], sound=np.zeros(4800))
    with pytest.raises(MediaError, match="no picture"):
        list(read_frames(path, fps=25))


@pytest.mark.parametrize("faststart", [False, True])
@pytest.mark.parametrize("share", [0.4, 0.9])
def test_truncated_file(write_clip, rng, faststart, share):
    images = [rng.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(60)]  # noise: frames of like size
    path = write_clip("clip.mp4", [Fraction(k, 25) for k in range(60)], images=images, faststart=faststart)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(MediaError, match="truncated"):
        list(read_frames(path, fps=25))


def test_truncated_matroska(write_clip, rng):
    images = [rng.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(60)]
    path = write_clip("clip.mkv", [Fraction(k, 25) for k in range(60)], images=images)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(MediaError, match="truncated"):
        probe_video(path)


@pytest.mark.parametrize("share", [0.3, 0.8])
def test_truncated_program_stream(write_clip, rng, share):
    images = [rng.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(60)]
    times = [Fraction(k, 25) for k in range(60)]
    path = write_clip("clip.mpg", times, images=images, video_codec="mpeg2video", ticks=25)
    assert probe_video(path).n_frames == 60
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(MediaError, match="truncated"):
        probe_video(path)


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
def test_program_stream_cut_between_packets(write_clip, rng, codec):
    """All packets are whole then; the last picture shows it, except in the rare cut between two pictures."""
    images = [rng.integers(0, 255, (64, 96, 3), dtype=np.uint8) for _ in range(60)]
    path = write_clip("clip.mpg", [Fraction(k, 25) for k in range(60)], images=images, video_codec=codec, ticks=25)
    data = path.read_bytes()
    packs = [found.start() for found in re.finditer(b"\0\0\1\xba", data)]
    starts = packs[len(packs) // 2 :]
    noticed = 0
    for start in starts:
        path.write_bytes(data[:start])
        try:
            probe_video(path)
        except MediaError as error:
            assert "ends inside a picture" in str(error)
            noticed += 1
    assert noticed >= 0.8 * len(starts) > 6


def test_counting_packets_equals_decoding(shared_data):
    for path in sorted((shared_data / "grid").glob("*/*.mpg"))[::16]:
        assert _probe_packets(path) == _probe_frames(path)


@pytest.mark.parametrize(
    "name, codec", [("clip.mp4", "libx264"), ("clip.mkv", "libx265"), ("clip.mpg", "mpeg2video"), ("clip.mkv", "ffv1")]
)
def test_counting_packets_equals_decoding_made_clips(write_clip, name, codec):
    times = [Fraction(k, 25) + (Fraction(1, 50) if k > 20 and codec == "libx264" else 0) for k in range(50)]
    path = write_clip(name, times, video_codec=codec, ticks=25 if name.endswith("mpg") else 120000)
    assert _probe_packets(path) == _probe_frames(path)


def test_a_codec_that_hides_frames_is_decoded(write_clip):
    path = write_clip("clip.mkv", [Fraction(k, 25) for k in range(30)], video_codec="libvpx-vp9")
    assert _probe_packets(path) is None
    assert probe_video(path).n_frames == 30
