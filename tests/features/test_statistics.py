"""Streaming moments against NumPy, the floor, and the file."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.core.errors import RecordError
from avsc_tf.features.statistics import (
    RunningMoments,
    Statistics,
    StatisticsFitter,
    join_facial,
    split_facial,
)


@pytest.fixture
def statistics(rng) -> Statistics:
    fitter = StatisticsFitter()
    for speaker, n_clips in (("source", 3), ("target", 2)):
        for clip in range(n_clips):
            n_frames = 5 + clip
            fitter.add(
                speaker,
                mel=rng.normal(-4, 2, (8 * n_frames, 11)).astype(np.float32),
                vgg=rng.gamma(1, 1, (n_frames, 13)).astype(np.float16),
                keypoints=rng.normal(128, 20, (n_frames, 4, 2)).astype(np.float32),
            )
    return fitter.finish()


def test_streaming_equals_numpy(rng):
    """A large offset would ruin a sum of squares in float32: keypoints near 1000 that move by 1/100."""
    frames = (1000 + 0.01 * rng.standard_normal((500, 7))).astype(np.float32)
    running = RunningMoments()
    for part in np.split(frames, [1, 4, 4, 200]):
        running.add(part)
    mean, std = running.moments()
    np.testing.assert_allclose(mean, frames.mean(axis=0, dtype=np.float64), rtol=1e-7)  # float32 result
    np.testing.assert_allclose(std, frames.std(axis=0, dtype=np.float64), rtol=1e-6)  # float32 result
    assert running.count == 500


def test_floor_of_the_deviation(rng):
    frames = rng.standard_normal((400, 10)) * np.array([1, 1, 1, 1, 1, 1, 1, 1, 1e-3, 0])
    running = RunningMoments()
    running.add(frames)
    _, std = running.moments()
    np.testing.assert_allclose(std[:8], frames.std(axis=0)[:8], rtol=1e-6)
    np.testing.assert_allclose(std[8:], 0.05 * frames.std(axis=0).mean(), rtol=1e-6)  # STD_FLOOR_SHARE


def test_a_constant_feature_has_unit_deviation():
    running = RunningMoments()
    running.add(np.full((3, 2), 7.0))
    mean, std = running.moments()
    assert mean.tolist() == [7, 7]
    assert std.tolist() == [1, 1]


def test_refuses_what_is_no_number():
    with pytest.raises(ValueError, match="finite"):
        RunningMoments().add(np.array([[1.0, np.nan]]))
    with pytest.raises(ValueError, match="no frames"):
        RunningMoments().moments()


def test_standardise_and_restore(statistics, rng):
    mel = rng.normal(-4, 2, (3, 40, 11)).astype(np.float32)
    mean, std = statistics.get("source", "mel")
    standardised = statistics.standardise("source", "mel", mel)
    assert standardised.dtype == np.float32
    np.testing.assert_allclose(standardised, (mel - mean) / std)
    np.testing.assert_allclose(statistics.restore("source", "mel", standardised), mel, atol=1e-5)  # float32


def test_facial_is_vgg_then_keypoints(statistics, rng):
    vgg = rng.gamma(1, 1, (6, 13)).astype(np.float16)
    keypoints = rng.normal(128, 20, (6, 4, 2)).astype(np.float32)
    facial = join_facial(vgg, keypoints)
    assert facial.shape == (6, 21)
    assert facial[2, 13:17].tolist() == [*keypoints[2, 0], *keypoints[2, 1]]  # x0 y0 x1 y1
    again = split_facial(facial, n_keypoints=4)
    np.testing.assert_array_equal(again[0], vgg)
    np.testing.assert_array_equal(again[1], keypoints)
    parts = [
        statistics.standardise("target", "vgg", vgg),
        statistics.standardise("target", "keypoints", keypoints.reshape(6, 8)),
    ]
    np.testing.assert_array_equal(statistics.standardise("target", "facial", facial), np.concatenate(parts, axis=1))


def test_file_round_trip(statistics, tmp_path):
    path = tmp_path / "new" / "statistics.npz"
    statistics.save(path)
    again = Statistics.load(path)
    assert [p.name for p in path.parent.iterdir()] == ["statistics.npz"]
    assert {s: set(f) for s, f in again.moments.items()} == {
        s: {"mel", "vgg", "keypoints"} for s in ("source", "target")
    }
    for speaker in ("source", "target"):
        for feature in ("mel", "vgg", "keypoints", "facial"):
            for stored, original in zip(again.get(speaker, feature), statistics.get(speaker, feature), strict=True):
                np.testing.assert_array_equal(stored, original)


def test_bad_files_and_names(statistics, tmp_path):
    path = tmp_path / "statistics.npz"
    with pytest.raises(RecordError, match="are missing"):
        Statistics.load(path)
    statistics.save(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(RecordError, match="are damaged"):
        Statistics.load(path)
    with pytest.raises(RecordError, match="no speaker 'third'"):
        statistics.get("third", "mel")
    with pytest.raises(RecordError, match="no feature 'f0'"):
        statistics.get("source", "f0")
    with pytest.raises(ValueError, match="has 9 dimensions; the statistics have 11"):
        statistics.standardise("source", "mel", np.zeros((4, 9)))
