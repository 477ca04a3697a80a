"""Decoding of uploads: the same arrays as from the upload itself, every limit, and nothing let out."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from avsc_tf.media.audio import read_audio
from avsc_tf.media.container import has_picture, has_sound
from avsc_tf.media.mux import write_video
from avsc_tf.media.video import read_frames
from avsc_tf.service.confine import code_folders, confine, limit_resources
from avsc_tf.service.sandbox import CancelledError, RefusedUploadError, Sandbox, Wanted
from avsc_tf.service.settings import ClipSettings, DecoderSettings

WANTED = Wanted(25, 48000, True, True)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = Sandbox(
        ClipSettings(max_seconds=3.0, max_width_px=320, max_height_px=320, max_pixels=80_000), DecoderSettings()
    )
    yield made
    made.close()


@pytest.fixture
def decode(sandbox: Sandbox, tmp_path: Path) -> Callable[..., Path]:
    """Of bytes or a file, under the server's kind of name."""

    def go(content: bytes | Path, *, by: Sandbox | None = None, wanted: Wanted = WANTED, **how: Any) -> Path:
        upload, folder = tmp_path / "uploads" / "Qx7", tmp_path / "work"
        upload.parent.mkdir(exist_ok=True)
        upload.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
        folder.mkdir()
        return (by or sandbox).decode(upload, folder, wanted, **how)[0]

    return go


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory, load_module: Callable[[Path], Any]) -> dict[str, bytes]:
    return load_module(ROOT / "benchmarks" / "fuzz_media.py").make_seeds(tmp_path_factory.mktemp("seeds"))


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mpg", "webm", "avi", "mkv", "wav", "flac"])
def test_clean_clip_gives_the_arrays_of_the_upload(decode, seeds, suffix: str, tmp_path: Path) -> None:
    """Bit by bit: what is converted from the clean clip is what would be converted from the upload."""
    original = tmp_path / f"original.{suffix}"
    original.write_bytes(seeds[suffix])
    clean = decode(seeds[suffix])
    assert sorted(path.name for path in clean.parent.iterdir()) == ["clip.mov"]  # no sound beside it, no link
    np.testing.assert_array_equal(read_audio(clean, sample_rate_hz=48000), read_audio(original, sample_rate_hz=48000))
    assert has_picture(clean) == has_picture(original) == (suffix not in ("wav", "flac"))
    if has_picture(clean):
        pairs = zip(read_frames(clean, fps=25), read_frames(original, fps=25), strict=True)
        assert all([np.array_equal(ours, theirs) for ours, theirs in pairs])


def test_colours_are_those_of_the_upload(decode, tmp_path: Path) -> None:
    """The clean clip is RGB: tone-mapped and converted once, not twice."""
    rng = np.random.default_rng(0)
    for name, tags in (("hlg", {"color_trc": 18, "color_primaries": 9, "colorspace": 9}), ("hd", {"colorspace": 1})):
        path = tmp_path / f"{name}.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
            for tag, value in tags.items():
                setattr(stream.codec_context, tag, value)
            for _ in range(3):
                image = rng.integers(0, 255, (48, 64, 3)).astype(np.uint8)
                frame = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="yuv420p10le")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        clean = decode(path)
        pairs = list(zip(read_frames(clean, fps=25), read_frames(path, fps=25), strict=True))
        assert len(pairs) == 3 and all(np.array_equal(ours, theirs) for ours, theirs in pairs)
        for left in clean.parent.iterdir():
            left.unlink()
        clean.parent.rmdir()


def test_other_rates_and_odd_sizes(decode, tmp_path: Path) -> None:
    """A picture of 30 frames a second and a sound of 44.1 kHz come at the networks' rates; sizes stay."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 255, (50, 70, 3)).astype(np.uint8) for _ in range(30)]
    path = tmp_path / "x.mp4"
    write_video(path, frames, 0.1 * rng.normal(size=44100), fps=30, sample_rate_hz=44100)
    clean = decode(path, wanted=Wanted(25, 16000, True, True))
    assert [f.shape for f in read_frames(clean, fps=25)] == [(50, 70, 3)] * 25
    assert len(read_audio(clean, sample_rate_hz=16000)) == pytest.approx(16000, abs=400)  # AAC pads to its frames


def test_only_what_is_wanted(decode, seeds) -> None:
    clean = decode(seeds["mp4"], wanted=Wanted(25, 48000, True, False))
    assert has_sound(clean) and not has_picture(clean)


def write(path: Path, *, seconds: float = 1.0, height: int = 48, width: int = 64, fps: int = 25) -> Path:
    frames = [np.full((height, width, 3), 90, np.uint8)] * round(seconds * fps)
    write_video(path, frames, None, fps=fps, sample_rate_hz=48000)
    return path


def test_limits(decode, tmp_path: Path) -> None:
    for name, how, message in (
        ("long", {"seconds": 4.0}, r"lasts 4 s; at most 3 s"),
        ("wide", {"width": 340}, r"picture is 340 x 48; at most 320 x 320"),
        ("large", {"width": 300, "height": 300}, r"and 80000 pixels"),
        ("fast", {"fps": 1000, "seconds": 1.5}, r"more than 240 pictures a second"),
    ):
        with pytest.raises(RefusedUploadError, match=message) as caught:
            decode(write(tmp_path / f"{name}.mp4", **how))
        assert caught.value.kind == "limit" and str(tmp_path) not in str(caught.value)
        (tmp_path / "work").rmdir()  # empty: nothing is left of a refused upload
    soundfile.write(tmp_path / "loud.wav", np.zeros((4000, 9)), 48000)
    with pytest.raises(RefusedUploadError, match="9 channels"):
        decode(tmp_path / "loud.wav")
    (tmp_path / "work").rmdir()
    data = bytearray((tmp_path / "loud.wav").read_bytes())
    struct.pack_into("<I", data, 24, 3_000_000)
    with pytest.raises(RefusedUploadError, match="3000000 samples a second"):
        decode(bytes(data))


def test_sizes_that_lie(decode, tmp_path: Path) -> None:
    """The header says 64 x 48, the pictures are larger: the size that is decoded counts."""
    honest, large = write(tmp_path / "a.mp4").read_bytes(), write(tmp_path / "b.mp4", width=340).read_bytes()
    stsd = large.index(b"avc1", large.index(b"stsd"))
    small = honest.index(b"avc1", honest.index(b"stsd"))
    lying = large[: stsd + 28] + honest[small + 28 : small + 32] + large[stsd + 32 :]
    with pytest.raises(RefusedUploadError):
        decode(lying)


def test_memory_is_bounded(decode, tmp_path: Path) -> None:
    """A picture that needs more than the process may have ends the process's child, with a plain message."""
    small = Sandbox(ClipSettings(), DecoderSettings(memory_bytes=12_000_000))
    try:
        with pytest.raises(RefusedUploadError) as caught:
            decode(write(tmp_path / "a.mp4", width=1920, height=1080, seconds=0.2), by=small)
        assert caught.value.kind in ("memory", "media", "crash", "unreadable")  # whose allocation failed
        small.start()
        assert small.restarts == 0  # the forking process lives
    finally:
        small.close()


def test_time_is_bounded_and_a_job_can_be_cancelled(decode, tmp_path: Path) -> None:
    slow = write(tmp_path / "slow.mp4", width=1280, height=720, seconds=4)
    hasty = Sandbox(ClipSettings(), DecoderSettings(wall_seconds=0.1))
    try:
        started = time.monotonic()
        with pytest.raises(RefusedUploadError, match="takes too long") as caught:
            decode(slow, by=hasty)
        assert caught.value.kind == "timeout" and time.monotonic() - started < 20  # start of the process included
    finally:
        hasty.close()
    for path in (tmp_path / "work").iterdir():
        path.unlink()
    (tmp_path / "work").rmdir()
    patient, cancelled = Sandbox(ClipSettings(), DecoderSettings()), threading.Event()
    try:
        with pytest.raises(CancelledError):
            decode(slow, by=patient, cancelled=cancelled, progress=lambda share: cancelled.set())
        assert Path(f"/proc/{patient.pid}/task/{patient.pid}/children").read_text(encoding="utf-8") == ""
    finally:
        patient.close()


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
        b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
        b"\x89PNG\r\n\x1a\n" + b"\0" * 100,
        b"just text",
        b"",
    ],
    ids=["hls", "concat", "sdp", "dash", "png", "text", "empty"],
)
def test_what_is_no_recording_or_names_other_files(decode, content: bytes) -> None:
    with pytest.raises(RefusedUploadError, match="the upload") as caught:
        decode(content)
    assert caught.value.kind == "media"


def test_a_confined_process_reads_and_writes_nothing_else(tmp_path: Path) -> None:
    """Tried in a forked child: a file of this machine, a file beside, the network."""
    own, other = tmp_path / "own", tmp_path / "other.txt"
    own.mkdir()
    other.write_text("secret", encoding="utf-8")
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        failed = []
        in_force = confine(readable=code_folders(), writable=own)
        limit_resources(memory_bytes=100_000_000, cpu_seconds=5, file_bytes=1000, open_files=32)
        (own / "allowed").write_text("x", encoding="utf-8")
        for name, attempt in (
            ("read", lambda: other.read_text(encoding="utf-8")),
            ("list", lambda: os.listdir("/etc")),
            ("write", lambda: (tmp_path / "new").write_text("x", encoding="utf-8")),
            ("large file", lambda: (own / "large").write_bytes(b"x" * 5000)),
            ("memory", lambda: bytearray(300_000_000)),
            ("remove", lambda: other.unlink()),
        ):
            try:
                attempt()
            except (OSError, MemoryError):
                failed.append(name)
        os.write(writing, repr((in_force, failed)).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    in_force, failed = eval(os.read(reading, 10_000))
    os.close(reading)
    os.close(writing)
    always = ["large file", "memory"]
    if "landlock" not in in_force:
        pytest.skip("this kernel has no Landlock: only the limits of resources hold")
    assert sorted(failed) == sorted(["read", "list", "write", "remove", *always]) and (own / "allowed").exists()


def test_seeded_damage(load_module) -> None:
    """A hundred broken files of eight formats: no crash of what forks, no hang, nothing left (2000: benchmarks/)."""
    fuzz = load_module(ROOT / "benchmarks" / "fuzz_media.py")
    found = fuzz.fuzz(100, seed=11)
    assert found["decoder_died"] == 0 and not found["left_behind"] and sum(found["outcomes"].values()) == 100
    assert found["longest_seconds"] < fuzz.WALL_SECONDS
    assert found["outcomes"]["media"] > 10 and found["outcomes"]["clean"] > 10  # damage that matters, and that does not
    for name, before in found["before"].items():
        after = found["after"][name]
        assert (after["files"], after["children"]) == (before["files"], before["children"])
        assert after["mib"] < before["mib"] + 20  # allocators keep a little; a leak of a clip a file would be 50 MiB
