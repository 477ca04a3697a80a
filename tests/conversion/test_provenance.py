"""Watermarks and credentials of converted files, by default and without."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from avsc_tf.conversion.batch import BatchOptions, convert_jobs
from avsc_tf.conversion.converted import ConvertedClip
from avsc_tf.conversion.writing import Origin
from avsc_tf.core.consent import Consent
from avsc_tf.core.errors import ProvenanceError
from avsc_tf.media.audio import read_audio
from avsc_tf.media.container import has_picture
from avsc_tf.media.video import read_frames
from avsc_tf.provenance.code import payload_of
from avsc_tf.provenance.identity import own_root
from avsc_tf.provenance.marking import Provenance
from avsc_tf.provenance.verify import EXIT_NOTHING, verify

ORIGIN = Origin("sha256:abcd", (Consent(who="Mary Example", what_for=("tests",), evidence="/home/mary/paper.pdf"),))


@pytest.fixture
def clip(rng) -> ConvertedClip:
    """A voice-like buzz, and a face-like gradient that moves."""
    t = np.arange(60 * 1920) / 48_000
    buzz = sum(np.cos(2 * np.pi * 140 * k * t + k) / np.sqrt(k) for k in range(1, 50)) * (np.sin(20 * t) > -0.5)
    waveform = (0.05 * buzz + 0.01 * rng.normal(size=len(t))).astype(np.float32)
    y, x = np.mgrid[:128, :128]
    frames = [np.stack([120 + x / 2 + n % 5, 100 + y / 3, 90 + (x + y) / 5], axis=-1) for n in range(60)]
    return ConvertedClip(
        None, None, None, waveform, np.asarray(frames).astype(np.uint8), "wavenet", seed=3, origin=ORIGIN
    )


def test_a_video_is_marked_and_signed_by_default(clip, tmp_path) -> None:
    written = clip.save(tmp_path / "a.mp4")
    finding = verify(tmp_path / "a.mp4", trusted=own_root())
    assert finding.credentials.state == "trusted" and finding.contradictions == []
    assert finding.credentials.conversion == {  # where papers lie stays at home
        "bundle": "sha256:abcd",
        "vocoder": "wavenet",
        "seed": 3,
        "consents": [
            {"who": "Mary Example", "what_for": ["tests"], "until": "never"}
        ],  # where papers lie stays at home
    }
    assert all(mark.is_of(payload_of("sha256:abcd")) for mark in (finding.sound, finding.picture))
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    # What is given back, and kept as features, is what was encoded: levels and samples differ by the codecs' losses.
    assert not np.array_equal(written.frames, clip.frames) and not np.array_equal(written.waveform, clip.waveform)
    shown = np.stack(list(read_frames(tmp_path / "a.mp4", fps=25))).astype(float)
    assert np.abs(shown - written.frames).mean() < np.abs(shown - clip.frames).mean()


def test_the_same_clip_gives_the_same_streams(clip, tmp_path) -> None:
    """Bit for bit; only the credentials differ, whose hashes C2PA salts."""
    for name in ("a.mp4", "b.mp4"):
        clip.save(tmp_path / name)
    assert (tmp_path / "a.mp4").stat().st_size == (tmp_path / "b.mp4").stat().st_size
    first, second = (list(read_frames(tmp_path / name, fps=25)) for name in ("a.mp4", "b.mp4"))
    np.testing.assert_array_equal(first, second)
    sounds = [read_audio(tmp_path / name, sample_rate_hz=48_000) for name in ("a.mp4", "b.mp4")]
    np.testing.assert_array_equal(*sounds)


def test_without_provenance_nothing_is_added(clip, tmp_path) -> None:
    written = clip.save(tmp_path / "a.mp4", provenance=None)
    assert written is clip
    assert verify(tmp_path / "a.mp4").exit_code == EXIT_NOTHING
    clip.save(tmp_path / "b.mp4", provenance=None)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


@pytest.mark.parametrize("missing", ["waveform", "frames"])
def test_sound_alone_and_silent_films(clip, tmp_path, missing) -> None:
    path = tmp_path / ("a.wav" if missing == "frames" else "a.mp4")
    replace(clip, seed=None, **{missing: None}).save(path)
    finding = verify(path, trusted=own_root())
    assert finding.credentials.state == "trusted" and "seed" not in finding.credentials.conversion
    assert (finding.sound is None) == (missing == "waveform") and (finding.picture is None) == (missing == "frames")
    assert has_picture(path) == (missing == "waveform")
    assert (finding.sound or finding.picture).found


def test_a_file_that_cannot_be_signed_is_not_written(clip, tmp_path) -> None:
    (tmp_path / "old.mp4").write_bytes(b"old")
    unreadable = Provenance(tmp_path / "none.pem", tmp_path / "none.key")
    with pytest.raises(ProvenanceError, match=r"none.pem: cannot be read"):
        clip.save(tmp_path / "old.mp4", provenance=unreadable)
    assert (tmp_path / "old.mp4").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(ProvenanceError, match=r"none.pem: cannot be read"):
        convert_jobs(None, [], BatchOptions(provenance=unreadable))  # before anything is read
