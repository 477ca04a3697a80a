"""Least-squares GAN losses (paper section 3.3, reference [26]; Mao et al. 2017, equation 9: real 1, fake 0)."""

from __future__ import annotations

from typing import Any

from keras import ops


def discriminator_loss(real_scores: Any, fake_scores: Any) -> Any:
    """0.5 E[(D(x) - 1)^2] + 0.5 E[D(G(z))^2]; a scalar."""
    return 0.5 * ops.mean(ops.square(real_scores - 1.0)) + 0.5 * ops.mean(ops.square(fake_scores))


def generator_loss(fake_scores: Any) -> Any:
    """0.5 E[(D(G(z)) - 1)^2]; a scalar."""
    return 0.5 * ops.mean(ops.square(fake_scores - 1.0))
