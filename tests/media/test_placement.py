"""Sound where its timestamps place it: rounded, late, early, overlapping and absurd ones, in files and in numbers."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from avsc_tf.core.errors import MediaError
from avsc_tf.core.timebase import Timebase
from avsc_tf.media.audio import low_rate_sound, read_audio, read_span
from avsc_tf.media.clips import load_clip, single_clip
from avsc_tf.media.placement import NO_TIMESTAMP, TOLERANCE_SECONDS, Placement, place_pieces
from avsc_tf.media.video import probe_video

RATE_HZ = 48000
PIECE = 1024
TIMEBASE = Timebase(25, RATE_HZ, 240)
FRAMES = [Fraction(k, 25) for k in range(100)]


def _placed(seconds: list[float | None], tick_seconds: Fraction = Fraction(1, 1000)) -> Placement:
    """Pieces of `PIECE` samples whose timestamps are these times, rounded to ticks."""
    ticks = [None if s is None else round(Fraction(s) / tick_seconds) for s in seconds]
    due = [None if t is None else round(t * tick_seconds * RATE_HZ) for t in ticks]
    timestamps = [NO_TIMESTAMP if t is None else t for t in ticks]
    return place_pieces(timestamps, due, [PIECE] * len(due), rate_hz=RATE_HZ, tick_seconds=tick_seconds)


def _times(n: int, start: float = 0.0) -> list[float]:
    return [start + k * PIECE / RATE_HZ for k in range(n)]


def test_rounded_and_jittering_timestamps_make_no_seam(rng):
    counted = np.arange(40) * PIECE
    for times in (_times(40), list(np.array(_times(40)) + rng.uniform(-0.0022, 0.0022, 40))):
        firsts = _placed(times).firsts
        assert np.array_equal(firsts - firsts[0], counted)
    outlier = _times(40)
    outlier[20] += 3.0  # one timestamp that its neighbours contradict
    assert np.array_equal(_placed(outlier).firsts, counted)
    late = _placed([None, None, *_times(38, 2 * PIECE / RATE_HZ)], Fraction(1, RATE_HZ)).firsts
    assert np.array_equal(late, counted)
    assert np.array_equal(_placed([0.0, *[None] * 39]).firsts, counted)


def test_small_deviations_add_up_to_a_correction():
    """Ten joins, 3 ms too early each: no single one shows, all together do."""
    times = [k * PIECE / RATE_HZ - 0.003 * (k // 10) for k in range(100)]
    deviations = _placed(times, Fraction(1, RATE_HZ)).firsts / RATE_HZ - times
    assert np.abs(deviations).max() <= TOLERANCE_SECONDS + 1 / RATE_HZ
    assert np.abs(deviations).max() > 0.0025


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    steps=st.lists(st.tuples(st.integers(3, 12), st.floats(-0.4, 0.4)), min_size=1, max_size=8),
    ticks=st.sampled_from([1000, 90000, RATE_HZ]),
)
def test_any_gaps_and_overlaps_are_followed(steps, ticks):
    """Each run of pieces lies where its timestamps place it; what a run has begun before is left out of the next."""
    times, clock = [], 0.0
    for n_pieces, step in steps:
        clock += step
        times += [clock + k * PIECE / RATE_HZ for k in range(n_pieces)]
        clock += n_pieces * PIECE / RATE_HZ
    placement = _placed(times, Fraction(1, ticks))
    # the tolerance, and half a tick of rounding on each of the two timestamps that are compared
    assert np.abs(placement.firsts / RATE_HZ - times).max() <= TOLERANCE_SECONDS + 1 / ticks + 1 / RATE_HZ
    assert (np.diff(placement.reached) >= 0).all()


def _copy(parts: list[tuple[Path, dict[str, Fraction]]], out: Path) -> Path:
    """Packets of files one after the other, without decoding, each stream shifted by its seconds, as FFmpeg joins."""
    with av.open(str(parts[0][0])) as template, av.open(str(out), "w") as made:
        streams = {s.type: made.add_stream_from_template(s) for s in template.streams}
        last: dict[str, int] = {}
        for path, shifts in parts:
            with av.open(str(path)) as container:
                for packet in container.demux():
                    if not packet.size:
                        continue
                    kind = packet.stream.type
                    shift = round(shifts[kind] / packet.time_base)
                    packet.dts, packet.pts = packet.dts + shift, packet.pts + shift
                    if kind in last and packet.dts <= last[kind]:  # decoding times must rise
                        packet.dts = last[kind] + 1
                        packet.pts = max(packet.pts, packet.dts)
                    last[kind] = packet.dts
                    packet.stream = streams[kind]
                    made.mux(packet)
    return out


def _clicks(n_seconds: int) -> np.ndarray:
    """A pulse on 1 kHz in the middle of each second."""
    t = np.arange(n_seconds * RATE_HZ) / RATE_HZ
    return 0.8 * np.exp(-(((t % 1 - 0.5) / 0.005) ** 2)) * np.cos(2 * np.pi * 1000 * t)


def _click_near(waveform: np.ndarray, at: float) -> float:
    """Centre of the energy within 0.2 s."""
    first = round((at - 0.2) * RATE_HZ)
    energy = waveform[first : round((at + 0.2) * RATE_HZ)].astype(np.float64) ** 2
    return float((energy * np.arange(first, first + len(energy))).sum() / energy.sum() / RATE_HZ)


def _assert_read_alike(path: Path, starts: list[float], click: float) -> np.ndarray:
    """The whole, spans from anywhere and the low-rate sound are the same; returns the whole."""
    whole = read_audio(path, sample_rate_hz=RATE_HZ)
    for start in starts:
        span = read_span(path, start_seconds=start, n_samples=9600, sample_rate_hz=RATE_HZ).waveform
        np.testing.assert_array_equal(span, whole[round(start * RATE_HZ) :][:9600])
    low = soxr.resample(low_rate_sound(path, sample_rate_hz=8000).astype(np.float32), 8000, RATE_HZ)
    # half precision of values below 1, and a click on 1 kHz lies well within 4 kHz
    np.testing.assert_allclose(low[: len(whole) - 480], whole[: len(low)][: len(whole) - 480], atol=2e-2)
    assert _click_near(low, click) == pytest.approx(_click_near(whole, click), abs=1e-4)
    return whole


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_clip_repeated_without_encoding_stays_in_step(write_clip, tmp_path, suffix):
    """The encoder's priming of each repetition overlaps the last one's end by 21 ms."""
    once = write_clip("once.mp4", FRAMES, sound=_clicks(4), sound_codec="aac")
    joined = _copy(
        [(once, dict.fromkeys(("video", "audio"), Fraction(4 * k))) for k in range(10)], tmp_path / f"x{suffix}"
    )
    whole = _assert_read_alike(joined, [3.9, 4.1, 11.95, 20.3, 38.7], 39.5)
    for at in (0.5, 3.5, 4.5, 20.5, 36.5, 39.5):
        assert _click_near(whole, at) == pytest.approx(at, abs=2e-3)  # promised are 10 ms; Matroska rounds to 1
    assert len(load_clip(single_clip(joined), TIMEBASE).frames) in (999, 1000)  # the last one's duration may be lost


def test_lost_and_doubled_sound(write_clip, tmp_path):
    """Two takes joined with 30 ms lost between them, then two that overlap by 0.7 s."""
    once = write_clip("once.mov", FRAMES, sound=_clicks(4), sound_codec="pcm_s16le")
    for number, step in enumerate((Fraction(403, 100), Fraction(33, 10))):
        shifts = {"video": Fraction(4), "audio": step}
        path = _copy([(once, dict.fromkeys(shifts, Fraction(0))), (once, shifts)], tmp_path / f"{number}.mkv")
        whole = _assert_read_alike(path, [3.2, 3.9, 4.02, 5.5], float(step) + 2.5)
        first = 0.5 if step > 4 else 1.5  # of the second take, after the first one's end
        assert _click_near(whole, float(step) + first) == pytest.approx(float(step) + first, abs=1e-3)
        assert len(whole) == pytest.approx((float(step) + 4) * RATE_HZ, abs=48)
        if step > 4:
            assert not whole[4 * RATE_HZ + 48 : round(4.03 * RATE_HZ) - 48].any()


EPOCH = Fraction(1_700_000_000)


@pytest.mark.parametrize(
    "shifts, fault",
    [
        ({"video": Fraction(0), "audio": EPOCH}, r"x\.mkv: .* 4\.00 s of it, begins 1700000000 s after the first"),
        ({"video": EPOCH, "audio": Fraction(0)}, r"x\.mkv: .* ends 1699999996 s before the first picture; .* Export"),
        ({"video": EPOCH, "audio": EPOCH}, ""),
    ],
)
def test_timestamps_since_1970(write_clip, tmp_path: Path, shifts: dict[str, Fraction], fault: str):
    once = write_clip("once.mov", FRAMES, sound=_clicks(4), sound_codec="pcm_s16le")
    path = _copy([(once, shifts)], tmp_path / "x.mkv")
    if fault:
        readers: list[Callable[[], object]] = [
            lambda: load_clip(single_clip(path), TIMEBASE),
            lambda: read_span(path, start_seconds=0, n_samples=9600, sample_rate_hz=RATE_HZ),
            lambda: low_rate_sound(path, sample_rate_hz=8000),
        ]
        for read in readers:
            with pytest.raises(MediaError, match=fault):
                read()
    else:
        clip = load_clip(single_clip(path), TIMEBASE)
        np.testing.assert_array_equal(clip.waveform, load_clip(single_clip(once), TIMEBASE).waveform)
        assert len(list(clip.frames)) == 100


def test_hours_of_nothing_are_refused(write_clip, tmp_path):
    once = write_clip("once.mov", FRAMES, sound=_clicks(4), sound_codec="pcm_s16le")
    nothing, hours = dict.fromkeys(("video", "audio"), Fraction(0)), Fraction(36_000)
    path = _copy([(once, nothing), (once, {"video": Fraction(4), "audio": hours})], tmp_path / "a.mkv")
    with pytest.raises(
        MediaError, match=r"a\.mkv: by its timestamps the sound, 8\.00 s of it, is interrupted for 35996 s"
    ):
        read_audio(path, sample_rate_hz=RATE_HZ)
    path = _copy([(once, nothing), (once, {"video": hours, "audio": Fraction(4)})], tmp_path / "b.mkv")
    with pytest.raises(MediaError, match=r"b\.mkv: one frame is shown from 3.96 s to 36000.00 s"):
        probe_video(path)
    with pytest.raises(
        MediaError, match=r"once\.mov: 36000 s of sound from 0\.00 s on are wanted, but it lasts 4\.00 s"
    ):
        read_span(once, start_seconds=0.05, n_samples=36_000 * RATE_HZ - 4800, sample_rate_hz=RATE_HZ)
