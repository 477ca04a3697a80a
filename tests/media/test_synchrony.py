"""Sound recorded apart is laid to 1 ms, and refused where it is another recording."""

from __future__ import annotations

import importlib
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import soxr

from avsc_tf.core.config import SyncConfig, load_config
from avsc_tf.core.errors import MediaError
from avsc_tf.core.timebase import Timebase
from avsc_tf.media.audio import read_audio
from avsc_tf.media.clips import find_clips, load_clip, single_clip
from avsc_tf.media.envelopes import ENVELOPE_HZ, coarse_places, envelopes
from avsc_tf.media.recorded_apart import synchrony_of
from avsc_tf.media.synchrony import RATE_HZ, measure_synchrony

TIMEBASE = Timebase(25, 48000, 240)
LIMIT_MS = 1.0  # what is promised


@pytest.fixture(scope="module")
def bench(root):
    """The benchmark's rooms and sessions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(root / "benchmarks"))
        return importlib.import_module("synchrony")


@pytest.fixture(scope="module")
def made(bench):
    return bench.made_speech(150.0, np.random.default_rng(3))


@pytest.mark.parametrize("room", [0, 1, 2])
def test_random_offsets(bench, made, room):
    """Offsets of either sign, drifts to 100 ppm: 10 s clips, heard well and badly."""
    errors = [bench.errors_ms(*trial) for trial in bench.sessions(made, 10.0, 5, bench.ROOMS[room], 5.0, seed=1)]
    assert max(errors) < LIMIT_MS


def test_short_clips(bench, made):
    errors = [bench.errors_ms(*trial) for trial in bench.sessions(made, 3.0, 10, bench.ROOMS[1], 0.8, seed=2)]
    assert max(errors) < LIMIT_MS


@pytest.mark.parametrize("seed", [9, 10])
def test_a_session_of_two_minutes_drifts(bench, made, seed):
    ((camera, separate, offset, drift),) = bench.sessions(made, 120.0, 1, bench.ROOMS[2], 40.0, seed)
    found = measure_synchrony(camera, separate, SyncConfig(), place="session")
    assert found.drift_ppm == pytest.approx(drift, abs=2.0)  # 0.24 ms at the end
    assert found.separate_seconds(0.0) == pytest.approx(offset, abs=LIMIT_MS / 1000)
    assert found.separate_seconds(120.0) == pytest.approx(offset + 120 * (1 + drift * 1e-6), abs=LIMIT_MS / 1000)
    assert found.residual_ms < 0.25
    assert found.confidence > 0.5
    assert found.peak_ratio > 2


def test_real_speech(bench, shared_data):
    clips = sorted((shared_data / "grid" / "s1").iterdir())[:14]
    speech = np.concatenate([read_audio(path, sample_rate_hz=bench.WORLD_HZ) for path in clips])
    errors = [bench.errors_ms(*trial) for trial in bench.sessions(speech, 8.0, 4, bench.ROOMS[1], 4.0, seed=4)]
    assert max(errors) < LIMIT_MS


def test_other_sentences_of_real_speakers_are_refused(bench, shared_data):
    folder = shared_data / "vctk"
    sounds = [read_audio(path, sample_rate_hz=bench.WORLD_HZ) for path in sorted(folder.glob("*.wav"))]
    assert bench.wrong_recordings(sounds, 9, seed=5) == {"trials": 9, "accepted": 0}


def test_another_session_is_refused(bench, made):
    camera = soxr.resample(bench.hear(made[: 20 * 16000], bench.ROOMS[1], np.random.default_rng(1)), 16000, RATE_HZ)
    other = soxr.resample(made[60 * 16000 : 82 * 16000], 16000, RATE_HZ)
    with pytest.raises(MediaError, match=r"b\.wav: is not the sound of this picture.*as_is"):
        measure_synchrony(camera, other, SyncConfig(), place="b.wav")


def test_an_offset_beyond_the_setting_is_refused(bench, made):
    sound = soxr.resample(made[: 30 * 16000], 16000, RATE_HZ)
    camera, far = sound[20 * RATE_HZ :], SyncConfig(max_offset_seconds=15.0)
    assert measure_synchrony(camera, sound, SyncConfig(), place="x").offset_seconds == pytest.approx(20.0, abs=1e-4)
    with pytest.raises(MediaError, match="within 15 s"):
        measure_synchrony(camera, sound, far, place="x")


def test_a_sound_that_repeats_is_ambiguous(made):
    sound = soxr.resample(made[: 4 * 16000], 16000, RATE_HZ)
    with pytest.raises(MediaError, match=r"loop\.wav: fits the camera's own sound at"):
        measure_synchrony(sound, np.concatenate([sound, sound]), SyncConfig(), place="loop.wav")


@pytest.mark.parametrize("n_samples", [0, 1000, 3999])
def test_too_little_sound(n_samples):
    noise = np.random.default_rng(0).standard_normal(RATE_HZ)
    with pytest.raises(MediaError, match="too little sound"):
        measure_synchrony(noise[:n_samples], noise, SyncConfig(), place="x")


def test_envelopes_do_not_feel_level_and_find_the_place(made):
    sound = soxr.resample(made[: 20 * 16000], 16000, RATE_HZ)
    loud, soft = envelopes(sound, RATE_HZ), envelopes(0.01 * sound, RATE_HZ)
    assert loud.shape[1] == 10
    assert len(loud) == pytest.approx(20 * ENVELOPE_HZ, abs=4)  # the last window is whole
    np.testing.assert_allclose(loud, soft, atol=1e-3)  # float32 logarithms
    best, *_ = coarse_places(loud[300:], loud, SyncConfig(max_offset_seconds=6.0))
    assert best.offset_seconds == pytest.approx(3.0, abs=1.5 / ENVELOPE_HZ)


# Whole files.


@pytest.fixture
def recording(bench, made, write_clip, tmp_path):
    """Camera clip of 8 s whose sound is heard in a room; its separate sound, 96 kHz and 24 bit, begins 2 s earlier."""

    def record(*, offset_seconds: float = 2.0, drift_ppm: float = 60.0, keep=slice(None)):
        lead = 5 * bench.WORLD_HZ
        world = made[: 13 * bench.WORLD_HZ]
        camera = soxr.resample(
            bench.hear(world[lead:], bench.ROOMS[1], np.random.default_rng(8)), bench.WORLD_HZ, 44100
        )
        video = write_clip("take.mp4", [Fraction(k, 25) for k in range(200)], sound=camera, sound_rate_hz=44100)
        separate, _ = bench.record_apart(
            world[lead:], world[:lead], offset_seconds=offset_seconds, drift_ppm=drift_ppm, rate_hz=96000
        )
        soundfile.write(tmp_path / "take.wav", separate[keep], 96000, subtype="PCM_24")
        return single_clip(video, tmp_path / "take.wav"), soxr.resample(world[lead:], bench.WORLD_HZ, 48000)

    return record


def _lag_ms(first: np.ndarray, second: np.ndarray) -> float:
    """How much later `second` is, by plain correlation at 48 kHz over 5 ms either side."""
    lags = range(-240, 241)
    middle = slice(1000, len(first) - 1000)
    values = [float(np.dot(first[middle], np.roll(second, -lag)[middle])) for lag in lags]
    return lags[int(np.argmax(values))] / 48


@pytest.mark.parametrize("offset_seconds, drift_ppm", [(2.0, 60.0), (0.0, 0.0), (4.9, -100.0), (-0.1, 30.0)])
def test_a_clip_gets_its_studio_sound(recording, offset_seconds, drift_ppm):
    source, world = recording(offset_seconds=offset_seconds, drift_ppm=drift_ppm)
    clip = load_clip(source, TIMEBASE)
    assert clip.synchrony.offset_seconds == pytest.approx(offset_seconds, abs=LIMIT_MS / 1000)
    assert len(clip.frames) == 200
    assert clip.waveform.shape == (200 * 1920,)
    assert clip.waveform.dtype == np.float32
    for part in (slice(9600, 100000), slice(250000, 380000)):  # beginning and end: the drift is taken out
        assert abs(_lag_ms(world[part], clip.waveform[part])) < LIMIT_MS


def test_sound_missing_inside_the_picture(recording):
    source, _ = recording(offset_seconds=-0.5)
    with pytest.raises(MediaError, match=r"take\.wav lacks the first 0\.50 s and the last 0\.00 s"):
        load_clip(source, TIMEBASE)


@pytest.mark.parametrize("seconds, n_frames", [(9.985, 200), (9.91, 198)])
def test_a_short_end_is_cut_like_the_cameras_own(recording, seconds, n_frames):
    source, _ = recording(drift_ppm=0.0, keep=slice(0, round(seconds * 96000)))
    assert len(load_clip(source, TIMEBASE).frames) == n_frames  # under half a frame is silence; 0.09 s costs 2 frames


def test_sound_missing_at_the_end(recording):
    source, _ = recording(drift_ppm=0.0, keep=slice(0, 9 * 96000))
    with pytest.raises(MediaError, match=r"lacks the first 0\.00 s and the last 1\.00 s"):
        load_clip(source, TIMEBASE)


def test_it_is_measured_once_as_long_as_the_files_stay(recording):
    source, _ = recording()
    first = synchrony_of(source.video, source.audio, SyncConfig())
    assert synchrony_of(source.video, source.audio, SyncConfig()) is first
    data, rate_hz = soundfile.read(source.audio)
    soundfile.write(source.audio, data[96000 // 4 :], rate_hz, subtype="PCM_24")
    assert synchrony_of(source.video, source.audio, SyncConfig()).offset_seconds == pytest.approx(1.75, abs=1e-3)


@pytest.mark.parametrize("camera", [None, np.zeros(38400)])
def test_a_camera_without_sound_leaves_the_file_as_it_is(write_clip, tmp_path, rng, camera):
    write_clip("clip.mp4", [Fraction(k, 25) for k in range(20)], sound=camera)
    sound = rng.uniform(-0.5, 0.5, 38400)
    soundfile.write(tmp_path / "clip.wav", sound, 48000, subtype="PCM_24")
    (source,) = find_clips(tmp_path)
    clip = load_clip(source, TIMEBASE)
    assert clip.synchrony is None
    np.testing.assert_allclose(clip.waveform, sound, atol=2**-23)


def test_as_is(recording):
    source, _ = recording(offset_seconds=0.0)
    clip = load_clip(source, TIMEBASE, sync=SyncConfig(separate_sound="as_is"))
    assert clip.synchrony is None


def test_the_defaults_are_the_shipped_settings(root):
    assert load_config(root / "configs" / "paper.yaml").sync == SyncConfig()
