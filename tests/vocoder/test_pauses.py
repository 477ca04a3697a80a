"""Cuts lie in pauses, and what is spoken in parts has the length and places of the whole."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.core.config import load_config
from avsc_tf.datasets.recordings import read_recording
from avsc_tf.vocoder.pauses import pause_cuts


def speech(*frames: int, quiet: float = -9.0, n_mels: int = 6) -> np.ndarray:
    """Log-mel of loud and quiet stretches by turns, the first one loud."""
    rng = np.random.default_rng(3)
    levels = np.concatenate([np.full(n, quiet if k % 2 else -3.0) for k, n in enumerate(frames)])
    return (levels[:, None] + 0.3 * rng.normal(size=(len(levels), n_mels))).astype(np.float32)


def test_cuts_lie_in_the_middle_of_long_pauses():
    assert pause_cuts(speech(50, 20, 30, 8, 41, 31, 25), least_frames=10) == [60, 50 + 20 + 30 + 8 + 41 + 15]


def test_silence_at_the_ends_is_no_pause():
    assert pause_cuts(speech(0, 30, 40, 30), least_frames=5) == []


def test_a_drop_of_20_decibels_is_no_pause():
    assert pause_cuts(speech(50, 20, 30, quiet=-3.0 - np.log(10.0)), least_frames=5) == []


def test_parts_are_spoken_from_silence_and_joined_in_place(make, utterance):
    plain = ["wavenet.pitch_input=none", "wavenet.pre_emphasis=0"]
    config, _, sampler = make("wavenet.cut_at_pauses_seconds=0.05", *plain)
    recording = utterance(config, n_video=12)
    mel = recording.mel.copy()
    mel[40:60] = np.log(config.acoustic.log_floor)
    parts = sampler.parts_of(sampler.utterance(mel, recording.facial))
    assert [(part.start, part.stop) for part in parts] == [(0, 50), (50, 96)]
    whole = sampler.generate([mel], [recording.facial], seed=4)[0]
    assert len(whole) == 12 * 640
    uncut = make(*plain)[2]
    before = uncut.generate([mel], [recording.facial], seed=4)[0]
    np.testing.assert_array_equal(whole[: 50 * 80], before[: 50 * 80])
    assert (whole[50 * 80 :] != before[50 * 80 :]).any()  # the second part knows nothing of the first


def test_real_sentences_are_cut_where_nobody_speaks(shared_data, root):
    """Twelve GRID sentences joined; the corpus' word times are in units of 1/25000 s."""
    clips = sorted((shared_data / "grid" / "s1").glob("*.mpg"))[:12]
    if not clips:
        pytest.skip("shared/data/grid is absent")
    config = load_config(root / "configs" / "demo.yaml")
    frames_a_second = 1000 / config.time.hop_ms
    mels, silent, start = [], [], 0
    for clip in clips:
        mels.append(read_recording(clip, config).mel)
        words = (shared_data / "grid" / "s1_align" / f"{clip.stem}.align").read_text(encoding="utf-8").splitlines()
        times = [line.split() for line in words if line.split()[-1] in ("sil", "sp")]
        silent += [[start + int(t) / 25000 * frames_a_second for t in row[:2]] for row in times]
        start += len(mels[-1])
    cuts = pause_cuts(np.concatenate(mels), least_frames=round(0.3 * frames_a_second))
    assert len(cuts) >= 11  # between the sentences at least
    assert all(any(first <= cut <= last for first, last in silent) for cut in cuts)
