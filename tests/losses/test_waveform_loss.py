"""The WaveNet's loss against SciPy's logistic distribution and the plain softmax."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import log_softmax
from scipy.stats import logistic

from avsc_tf.layers.logistic_mixture import class_logits
from avsc_tf.losses.waveform import ClassSurprise


def parameters(rng, *shape: int, n_mixtures: int) -> np.ndarray:
    weights, means = rng.normal(size=(2, *shape, n_mixtures))
    return np.concatenate([weights, 0.4 * means, rng.uniform(-5, -1, means.shape)], axis=-1).astype(np.float32)


@pytest.mark.parametrize(("n_classes", "n_mixtures"), [(16, 1), (256, 3), (1024, 2)])
def test_a_class_holds_its_share_of_the_mixture(n_classes, n_mixtures, rng):
    given = parameters(rng, 2, 5, n_mixtures=n_mixtures)
    weights, means, log_scales = np.split(given.astype(np.float64), 3, axis=-1)
    edges = -1 + (2 * np.arange(1, n_classes) - 1) / (n_classes - 1)  # between two classes
    below = logistic.cdf(edges[:, None], means[..., None, :], np.exp(log_scales)[..., None, :])
    below = (np.exp(log_softmax(weights, axis=-1))[..., None, :] * below).sum(-1)  # [2, 5, n_classes - 1]
    expected = np.diff(below, axis=-1, prepend=0.0, append=1.0)
    found = np.exp(np.asarray(class_logits(given, n_classes)))
    np.testing.assert_allclose(found.sum(-1), 1.0, atol=1e-4)  # float32 over up to 1024 classes
    np.testing.assert_allclose(found, expected, atol=2e-6, rtol=2e-4)  # float32 exponentials


@pytest.mark.parametrize("n_mixtures", [0, 2])
def test_loss_is_minus_log_p_of_the_true_class(n_mixtures, rng):
    classes = rng.integers(0, 12, (3, 7))
    if n_mixtures:
        predicted = parameters(rng, 3, 7, n_mixtures=n_mixtures)
        log_p = np.asarray(class_logits(predicted, 12))
    else:
        predicted = rng.normal(size=(3, 7, 12)).astype(np.float32)
        log_p = log_softmax(predicted, axis=-1)
    loss = ClassSurprise(n_classes=12, n_mixtures=n_mixtures)
    expected = -np.take_along_axis(log_p, classes[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(np.asarray(loss.call(classes, predicted)), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(loss.bits(classes, predicted)), expected / np.log(2), rtol=1e-5, atol=1e-6)
    assert float(loss(classes, predicted)) == pytest.approx(expected.mean(), rel=1e-5)


def test_far_away_classes_keep_a_finite_loss_and_gradient():
    """A sharp mixture far from the truth: the naive difference of two CDFs would be log 0."""
    import tensorflow as tf

    predicted = tf.constant([[[0.0, 0.0, -0.9, -0.9, -7.0, -7.0]]])
    with tf.GradientTape() as tape:
        tape.watch(predicted)
        loss = ClassSurprise(n_classes=256, n_mixtures=2)(np.array([[250]]), predicted)
    assert np.isfinite(float(loss)) and float(loss) > 1000
    assert np.isfinite(tape.gradient(loss, predicted).numpy()).all()
