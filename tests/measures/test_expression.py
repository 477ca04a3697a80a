"""Expression parameters of a face put together by hand, and of the demo's painted moods."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.measures.expression import EXPRESSION_NAMES, expression, expression_distance, expression_scale

N_FRAMES = 5
UNIT = 80.0  # pixels between the outer corners of the eyes
BY_HAND = {  # eye distances
    "inner_brow_right": 0.25,
    "inner_brow_left": 0.27,
    "outer_brow_right": 0.20,
    "outer_brow_left": 0.22,
    "brow_distance": 0.30,
    "eye_opening_right": 0.11,
    "eye_opening_left": 0.09,
    "mouth_opening": 0.15,
    "mouth_width": 0.60,
    "corner_height_right": 0.02,
    "corner_height_left": -0.03,
    "upper_lip_height": 0.06,
    "lower_lip_height": 0.08,
    "jaw_drop": 0.55,
}
POINTS = {  # x, y in eye distances about the middle of the eyes, y down
    36: (-0.5, 0), 39: (-0.2, 0), 42: (0.2, 0), 45: (0.5, 0),
    37: (-0.4, -0.06), 41: (-0.4, 0.06), 38: (-0.3, -0.05), 40: (-0.3, 0.05),
    43: (0.3, -0.05), 47: (0.3, 0.05), 44: (0.4, -0.04), 46: (0.4, 0.04),
    17: (-0.6, -0.15), 18: (-0.5, -0.25), 20: (-0.25, -0.26), 21: (-0.15, -0.24),
    22: (0.15, -0.26), 23: (0.25, -0.28), 25: (0.5, -0.26), 26: (0.6, -0.18),
    51: (0, 0.86), 62: (0, 0.92), 66: (0, 1.07), 57: (0, 1.15),
    48: (-0.3, 1.005 - 0.02), 54: (np.sqrt(0.36 - 0.05**2) - 0.3, 1.005 + 0.03),
    33: (0, 0.70), 8: (0, 1.25),
}  # fmt: skip


@pytest.fixture
def face() -> np.ndarray:
    """[5, 70, 2] px: the same face five times, shifted, tilted by 0.1 rad and larger from frame to frame."""
    points = np.zeros((70, 2))
    for number, place in POINTS.items():
        points[number] = place
    films = []
    for t in range(N_FRAMES):
        turn = UNIT * (1 + 0.1 * t) * np.exp(0.1j * t)
        moved = (points @ (1, 1j)) * turn + 120 + 3 * t + 100j
        films.append(np.stack([moved.real, moved.imag], axis=1))
    return np.stack(films)


def test_every_parameter_by_hand(face):
    found = expression(face)
    assert found.shape == (N_FRAMES, len(EXPRESSION_NAMES)) == (5, len(BY_HAND))
    for t in range(N_FRAMES):
        assert dict(zip(EXPRESSION_NAMES, found[t], strict=True)) == pytest.approx(BY_HAND)


def test_distance_of_one_parameter_one_deviation_off(face):
    """One of 14 parameters off by two scales: sqrt(4 / 14)."""
    scale = np.full(14, 0.05)
    other = face.copy()
    unit = np.exp(0.1j * np.arange(N_FRAMES)) * UNIT * (1 + 0.1 * np.arange(N_FRAMES))
    lower = 0.1 * 1j * unit  # the chin a tenth of an eye distance further down the face
    other[:, 8] += np.stack([lower.real, lower.imag], axis=1)
    assert expression_distance(other, face, scale) == pytest.approx(np.sqrt(4 / 14))
    assert expression_distance(face, face, scale) == 0.0
    assert np.isnan(expression_distance(face[:0], face[:0], scale))


def test_scale_is_the_deviation_over_all_sentences(face, rng):
    films = [face + rng.normal(0, 1, face.shape), face[:3] + rng.normal(0, 2, face[:3].shape)]
    assert expression_scale(films) == pytest.approx(np.std(np.concatenate([expression(f) for f in films]), axis=0))


def test_chance_and_the_mean_face_by_their_laws(face, rng):
    """Independent frames of one distribution are sqrt(2) scales apart, frames and their mean 1."""
    film = np.repeat(face[:1], 4000, axis=0) + rng.normal(0, 0.5, (4000, 70, 2))
    scale = expression_scale([film])
    assert expression_distance(film[:2000], film[2000:], scale) == pytest.approx(np.sqrt(2), rel=0.02)  # 1/sqrt(2000)
    mean = np.repeat(film.mean(axis=0)[None], 4000, axis=0)
    # lids and lips are lengths, a little longer under noise than in the mean face
    assert expression_distance(mean, film, scale) == pytest.approx(1.0, rel=0.03)


def test_a_scale_of_zero_is_refused_by_name(face):
    scale = np.ones(14)
    scale[3] = 0.0
    with pytest.raises(ValueError, match="outer_brow_left"):
        expression_distance(face, face, scale)
