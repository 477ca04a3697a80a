"""The way between the networks: standardised in, restored out, exact lengths, levels, errors beside good clips."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from avsc_tf.conversion import reading as module
from avsc_tf.conversion.batch import BatchOptions, convert_jobs
from avsc_tf.conversion.bundle import Bundle
from avsc_tf.conversion.converted import ConvertedClip, TargetFeatures
from avsc_tf.conversion.jobs import ClipJob, steps_of
from avsc_tf.conversion.painting import FRAMES_PER_BATCH, smooth_facial
from avsc_tf.conversion.reading import clip_source
from avsc_tf.conversion.voice import PEAK_LIMIT
from avsc_tf.core.config import Config, load_config
from avsc_tf.core.errors import FaceError, MediaError, OutputError
from avsc_tf.features.clip import ClipFeatures
from avsc_tf.features.partial_clip import PartialClip
from avsc_tf.features.statistics import Statistics
from avsc_tf.media.audio import read_audio
from avsc_tf.media.container import has_sound
from avsc_tf.media.mux import write_sound, write_video
from avsc_tf.media.video import read_frames

N_FRAMES = 13
N_MELS, N_VGG, N_KEYPOINT_VALUES = 80, 4096, 140


class Echo:
    """A network whose outputs are its inputs, with the last batch it saw."""

    def __init__(self, function=lambda inputs: inputs) -> None:
        self.function = function
        self.batches: list[int] = []

    def __call__(self, inputs, *, training):
        assert training is False
        self.batches.append(len(inputs["facial"]))
        return self.function(inputs)


class Tone:
    """A sampler: a tone of amplitude 3 at the WaveNet's rate, too loud on purpose."""

    def __init__(self, config: Config) -> None:
        self.rate_hz = config.wavenet.sample_rate_hz

    def generate(self, mels, facials, *, seed):
        return [3 * np.sin(2 * np.pi * 200 * np.arange(len(mel) * self.rate_hz // 200) / self.rate_hz) for mel in mels]


@pytest.fixture(scope="module")
def config() -> Config:
    root = Path(__file__).resolve().parents[2]
    return load_config(
        root / "configs" / "demo.yaml",
        ["image.size_px=16", "image.steady_head_seconds=0.0", "image.steady_face_seconds=0.0"],
    )


@pytest.fixture
def statistics(rng: np.random.Generator) -> Statistics:
    sizes = {"mel": N_MELS, "vgg": N_VGG, "keypoints": N_KEYPOINT_VALUES}
    return Statistics(
        {
            speaker: {
                name: (rng.normal(size=n).astype(np.float32), rng.uniform(0.5, 2, n).astype(np.float32))
                for name, n in sizes.items()
            }
            for speaker in ("source", "target")
        }
    )


@pytest.fixture
def source(rng: np.random.Generator, statistics: Statistics) -> ClipFeatures:
    """A clip of the source speaker: keypoints around the speaker's mean."""
    mean, std = statistics.get("source", "keypoints")
    return ClipFeatures(
        mel=rng.normal(size=(8 * N_FRAMES, N_MELS)).astype(np.float32),
        keypoints=(mean + std * rng.normal(size=(N_FRAMES, N_KEYPOINT_VALUES))).reshape(N_FRAMES, 70, 2),
        vgg=rng.normal(size=(N_FRAMES, N_VGG)).astype(np.float16),
        frames=(),
        waveform=np.zeros(N_FRAMES * 1920, np.int16),
    )


def grey(inputs):
    """An image generator: frame brightness follows the first keypoint value, of its own frame."""
    level = np.tanh(inputs["facial"][:, N_VGG])
    return np.broadcast_to(level[:, None, None, None], (len(level), 16, 16, 3))


@pytest.fixture
def bundle(config: Config, statistics: Statistics) -> Bundle:
    return Bundle(config, statistics, Echo(), Echo(grey), Tone(config))


def features_of(n_frames: int, rng: np.random.Generator) -> TargetFeatures:
    mel = rng.normal(size=(8 * n_frames, N_MELS)).astype(np.float32)
    return TargetFeatures(mel, rng.normal(size=(n_frames, N_VGG + N_KEYPOINT_VALUES)).astype(np.float32))


def test_source_statistics_in_target_statistics_out(
    bundle: Bundle, source: ClipFeatures, statistics: Statistics
) -> None:
    target = bundle.convert_features(source)
    assert target.mel.shape == (8 * N_FRAMES, N_MELS)
    assert target.facial.shape == (N_FRAMES, N_VGG + N_KEYPOINT_VALUES)
    converted = bundle.finish(target, source.waveform, np.zeros((N_FRAMES, 16, 16, 3), np.uint8), "wavenet")
    for name, before, after in (("mel", source.mel, converted.mel), ("vgg", source.vgg, converted.vgg)):
        (mean_a, std_a), (mean_b, std_b) = statistics.get("source", name), statistics.get("target", name)
        # float32 arithmetic on values of a few units; keypoints (some hundreds) need 1e-3
        np.testing.assert_allclose(after, (before.astype(np.float32) - mean_a) / std_a * std_b + mean_b, atol=1e-4)
    (mean_a, std_a), (mean_b, std_b) = (statistics.get(s, "keypoints") for s in ("source", "target"))
    expected = (source.keypoints.reshape(N_FRAMES, -1) - mean_a) / std_a * std_b + mean_b
    np.testing.assert_allclose(converted.keypoints.reshape(N_FRAMES, -1), expected, atol=1e-3)


def test_somebody_else_is_standardised_by_the_clip_itself(bundle: Bundle, source: ClipFeatures) -> None:
    """Ten deviations away: the network still sees features of mean 0, and of deviation 1 where none is floored."""
    _, std = bundle.statistics.get("source", "keypoints")
    other = replace(source, keypoints=source.keypoints + 10 * std.reshape(70, 2))
    assert not bundle.is_unfamiliar(source)
    assert bundle.is_unfamiliar(other)
    target = bundle.convert_features(other)
    # float32 means of 104 and 13 values of order 1 (keypoints: of order 10)
    np.testing.assert_allclose(target.mel.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(target.mel.std(axis=0), 1, atol=1e-4)
    np.testing.assert_allclose(target.facial[:, N_VGG:].mean(axis=0), 0, atol=1e-4)


@pytest.mark.parametrize("vocoder", ["wavenet", "griffin-lim"])
def test_voice_has_the_pictures_length_and_does_not_clip(bundle: Bundle, vocoder, rng) -> None:
    voices = bundle.synthesise([features_of(n, rng) for n in (5, 3)], vocoder=vocoder, seed=1)
    assert [len(voice) for voice in voices] == [5 * 1920, 3 * 1920]
    assert all(voice.dtype == np.float32 for voice in voices)
    assert all(np.abs(voice).max() <= PEAK_LIMIT + 1e-6 for voice in voices)


def test_wavenet_voice_keeps_its_pitch_at_the_full_rate(bundle: Bundle, rng) -> None:
    (voice,) = bundle.synthesise([features_of(25, rng)], vocoder="wavenet", seed=1)
    spectrum = np.abs(np.fft.rfft(voice))
    assert np.argmax(spectrum) == 200  # 1 s: bins of 1 Hz
    assert np.abs(voice).max() == pytest.approx(PEAK_LIMIT, abs=0.01)  # amplitude 3 was scaled down


def test_without_a_wavenet(config: Config, statistics: Statistics, rng) -> None:
    with pytest.raises(ValueError, match="without its WaveNet"):
        Bundle(config, statistics, Echo(), Echo(grey)).synthesise([features_of(2, rng)], vocoder="wavenet", seed=1)


def test_every_frame_is_painted_from_its_own_features(bundle: Bundle, rng) -> None:
    features = features_of(2 * FRAMES_PER_BATCH + 3, rng)
    frames = bundle.paint(features)
    assert frames.shape == (2 * FRAMES_PER_BATCH + 3, 16, 16, 3)
    assert frames.dtype == np.uint8
    expected = np.rint((np.tanh(features.facial[:, N_VGG]) + 1) * 127.5)
    np.testing.assert_allclose(frames[:, 0, 0, 0], expected, atol=1)  # rounding at halves
    assert bundle.generator.batches == [FRAMES_PER_BATCH] * 2 + [3]


def test_frames_are_painted_of_steady_keypoints(config: Config, statistics: Statistics, rng) -> None:
    """The head's tremble is smoothed for the picture; mel, VGG-19 and the features that are kept stay as converted."""
    image = replace(config.image, steady_head_seconds=0.2, steady_face_seconds=0.0)
    bundle = Bundle(replace(config, image=image), statistics, Echo(), Echo(grey))
    features = features_of(40, rng)
    mean, std = statistics.get("target", "keypoints")
    shape = rng.uniform(50, 200, (1, 70, 2)) + rng.normal(0, 1.5, (40, 1, 2))
    features.facial[:, N_VGG:] = (shape.reshape(40, -1) - mean) / std
    before = features.facial.copy()
    steady = smooth_facial(features.facial, bundle.statistics, bundle.config)
    np.testing.assert_array_equal(features.facial, before)
    np.testing.assert_array_equal(steady[:, :N_VGG], before[:, :N_VGG])

    def jitter(facial):
        return np.abs(np.diff(facial[:, N_VGG:], n=2, axis=0)).mean()

    assert jitter(steady) < 0.1 * jitter(before)
    expected = np.rint((np.tanh(steady[:, N_VGG]) + 1) * 127.5)
    np.testing.assert_allclose(bundle.paint(features)[:, 0, 0, 0], expected, atol=1)  # rounding at halves


def test_bad_clips_are_reported_and_the_others_done(
    bundle: Bundle, source: ClipFeatures, tmp_path: Path, monkeypatch
) -> None:
    def read(clip: Path, **_) -> ClipFeatures:
        if clip.stem == "bad":
            raise FaceError(f"{clip}: two faces")
        return source

    monkeypatch.setattr(bundle, "read", read)
    jobs = [
        ClipJob(
            Path(f"{name}.mp4"),
            {"griffin-lim": tmp_path / "griffin-lim" / f"{name}.mp4", "wavenet": tmp_path / f"{name}.mp4"},
        )
        for name in ("one", "bad", "two")
    ]
    steps: list[int] = []
    errors = convert_jobs(bundle, jobs, BatchOptions(1, keep_features=True, advance=steps.append)).errors
    assert {path.name: str(error) for path, error in errors.items()} == {"bad.mp4": "bad.mp4: two faces"}
    assert sum(steps) == sum(map(steps_of, jobs))
    written = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    names = [f"{name}.{kind}" for name in ("one", "two") for kind in ("mp4", "npz")]
    assert written == sorted([*names, *(f"griffin-lim/{name}" for name in names)])
    assert len(list(read_frames(tmp_path / "one.mp4", fps=25))) == N_FRAMES
    # AAC comes in blocks of 1024 samples; priming is declared in the file
    assert abs(len(read_audio(tmp_path / "one.mp4", sample_rate_hz=48000)) - N_FRAMES * 1920) <= 1024


def test_a_place_that_cannot_be_written(bundle: Bundle, source: ClipFeatures, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    converted = ConvertedClip(
        source.mel, source.keypoints, source.vgg, np.zeros(1920, np.float32), np.zeros((1, 16, 16, 3), np.uint8), "x"
    )
    with pytest.raises(OutputError, match=r"file: File exists\. Something else .* name another place"):
        converted.save(tmp_path / "file" / "x.mp4")


def test_saved_features_come_back(source: ClipFeatures, tmp_path: Path) -> None:
    frames = np.arange(N_FRAMES * 4 * 4 * 3, dtype=np.uint8).reshape(N_FRAMES, 4, 4, 3)
    converted = ConvertedClip(source.mel, source.keypoints, source.vgg, np.ones(7, np.float32), frames, "griffin-lim")
    converted.save_features(tmp_path / "x.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]
    with np.load(tmp_path / "x.npz") as stored:
        np.testing.assert_array_equal(stored["mel"], source.mel)
        np.testing.assert_array_equal(stored["vgg"], source.vgg)
        np.testing.assert_array_equal(stored["frames"], frames)
        assert str(stored["vocoder"]) == "griffin-lim"


class Halves:
    """A conversion network of one modality."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def __call__(self, inputs, *, training):
        return {name: inputs[name] for name in self.names}


def partial(source: ClipFeatures, missing: str) -> PartialClip:
    if missing == "sound":
        return PartialClip(N_FRAMES, None, source.keypoints, source.vgg)
    return PartialClip(N_FRAMES, source.mel)


@pytest.mark.parametrize(("missing", "zeros", "kept"), [("sound", "mel", "facial"), ("picture", "facial", "mel")])
def test_zeros_stand_for_what_is_missing(bundle: Bundle, source: ClipFeatures, missing, zeros, kept) -> None:
    """Voice and face both come out, of the clip's length."""
    whole = bundle.convert_features(source)
    found = bundle.convert_features(partial(source, missing))
    assert not getattr(found, zeros).any()
    np.testing.assert_array_equal(getattr(found, kept), getattr(whole, kept))
    assert found.mel.shape == whole.mel.shape and found.facial.shape == whole.facial.shape
    (voice,) = bundle.synthesise([found], vocoder="griffin-lim", seed=1)
    assert len(voice) == N_FRAMES * 1920 and len(bundle.paint(found)) == N_FRAMES


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_what_a_clip_lacked_is_said(config, statistics, source, tmp_path, monkeypatch, dropout) -> None:
    settings = replace(config, conversion=replace(config.conversion, modality_dropout=dropout))
    bundle = Bundle(settings, statistics, Echo(), Echo(grey), Tone(config))
    clips = {"silent": partial(source, "sound"), "voice": partial(source, "picture"), "whole": source}
    monkeypatch.setattr(bundle, "read", lambda clip, **_: clips[clip.stem])
    jobs = [ClipJob(Path(f"{name}.x"), {"griffin-lim": tmp_path / f"{name}.mp4"}) for name in clips]
    result = convert_jobs(bundle, jobs, BatchOptions(1))
    assert result.errors == {} and list(result.notes) == [Path("silent.x"), Path("voice.x")]
    notes = [note for (note,) in result.notes.values()]
    assert [note.split(";")[0] for note in notes] == ["has no sound", "has no picture"]
    assert "voice and face were converted from the picture alone" in notes[0]
    assert all(("not trained for that" in note) is (dropout == 0) for note in notes)
    assert len(list(tmp_path.glob("*.mp4"))) == 3


def test_a_bundle_that_only_hears_writes_sound(config, statistics, source, tmp_path, monkeypatch) -> None:
    settings = replace(config, conversion=replace(config.conversion, modalities="audio"))
    bundle = Bundle(settings, statistics, Halves("mel"), None, Tone(config))
    monkeypatch.setattr(bundle, "read", lambda clip, **_: partial(source, "picture"))
    jobs = [ClipJob(Path("x.mp4"), {"wavenet": tmp_path / "x.wav"})]
    steps: list[int] = []
    result = convert_jobs(bundle, jobs, BatchOptions(keep_features=True, advance=steps.append))
    assert result.errors == {}
    assert len(read_audio(tmp_path / "x.wav", sample_rate_hz=48000)) == N_FRAMES * 1920
    with np.load(tmp_path / "x.npz") as stored:
        assert set(stored.files) == {"mel", "waveform", "vocoder"}
    assert sum(steps) == steps_of(jobs[0]) and not result.notes
    bundle.convert("x.mp4").save(tmp_path / "one.wav")
    one, other = (soundfile.read(tmp_path / name, dtype="int16")[0] for name in ("one.wav", "x.wav"))
    np.testing.assert_array_equal(one, other)  # the signatures differ: C2PA salts its hashes


def test_a_bundle_that_only_sees_writes_a_silent_film(config, statistics, source, tmp_path, monkeypatch) -> None:
    settings = replace(config, conversion=replace(config.conversion, modalities="visual"))
    bundle = Bundle(settings, statistics, Halves("facial"), Echo(grey))
    monkeypatch.setattr(bundle, "read", lambda clip, **_: partial(source, "sound"))
    jobs = [ClipJob(Path("x.mp4"), {"none": tmp_path / "x.mp4"})]
    steps: list[int] = []
    result = convert_jobs(bundle, jobs, BatchOptions(keep_features=True, advance=steps.append))
    assert result.errors == {}
    assert len(list(read_frames(tmp_path / "x.mp4", fps=25))) == N_FRAMES and not has_sound(tmp_path / "x.mp4")
    with np.load(tmp_path / "x.npz") as stored:
        assert set(stored.files) == {"keypoints", "vgg", "frames", "vocoder"}
    assert sum(steps) == steps_of(jobs[0])


def test_two_networks_side_by_side_need_both_streams(config, statistics, source, monkeypatch) -> None:
    bundle = Bundle(config, statistics, Halves("mel", "facial"), Echo(grey), modalities="separate")
    monkeypatch.setattr(module, "clip_source", lambda clip: clip)
    for missing, made in (("sound", "voice"), ("picture", "face")):
        monkeypatch.setattr(module, "read_clip", lambda *_, lacks=missing, **__: partial(source, lacks))
        with pytest.raises(MediaError, match=f"has no {missing}, and these networks convert the {made} from the"):
            bundle.read(Path("x.mp4"))
    monkeypatch.setattr(module, "read_clip", lambda *_, **wanted: source if all(wanted.values()) else None)
    assert bundle.read(Path("x.mp4")) is source


def test_the_track_is_the_callers_not_the_records(
    config: Config, statistics: Statistics, tmp_path, monkeypatch
) -> None:
    """Records made of second tracks do not decide which track of another clip is read."""
    taken: list[int] = []
    monkeypatch.setattr(
        module, "read_clip", lambda extractor, clip, **_: taken.append(extractor.config.sync.audio_track)
    )
    monkeypatch.setattr(module, "missing_stream", lambda clip: "")
    monkeypatch.setattr(module, "has_picture", lambda path: False)
    config = replace(config, sync=replace(config.sync, audio_track=2))
    for track in (0, 3):
        Bundle(config, statistics, Echo(), Echo(grey)).read(tmp_path / "x.mp4", audio_track=track)
    assert taken == [0, 3]


def test_without_voice_or_face(config, statistics, rng) -> None:
    bundle = Bundle(config, statistics, Echo(), Echo(grey), Tone(config))
    features = features_of(3, rng)
    with pytest.raises(ValueError, match="no voice"):
        bundle.synthesise([replace(features, mel=None)], vocoder="griffin-lim", seed=1)
    with pytest.raises(ValueError, match="no face"):
        bundle.paint(replace(features, facial=None))


def test_sound_files_are_not_their_own_sound_apart(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav", np.zeros(4000), sample_rate_hz=48000)
    assert clip_source(tmp_path / "a.wav").audio is None
    write_video(tmp_path / "a.mp4", np.zeros((2, 16, 16, 3), np.uint8), None, fps=25, sample_rate_hz=48000)
    assert clip_source(tmp_path / "a.mp4").audio == tmp_path / "a.wav"
