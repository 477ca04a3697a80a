"""Finished videos brought to one form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from avsc_tf.core.errors import MediaError
from avsc_tf.evaluation.videos.watched import CROP_PX, FPS, SAMPLE_RATE_HZ, watch
from avsc_tf.features.keypoints import mouth_opening
from avsc_tf.measures.mouth import correlation
from avsc_tf.media.mux import write_video


def test_a_clip_of_any_size_and_rate(target):
    assert target.crops.shape == (target.n_frames, CROP_PX, CROP_PX, 3)
    assert target.keypoints.shape == (target.n_frames, 70, 2)
    assert len(target.waveform) == target.n_frames * SAMPLE_RATE_HZ // FPS
    assert target.found.all()
    assert np.nanmedian(target.pitch.f0_hz) > 120  # the demo's target speaks higher than the source
    assert target.log_mel.shape == (8 * target.n_frames, 80)
    assert target.cepstra.shape[1] == 25


def test_size_and_rates_do_not_matter(target, tracker, face, tmp_path: Path):
    """The same pictures at 50 per second, larger and with a border, and the sound at 22.05 kHz."""
    import cv2
    import soxr

    crops = np.repeat(target.crops, 2, axis=0)
    large = np.zeros((len(crops), 400, 480, 3), np.uint8)
    for frame, crop in zip(large, crops, strict=True):
        frame[30:350, 100:420] = cv2.resize(crop, (320, 320), interpolation=cv2.INTER_CUBIC)
    sound = soxr.resample(target.waveform, SAMPLE_RATE_HZ, 22_050)
    path = tmp_path / "other.mp4"
    write_video(path, large, sound, fps=50, sample_rate_hz=22_050)
    other = watch(path, tracker, face)
    assert abs(other.n_frames - target.n_frames) <= 1
    n = min(other.n_frames, target.n_frames)
    r = correlation(mouth_opening(other.keypoints[:n]), mouth_opening(target.keypoints[:n]))
    assert r > 0.97  # the tracker's own repeatability after another encoding (DESIGN.md: 0.97 and more)
    assert np.abs(other.log_mel[: 8 * n] - target.log_mel[: 8 * n]).mean() < 0.5  # nepers; AAC and the resampling


def test_no_face_and_no_sound(tracker, face, tmp_path: Path):
    grey = np.full((20, 128, 128, 3), 90, np.uint8)
    write_video(tmp_path / "grey.mp4", grey, None, fps=FPS, sample_rate_hz=SAMPLE_RATE_HZ)
    seen = watch(tmp_path / "grey.mp4", tracker, face)
    assert not seen.has_face and seen.waveform is None
    assert np.isnan(seen.keypoints).all()
    with pytest.raises(ValueError, match="silent"):
        _ = seen.cepstra


def test_sound_recorded_apart_is_heard(tracker, face, tmp_path: Path):
    grey = np.full((20, 128, 128, 3), 90, np.uint8)
    write_video(tmp_path / "grey.mp4", grey, None, fps=FPS, sample_rate_hz=SAMPLE_RATE_HZ)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(20 * SAMPLE_RATE_HZ // FPS) / SAMPLE_RATE_HZ)
    soundfile.write(tmp_path / "GREY.Flac", tone, SAMPLE_RATE_HZ)
    seen = watch(tmp_path / "grey.mp4", tracker, face)
    assert seen.n_frames == 20 and seen.waveform is not None
    np.testing.assert_allclose(seen.waveform, tone, atol=2**-15)  # stored in 16 bit


def test_long_videos_are_refused(tracker, face, tmp_path: Path):
    grey = np.full((64, 64, 3), 90, np.uint8)
    write_video(tmp_path / "long.mp4", (grey for _ in range(26 * 5)), None, fps=5, sample_rate_hz=SAMPLE_RATE_HZ)
    with pytest.raises(MediaError, match=r"long\.mp4: lasts 26\.0 s.*--drift"):
        watch(tmp_path / "long.mp4", tracker, face)
