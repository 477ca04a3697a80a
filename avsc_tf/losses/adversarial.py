"""Least-squares GAN losses (paper section 3.3, reference [26]; Mao et al. 2017, equation 9: real 1, fake 0).

Scores are one tensor, or a list of them (one a scale), which count alike.
"""

from __future__ import annotations

from typing import Any

from keras import ops


def discriminator_loss(real_scores: Any, fake_scores: Any) -> Any:
    """0.5 E[(D(x) - 1)^2] + 0.5 E[D(G(z))^2]; a scalar."""
    return 0.5 * _mean_square(real_scores, 1.0) + 0.5 * _mean_square(fake_scores, 0.0)


def generator_loss(fake_scores: Any) -> Any:
    """0.5 E[(D(G(z)) - 1)^2]; a scalar."""
    return 0.5 * _mean_square(fake_scores, 1.0)


def feature_matching_loss(real_features: list[Any], fake_features: list[Any]) -> Any:
    """Mean over layers of the mean absolute difference between a discriminator's features of real and generated images
    (Wang et al. 2018, equation 4, each layer counting alike); the real ones are what is aimed at. A scalar.
    """
    differences = [
        ops.mean(ops.abs(ops.cast(ops.stop_gradient(real), "float32") - ops.cast(fake, "float32")))
        for real, fake in zip(real_features, fake_features, strict=True)
    ]
    return sum(differences) / len(differences)


def _mean_square(scores: Any, wanted: float) -> Any:
    every = scores if isinstance(scores, (list, tuple)) else [scores]
    return sum(ops.mean(ops.square(one - wanted)) for one in every) / len(every)
