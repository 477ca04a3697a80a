"""The conversion network's training where the weights of its two losses move (ours; the paper fixes them, 3.1).

The facial feature has fifty times the dimensions of the mel and may dominate the fusion. Two known balances:

- homoscedastic uncertainty (Kendall et al. 2018): each loss is the likelihood of a Laplace distribution whose scale is
  learned, sum of exp(-s) L + s;
- gradient norms (GradNorm, Chen et al. 2018): the weights move such that both losses pull alike at the last layer that
  they share, and the slower learner pulls more.

Both start from the paper's weights. The weights are variables of this model and not of the delivered network; they have
an optimizer of their own. "loss" stays the paper's sum, so that figures compare whatever the balance.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avsc_tf.core.config import Config
from avsc_tf.losses.regression import ConversionLoss
from avsc_tf.training.engine.model import Descent, Figures, Supervised, mean_over_replicas

BALANCE = "balance/"


class MovingWeights(Supervised):
    """Both losses weighed by trainable scalars; a subclass says how (`balanced`)."""

    def __init__(self, network: keras.Model, config: Config, **kwargs: Any) -> None:
        losses = ConversionLoss(config)
        super().__init__(network, losses, **kwargs)
        self.names = tuple(losses.weights)
        self.rate = config.conversion.loss_balance_rate
        start = self.start_values(np.array([losses.weights[name] for name in self.names], np.float32))
        self.scalars = self.add_weight(name="balance", shape=start.shape, initializer=_constant(start))

    def start_values(self, weights: np.ndarray) -> np.ndarray:
        """The scalars that give these weights of `names`."""
        raise TypeError(f"{type(self).__name__} must say where its weights start")

    def balanced(self, losses: Any, tape: Any) -> tuple[Any, Any, Any]:
        """Losses [2] -> what the network goes down, what the scalars go down, and the weights [2]."""
        raise TypeError(f"{type(self).__name__} must weigh its losses")

    def compile(self, optimizer: keras.optimizers.Optimizer, **kwargs: Any) -> None:
        self.balance_optimizer = keras.optimizers.Adam(self.rate)
        super().compile(optimizer, **kwargs)

    def descents(self) -> list[Descent]:
        return [
            Descent("balanced_loss", self.optimizer, self.trained),
            Descent(f"{BALANCE}loss", self.balance_optimizer, self.trained, label=BALANCE),
        ]

    def variables_of(self, descent: Descent) -> list[Any]:
        return [self.scalars] if descent.label == BALANCE else super().variables_of(descent)

    def losses_of(self, data: Any, *, training: bool) -> Figures:
        if not training:
            return super().losses_of(data, training=False)
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(self.watched())
            figures = super().losses_of(data, training=True)
            losses = [figures[f"{name}_loss"] for name in self.names]
        balanced, own, weights = self.balanced(losses, tape)
        named = {f"weight/{name}": weights[i] for i, name in enumerate(self.names)}
        return figures | {"balanced_loss": balanced, f"{BALANCE}loss": own} | named

    def watched(self) -> list[Any]:
        """Tensors that `balanced` wants gradients of."""
        return []


class UncertaintyWeights(MovingWeights):
    """Weights exp(-s) of learned log scales s (Kendall et al. 2018; Laplace's likelihood, as the losses are L1)."""

    def start_values(self, weights: np.ndarray) -> np.ndarray:
        return -np.log(weights)

    def balanced(self, losses: Any, tape: Any) -> tuple[Any, Any, Any]:
        log_scales = tf.convert_to_tensor(self.scalars)
        weights = tf.exp(-log_scales)
        total = tf.reduce_sum(weights * tf.stack(losses) + log_scales)
        return total, total, weights


class GradientNormWeights(MovingWeights):
    """Weights of constant sum that even out the norms of both gradients (Chen et al. 2018, equation 2).

    The weights are that sum times a softmax of the scalars, in place of the paper's renormalising after each step: so
    they stay positive. The norms are taken at the kernel of the last layer of the fusion.
    """

    def __init__(self, network: keras.Model, config: Config, **kwargs: Any) -> None:
        super().__init__(network, config, **kwargs)
        self.asymmetry = config.conversion.gradient_norm_asymmetry
        self.total = float(sum(self.loss_functions.weights.values()))
        self.shared = network.get_layer(f"fusion_{len(config.conversion.fusion_channels)}").kernel
        # A copy a replica, all equal: an assignment that waits for the others would disorder the reductions around it.
        self.first_losses = keras.Variable(
            np.zeros(2, np.float32), trainable=False, name="first_losses", synchronization="on_read", aggregation="mean"
        )

    def start_values(self, weights: np.ndarray) -> np.ndarray:
        return np.log(weights)

    def watched(self) -> list[Any]:
        return [self.shared.value]

    def balanced(self, losses: Any, tape: Any) -> tuple[Any, Any, Any]:
        gradients = [tape.gradient(loss, self.shared.value) for loss in losses]
        seen, _ = mean_over_replicas([*gradients, tf.stop_gradient(tf.stack(losses))])
        norms = tf.stack([tf.norm(tf.cast(g, tf.float32)) for g in seen[:2]])
        norms = tf.stop_gradient(tf.where(tf.math.is_finite(norms), norms, 0.0))  # float16 may overflow
        weights = self.total * tf.nn.softmax(tf.convert_to_tensor(self.scalars))
        own = tf.reduce_sum(tf.abs(weights * norms - self._wanted(weights * norms, seen[2])))
        return tf.reduce_sum(tf.stop_gradient(weights) * tf.stack(losses)), own, weights

    def _wanted(self, pulls: Any, losses: Any) -> Any:
        """The norms to aim for: their mean, times the relative inverse training rate to the power of the asymmetry."""
        first = tf.convert_to_tensor(self.first_losses)
        first = tf.where(first > 0, first, losses)
        self.first_losses.assign(first)
        left = losses / first
        return tf.stop_gradient(tf.reduce_mean(pulls) * (left / tf.reduce_mean(left)) ** self.asymmetry)


def _constant(values: np.ndarray) -> Any:
    return lambda shape, dtype=None: tf.constant(values, dtype or "float32")


BALANCES: dict[str, type[MovingWeights]] = {"uncertainty": UncertaintyWeights, "gradient_norm": GradientNormWeights}
