"""Speech is found by a clip's own levels, and paths lay silence on silence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avsc_tf.alignment.dtw import warping_path
from avsc_tf.alignment.silence import anchored_path, matched_spans, speech_activity, speech_span

RATES = {"mel_per_video": 8, "video_fps": 25}
MARGIN_FRAMES = 3  # 0.12 s at 25 fps


def clip(rng, *, before: int, speech: int, after: int, n_mels: int = 11, floor: float = -7.0) -> np.ndarray:
    """Noise of 0.5 nepers about `floor`; speech stands 4 to 6 above it and dips every 0.2 s. Video frames."""
    mel = floor + 0.5 * rng.standard_normal((8 * (before + speech + after), n_mels))
    times = np.arange(8 * speech)
    mel[8 * before : 8 * (before + speech)] += (4 + 2 * np.cos(times / 40 * 2 * np.pi))[:, None]
    return mel.astype(np.float32)


@pytest.mark.parametrize(("before", "speech", "after"), [(20, 31, 14), (3, 50, 40), (9, 12, 5)])
def test_span_is_the_speech_and_its_margin(rng, before, speech, after):
    first, end = speech_span(clip(rng, before=before, speech=speech, after=after), **RATES)
    # 1: the level is smoothed over 5 mel frames, which may reach into the next video frame
    assert abs(first - max(0, before - MARGIN_FRAMES)) <= 1
    assert abs(end - min(before + speech + after, before + speech + MARGIN_FRAMES)) <= 1


def test_neither_gain_nor_hum_moves_the_span(rng):
    mel = clip(rng, before=18, speech=30, after=22)
    expected = speech_span(mel, **RATES)
    assert speech_span(mel + 3.0, **RATES) == expected
    humming = mel.copy()
    humming[:, 2] = 2.0  # a mains hum louder than the speech, in one band
    assert speech_span(humming, **RATES) == expected


def test_a_click_is_no_speech(rng):
    mel = clip(rng, before=30, speech=30, after=20)
    mel[40:44] += 7.0  # 20 ms
    assert speech_span(mel, **RATES)[0] >= 30 - MARGIN_FRAMES - 1


def test_digital_silence_does_not_make_the_noise_speech(rng):
    mel = clip(rng, before=30, speech=30, after=20)
    mel[: 8 * 15] = np.log(1e-4)  # padded: no sound at all, far below the noise
    assert speech_span(mel, **RATES)[0] >= 30 - MARGIN_FRAMES - 1


def test_clip_without_contrast_is_speech_throughout(rng):
    noise = clip(rng, before=25, speech=0, after=0)
    assert speech_activity(noise, mel_fps=200).min() == 1
    assert speech_span(noise, **RATES) == (0, 25)
    assert speech_span(np.full((8 * 7, 4), -9.2, np.float32), **RATES) == (0, 7)  # all digital silence


def test_activity_lies_between_silence_and_speech(rng):
    activity = speech_activity(clip(rng, before=20, speech=25, after=20), mel_fps=200)
    assert activity.shape == (8 * 65,)
    assert activity.min() == 0 and activity.max() == 1
    assert activity[: 8 * 19].mean() < 0.15 < 0.5 < activity[8 * 20 : 8 * 45].mean()


@st.composite
def spans(draw):
    sizes = [draw(st.integers(3, 40)) for _ in range(2)]
    firsts = [draw(st.integers(0, n - 2)) for n in sizes]
    ends = [draw(st.integers(first + 1, n)) for first, n in zip(firsts, sizes, strict=True)]
    return sizes, *zip(firsts, ends, strict=True)


@settings(max_examples=60, deadline=None)  # the first call compiles
@given(spans(), st.integers(0, 99))
def test_anchored_path_is_a_path_through_both_anchors(case, seed):
    (n, m), source, target = case
    path = anchored_path(np.random.default_rng(seed).random((n, m)), source, target)
    assert path.dtype == np.int32
    assert path[0].tolist() == [0, 0] and path[-1].tolist() == [n - 1, m - 1]
    steps = np.diff(path, axis=0)
    assert steps.size == 0 or (steps.min() >= 0 and steps.max() == 1 and steps.sum(axis=1).min() >= 1)
    rows, columns = matched_spans((n, m), source, target)
    visited = {tuple(step) for step in path.tolist()}
    assert (rows[0], columns[0]) in visited and (rows[1] - 1, columns[1] - 1) in visited


def test_without_silence_the_path_is_the_warping_path(rng):
    cost = rng.random((13, 17))
    np.testing.assert_array_equal(anchored_path(cost, (0, 13), (0, 17)), warping_path(cost))


def test_silence_of_one_clip_alone_is_left_to_the_warping(rng):
    cost = rng.random((13, 17))
    assert matched_spans(cost.shape, (4, 13), (0, 17)) == ((0, 13), (0, 17))
    assert matched_spans(cost.shape, (4, 10), (2, 17)) == ((4, 13), (2, 17))
    np.testing.assert_array_equal(anchored_path(cost, (4, 13), (0, 17)), warping_path(cost))


def test_long_silence_is_walked_through_evenly():
    """24 silent frames against 6: four steps a frame, whatever the noise costs."""
    cost = np.ones((30, 12))
    path = anchored_path(cost, (24, 30), (6, 12))
    silence = path[:24]
    assert silence[:, 0].tolist() == list(range(24))
    assert np.bincount(silence[:, 1]).tolist() == [3, 4, 5, 5, 4, 3]  # rounded to the nearest: half as many at the ends
    assert path[24].tolist() == [24, 6]
