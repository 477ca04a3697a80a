"""The correlation of sound and lips tells synchrony from chance, and falls with whatever spoils it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from avsc_tf.core.errors import RecordError
from avsc_tf.measures.lip_correlation import (
    LipCorrelation,
    beside_null,
    circular_shifts,
    naive_canonical_r,
    naive_null,
)

HELD_OUT = [(131, 900), (97, 901), (150, 902)]  # frames, seed


def test_held_out_sentences_pass_their_null(fitted: LipCorrelation, talker: Any) -> None:
    sentences = [talker.says(n, seed) for n, seed in HELD_OUT]
    for mel, lips in sentences:
        found = fitted.beside_null(mel, lips)
        assert found.r > 0.8 > found.null_high and found.p < 0.05
        assert abs(found.null_mean) < 0.1
        assert found.r == fitted.score(mel, lips) == fitted.scores(mel, lips)[0]
    each = [fitted.score(*sentence) for sentence in sentences]
    assert min(each) <= fitted.pooled(sentences) <= max(each)


def test_independent_streams_fool_only_the_naive_figure(rng: np.random.Generator) -> None:
    """The design's figure: 150 frames of noise in 80 and 40 dimensions have a first correlation of 0.965."""
    noise = [(rng.normal(size=(150, 80)), rng.normal(size=(150, 40))) for _ in range(24)]
    fitted = LipCorrelation.fit(noise[:12])
    held_out = np.array([fitted.score(*sentence) for sentence in noise[12:]])
    # 1 / sqrt(150) = 0.08 is the deviation of r by chance: mean of 12 within 3 of its own deviations
    assert abs(held_out.mean()) < 3 * 0.082 / np.sqrt(12) and np.abs(held_out).max() < 0.33
    naive = np.array([naive_canonical_r(*sentence) for sentence in noise[:6]])
    assert naive == pytest.approx(0.965, abs=0.02) and naive_null(*noise[0]).mean() == pytest.approx(0.965, abs=0.02)
    assert naive_canonical_r(noise[0][0][:110], noise[0][1][:110]) == pytest.approx(1, abs=1e-9)  # 110 < 80 + 40


def test_a_known_correlation_is_found_again(rng: np.random.Generator) -> None:
    """One dimension a side, Gaussian, correlation 0.6: nothing to reduce, so held-out r tends to it."""
    a = rng.normal(size=(30, 400, 1))
    b = 0.6 * a + 0.8 * rng.normal(size=a.shape)
    sentences = list(zip(a, b, strict=True))
    fitted = LipCorrelation.fit(sentences[:10], n_mel=1, n_lips=1)
    assert fitted.pooled(sentences[10:]) == pytest.approx(0.6, abs=0.03)  # 4 standard errors of 8,000 frames
    assert fitted.training_r == pytest.approx([0.6], abs=0.05)


def test_r_falls_with_delay(fitted: LipCorrelation, talker: Any) -> None:
    by_delay = [
        np.mean([fitted.score(*talker.says(n, seed, late_frames=late)) for n, seed in HELD_OUT]) for late in range(4)
    ]
    assert (np.diff(by_delay) < -0.05).all() and by_delay[3] < 0.3


def test_r_falls_with_noise(fitted: LipCorrelation, rng: np.random.Generator, talker: Any) -> None:
    mel, lips = talker.says(150, 902)
    noise = rng.normal(size=mel.shape) * mel.std()
    by_noise = [fitted.score(mel + level * noise, lips) for level in (0, 1, 4, 30)]
    assert (np.diff(by_noise) < 0).all() and by_noise[-1] < 0.4


def test_another_sentences_sound_and_another_talkers(fitted: LipCorrelation, talker: Any, talker_of: Any) -> None:
    (mel, lips), (other, _) = talker.says(150, 902), talker.says(150, 903)
    stranger, _ = talker_of(2).says(150, 902)  # says the same, at the same time, with another voice
    assert abs(fitted.score(other, lips)) < 0.3
    assert fitted.score(stranger, lips) < fitted.score(mel, lips) - 0.2


def test_frozen_lips_have_no_correlation(fitted: LipCorrelation, rng: np.random.Generator, talker: Any) -> None:
    mel, lips = talker.says(120, 904)
    still = np.tile(lips[:1], (120, 1))
    jittering = still + 1e-4 * rng.normal(size=still.shape)
    for frozen in (still, jittering):
        assert np.isnan(fitted.scores(mel, frozen)).all() and len(fitted.null(mel, frozen)) == 0
        assert np.isnan(fitted.beside_null(mel, frozen).p)
    assert np.isnan(naive_canonical_r(mel, still))


def test_dampened_lips_keep_r_and_lose_movement(fitted: LipCorrelation, talker: Any) -> None:
    mel, lips = talker.says(120, 904)
    dampened = lips.mean(axis=0) + 0.5 * (lips - lips.mean(axis=0))
    assert fitted.score(mel, dampened) == pytest.approx(fitted.score(mel, lips), abs=1e-9)
    movement = fitted.lip_movement(mel, lips)
    assert movement == pytest.approx(1, abs=0.25)  # another sentence moves a little less or more
    assert fitted.lip_movement(mel, dampened) == pytest.approx(0.5 * movement)
    assert np.isnan(fitted.lip_movement(mel, np.full_like(lips, np.nan)))


def test_head_shape_and_level_do_not_matter(fitted: LipCorrelation, talker: Any) -> None:
    """Another recording level and a smile that stays: constants of a sentence."""
    mel, lips = talker.says(120, 904)
    assert fitted.score(mel + 2.0, lips + 0.1) == pytest.approx(fitted.score(mel, lips), abs=1e-9)


def test_unseen_frames_are_left_out(fitted: LipCorrelation, talker: Any) -> None:
    mel, lips = talker.says(120, 904)
    gap = lips.copy()
    gap[50:60] = np.nan
    cut = np.r_[0:50, 60:120]
    assert fitted.score(mel, gap) == pytest.approx(fitted.score(mel[cut], lips[cut]), abs=1e-9)
    assert np.isnan(fitted.variates(mel, gap)[0][50:60]).all()
    assert np.isnan(fitted.score(mel, np.full_like(lips, np.nan)))


def test_shifts_of_the_null() -> None:
    assert circular_shifts(40, 100, fps=25).tolist() == list(range(10, 31))  # 0.4 s from either end of the circle
    assert circular_shifts(400, 5, fps=25).tolist() == [10, 105, 200, 295, 390]
    assert len(circular_shifts(19, 5, fps=25)) == 0


def test_exceedance_counts_the_figure_itself() -> None:
    found = beside_null(0.5, np.linspace(-1, 1, 101))  # 26 values from 0.5 up
    assert found.p == pytest.approx(27 / 102) and found.null_mean == pytest.approx(0)
    assert (found.null_low, found.null_high) == pytest.approx((-0.95, 0.95))


def test_too_little_to_fit_is_refused(talker: Any) -> None:
    with pytest.raises(RecordError, match=r"1 training sentences have \d+ frames .* 20 \+ 10 components need 90"):
        LipCorrelation.fit([talker.says(60, 0)])
