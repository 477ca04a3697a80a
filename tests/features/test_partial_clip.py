"""Clips with sound and picture, or with one of them: what is read of each, and how long it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import soundfile

from avsc_tf.core.config import load_config
from avsc_tf.core.errors import MediaError
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.clip import ClipExtractor, ClipFeatures
from avsc_tf.features.partial_clip import PartialClip, clip_statistics, missing_stream, read_clip
from avsc_tf.media.clips import single_clip
from avsc_tf.media.mux import write_sound, write_video

RATE_HZ = 48000
N_FRAMES = 9


@dataclass
class Reader:
    """An extractor that says what it was asked for."""

    asked: list[str] = field(default_factory=list)

    def __call__(self, clip):
        self.asked.append("both")
        return ClipFeatures(np.ones((8, 3)), np.ones((1, 70, 2)), np.ones((1, 4)), (), np.zeros(1920, np.int16))

    def picture(self, clip):
        self.asked.append("picture")
        return np.ones((N_FRAMES, 70, 2)), np.ones((N_FRAMES, 4)), ()

    def sound(self, clip):
        self.asked.append("sound")
        return np.ones((8 * 5, 3)), 5, ()


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    frames = [np.full((64, 96, 3), 90 + i, np.uint8) for i in range(N_FRAMES)]
    paths = {name: folder / f"{name}.{kind}" for name, kind in (("both", "mp4"), ("silent", "mp4"), ("sound", "wav"))}
    rng = np.random.default_rng(2)
    write_video(paths["both"], frames, 0.1 * rng.normal(size=N_FRAMES * 1920), fps=25, sample_rate_hz=RATE_HZ)
    write_video(paths["silent"], frames, None, fps=25, sample_rate_hz=RATE_HZ)
    write_sound(paths["sound"], 0.1 * rng.normal(size=17000), sample_rate_hz=RATE_HZ)
    return paths


@pytest.mark.parametrize(
    ("clip", "wanted", "asked", "missing"),
    [
        ("both", {}, "both", ""),
        ("silent", {}, "picture", "sound"),
        ("sound", {}, "sound", "picture"),
        ("both", {"picture": False}, "sound", "picture"),
        ("both", {"sound": False}, "picture", "sound"),
    ],
)
def test_what_is_read(clips, clip, wanted, asked, missing):
    reader = Reader()
    found = read_clip(reader, single_clip(clips[clip]), **wanted)
    assert reader.asked == [asked]
    assert missing_stream(found) == missing
    assert found.n_frames == {"both": 1, "picture": N_FRAMES, "sound": 5}[asked]


def test_sound_recorded_apart_is_the_sound_of_a_silent_film(clips):
    reader = Reader()
    read_clip(reader, single_clip(clips["silent"], clips["sound"]))
    assert reader.asked == ["both"]


@pytest.mark.parametrize(
    ("clip", "wanted", "message"),
    [
        ("silent", {"picture": False}, r"silent.mp4: holds no sound to convert. Name a clip with sound"),
        ("sound", {"sound": False}, r"sound.wav: holds no picture to convert. Name a clip with picture"),
    ],
)
def test_what_is_wanted_must_be_there(clips, clip, wanted, message):
    with pytest.raises(MediaError, match=message):
        read_clip(Reader(), single_clip(clips[clip]), **wanted)


@pytest.mark.parametrize(("samples", "n_frames"), [(17000, 9), (16300, 8), (1920 * 3, 3), (961, 1)])
def test_a_sound_alone_fills_the_nearest_number_of_frames(root, tmp_path, samples, n_frames):
    """Half a frame (960 samples) and more counts as one."""
    config = load_config(root / "configs" / "demo.yaml")
    wave = 0.1 * np.random.default_rng(samples).normal(size=samples).astype(np.float32)
    soundfile.write(tmp_path / "x.wav", wave, RATE_HZ, subtype="FLOAT")
    mel, found, notes = ClipExtractor(config).sound(single_clip(tmp_path / "x.wav"))
    assert found == n_frames and mel.shape == (8 * n_frames, 80) and notes == ()
    fitted = np.pad(wave, (0, 1920))[: 1920 * n_frames]
    np.testing.assert_array_equal(mel, mel_spectrogram(fitted, config.acoustic, config.timebase))


def test_less_than_half_a_frame_is_nothing(root, tmp_path):
    soundfile.write(tmp_path / "x.wav", np.zeros(900), RATE_HZ)
    with pytest.raises(MediaError, match=r"x.wav: is shorter than one frame of 1/25 s"):
        ClipExtractor(load_config(root / "configs" / "demo.yaml")).sound(single_clip(tmp_path / "x.wav"))


def test_a_silent_film_has_the_frames_it_shows(root, clips, monkeypatch):
    extractor, seen = ClipExtractor(load_config(root / "configs" / "demo.yaml")), {}

    class Faces:
        keypoints, n_faces = np.zeros((N_FRAMES, 70, 2)), 1
        crops = np.full((N_FRAMES, 8, 8, 3), 7, np.uint8)

    monkeypatch.setattr(extractor, "_faces", lambda frames, clip: seen.update(frames=list(frames)) or Faces)
    monkeypatch.setattr(extractor, "_appearance", lambda crops: crops)
    keypoints, vgg, notes = extractor.picture(single_clip(clips["silent"]))
    assert len(seen["frames"]) == len(keypoints) == len(vgg) == N_FRAMES
    assert notes == ("the face never changes: a still picture, not a film of the speaker",)


def test_own_statistics_of_what_is_there(rng):
    mel = rng.normal(3.0, 2.0, (200, 4)).astype(np.float32)
    found = clip_statistics(PartialClip(25, mel))
    assert set(found.moments["source"]) == {"mel"}
    np.testing.assert_allclose(found.get("source", "mel")[0], mel.mean(axis=0), rtol=1e-6)  # float32 of a float64 mean
