"""mu-law and pre-emphasis against slow formulas and at their edges."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.signal import companding


@pytest.mark.parametrize("n_classes", [16, 256, 1024])
def test_mu_law_follows_its_formula(n_classes):
    x, mu = np.linspace(-1, 1, 301).astype(np.float32), n_classes - 1
    expected = np.array([np.sign(v) * np.log(1 + mu * abs(v)) / np.log(1 + mu) for v in x.astype(float)])
    np.testing.assert_allclose(companding.compand(x, n_classes), expected, atol=1e-6)  # float32


@pytest.mark.parametrize("n_classes", [16, 256, 1024])
def test_expand_undoes_compand(n_classes, rng):
    x = rng.uniform(-1, 1, 500).astype(np.float32)
    back = companding.expand(companding.compand(x, n_classes), n_classes)
    np.testing.assert_allclose(back, x, atol=1e-5)  # float32 through exp and log


def test_values_beyond_full_scale_are_clipped():
    assert companding.compand(np.array([-3.0, 3.0], np.float32), 256).tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("n_classes", [16, 256, 1024])
def test_every_class_is_its_own_nearest(n_classes):
    values = companding.class_values(n_classes)
    assert values[0] == -1 and values[-1] == 1
    assert companding.to_classes(values, n_classes).tolist() == list(range(n_classes))


def test_classes_are_the_nearest_ones(rng):
    x = rng.uniform(-1, 1, 400).astype(np.float32)
    nearest = np.abs(x[:, None] - companding.class_values(32)).argmin(1)
    assert (companding.to_classes(x, 32) == nearest).all()


def test_silence_is_the_quietest_positive_class():
    values = companding.class_values(256)
    assert values[companding.silence_class(256)] == min(v for v in values if v > 0)


def test_pre_emphasis_is_a_difference_and_is_undone(rng):
    x = rng.normal(size=300).astype(np.float32)
    emphasised = companding.pre_emphasise(x, 0.85)
    slow = [x[0]] + [x[t] - 0.85 * x[t - 1] for t in range(1, len(x))]
    np.testing.assert_allclose(emphasised, slow, atol=1e-6)
    np.testing.assert_allclose(companding.de_emphasise(emphasised, 0.85), x, atol=1e-5)  # errors add up over 1/0.15
    assert companding.pre_emphasise(x, 0.0) is x
