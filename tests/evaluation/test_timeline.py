"""Source time to the target's time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avsc_tf.core.errors import AlignmentError
from avsc_tf.core.timebase import Timebase
from avsc_tf.evaluation.timeline import (
    Label,
    map_from_labels,
    map_from_path,
    mel_seconds,
    picture_seconds,
    read_labels,
    warp_frames,
    warp_keypoints,
    warp_mel,
)

TIMEBASE = Timebase(video_fps=25, sample_rate_hz=48_000, hop_samples=240)
SOURCE = [Label("_", 0.0, 0.2), Label("a", 0.2, 0.4), Label("_", 0.4, 0.5), Label("k", 0.5, 0.6), Label("_", 0.6, 0.8)]
TARGET = [Label("_", 0.0, 0.1), Label("a", 0.1, 0.5), Label("k", 0.5, 0.7), Label("_", 0.7, 0.9)]


def test_labels_are_knots_and_pauses_may_differ() -> None:
    found = map_from_labels(SOURCE, TARGET, origin="phone times", name="x")
    assert np.allclose(
        found(np.array([0.0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.55, 0.6])), [0, 0.05, 0.1, 0.3, 0.5, 0.5, 0.6, 0.7]
    )
    assert found(np.array([0.75])) == pytest.approx(0.85)  # after the last label at equal speed
    assert found.speech_s == (0.2, 0.6)
    assert np.array_equal(found.spoken(np.array([0.1, 0.3, 0.59, 0.7])), [False, True, True, False])


def test_labels_of_different_sentences() -> None:
    with pytest.raises(AlignmentError, match=r"clip_7: the labels of the two clips differ .*same sentence"):
        map_from_labels(SOURCE, TARGET[:2], origin="phone times", name="clip_7")


def test_identical_labels_keep_the_time() -> None:
    found = map_from_labels(SOURCE, SOURCE, origin="phone times", name="x")
    moments = np.linspace(0, 1, 31)
    assert np.allclose(found(moments), moments)


def test_path_of_a_clip_with_itself_keeps_the_time() -> None:
    n = 30
    mel = np.full((8 * n, 80), -9.0, np.float32)
    mel[8 * 5 : 8 * 20] = -1.0
    path = np.stack([np.arange(n)] * 2, axis=1)
    found = map_from_path(path, mel, smooth_frames=5, timebase=TIMEBASE)
    centres = picture_seconds(n, TIMEBASE)
    assert np.allclose(found(centres), centres)
    assert found.speech_s == (0.2, 0.8) and found.origin == "DTW path"


def test_warps_read_where_the_map_points() -> None:
    n = 12
    mel = np.repeat(np.arange(8.0 * n)[:, None], 3, axis=1)
    assert np.allclose(warp_mel(mel, mel_seconds(n, TIMEBASE) + 0.01, TIMEBASE)[:90, 0], np.arange(90) + 2.0)
    keypoints = np.repeat(np.arange(float(n))[:, None, None], 2, axis=2).repeat(70, axis=1)
    assert np.allclose(
        warp_keypoints(keypoints, picture_seconds(n, TIMEBASE) + 0.02, TIMEBASE)[:11, 9, 1], np.arange(11) + 0.5
    )
    frames = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    assert np.array_equal(
        warp_frames(frames, picture_seconds(n, TIMEBASE) + 0.04, TIMEBASE)[:, 0, 0, 0], [*range(1, n), n - 1]
    )


def test_label_files(tmp_path: Path) -> None:
    (tmp_path / "x.phones.csv").write_text("start_s,end_s,phone\n0.000000,0.25,_\n0.25,0.5,a\n", encoding="utf-8")
    (tmp_path / "x.align").write_text("0 23750 sil\n23750 29500 bin\n", encoding="utf-8")
    found = read_labels(tmp_path, "x", align_dir=tmp_path)
    assert found["phone times"] == [Label("_", 0.0, 0.25), Label("a", 0.25, 0.5)]
    assert found["word times"][1] == Label("bin", 0.95, 1.18)
    assert read_labels(tmp_path, "y") == {}


@pytest.mark.parametrize(("name", "text"), [("x.phones.csv", "a,b\n1,2\n"), ("x.align", "0 sil\n")])
def test_unreadable_label_files(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(AlignmentError, match=rf"{name}: .*Write it again"):
        read_labels(tmp_path, "x", align_dir=tmp_path)
