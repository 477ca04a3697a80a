"""What the trainings of all three networks share: a Keras model that holds a network, its losses and its optimizers.

`training.engine.loop` drives it. A subclass defines its losses (`losses`) and which network minimises which of them
(`descents`); the step itself, the same for one device and for many, is written once, here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

Figures = dict[str, Any]  # scalar tensors by name


@dataclass(frozen=True)
class Descent:
    """One optimizer's part of a step.

    Args:
        loss: name of the figure it minimises.
        label: prefix of its gradient's norm among the figures ("" or "generator/").
        active: whether the step is taken; one that is not still has its optimizer kept.
    """

    loss: str
    optimizer: keras.optimizers.Optimizer
    network: keras.Model
    label: str = ""
    active: bool = True


class TrainingModel(keras.Model):
    """A network with losses and optimizers; `train_step` and `test_step` return the figures of that one batch.

    Under a `tf.distribute` strategy the losses are means over a replica's share of the batch, all shares being equal;
    gradients are averaged over the replicas before they are measured and clipped, so that a step is the one that a
    single device would take on the whole batch.

    Args:
        clip_norm: largest norm of all gradients of one optimizer together; longer ones are scaled down; 0: never.
    """

    monitored = "loss"  # the held-out figure that tells which epoch was best

    def __init__(self, *, clip_norm: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.clip_norm = clip_norm
        self.built = True

    @property
    def network(self) -> keras.Model:
        """What is trained, and delivered."""
        raise TypeError(f"{type(self).__name__} must say which network it trains")

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [descent.optimizer for descent in self.descents()]

    def descents(self) -> list[Descent]:
        """Who goes down which loss, in order."""
        raise TypeError(f"{type(self).__name__} must say what it minimises")

    def losses_of(self, data: Any, *, training: bool) -> Figures:
        """All figures of a batch, those of `descents` among them, as float32 scalars.

        Means over the part of the batch that this device has, not divided by the number of devices, as a called
        `keras.losses.Loss` would be.
        """
        raise TypeError(f"{type(self).__name__} must have losses")

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def build_optimizers(self) -> None:
        """Create all slots now, so that a restore finds them."""
        for descent in self.descents():
            if not descent.optimizer.built:
                descent.optimizer.build(self.variables_of(descent))

    def variables_of(self, descent: Descent) -> list[Any]:
        """What a descent moves: its network's trainable variables."""
        return descent.network.trainable_variables

    def train_step(self, data: Any) -> Figures:
        """One step of every active descent; the figures of the batch before it, and the norms of the gradients."""
        descents = [d for d in self.descents() if d.active]
        with tf.GradientTape(persistent=len(descents) > 1) as tape:
            figures = self.losses_of(data, training=True)
            scaled = [d.optimizer.scale_loss(figures[d.loss]) for d in descents]
        gradients = [tape.gradient(s, self.variables_of(d)) for s, d in zip(scaled, descents, strict=True)]
        for descent, found in zip(descents, gradients, strict=True):
            figures[f"{descent.label}gradient_norm"] = self._descend(descent, found)
        return figures

    def test_step(self, data: Any) -> Figures:
        return self.losses_of(data, training=False)

    def _descend(self, descent: Descent, gradients: list[Any]) -> Any:
        """Average over replicas, measure, clip, apply; returns the norm before clipping."""
        variables = self.variables_of(descent)
        known = [(g, v) for g, v in zip(gradients, variables, strict=True) if g is not None]
        averaged, n_replicas = mean_over_replicas([tf.convert_to_tensor(g) for g, _ in known])
        norm = tf.linalg.global_norm(averaged) / _loss_scale(descent.optimizer)
        if self.clip_norm:
            factor = self.clip_norm / tf.maximum(norm, self.clip_norm)
            averaged = [g * tf.cast(factor, g.dtype) for g in averaged]
        # Keras sums over the replicas once more.
        descent.optimizer.apply([g / n_replicas for g in averaged], [v for _, v in known])
        return norm


class Supervised(TrainingModel):
    """One network, one optimizer, and losses that a function takes from what it gives and what it should give.

    Batches are (inputs, wanted).

    Args:
        losses: (wanted, given) -> figures, "loss" among them.
    """

    def __init__(self, network: keras.Model, losses: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.trained = network
        self.loss_functions = losses

    def compile(self, optimizer: keras.optimizers.Optimizer, **kwargs: Any) -> None:
        """Keep the optimizer and build it now, so that a restore finds its slots."""
        super().compile(optimizer=optimizer, **kwargs)
        self.build_optimizers()

    @property
    def network(self) -> keras.Model:
        return self.trained

    def descents(self) -> list[Descent]:
        return [Descent("loss", self.optimizer, self.trained)]

    def call(self, inputs: Any, training: bool = False) -> Any:
        return self.trained(inputs, training=training)

    def losses_of(self, data: Any, *, training: bool) -> Figures:
        inputs, wanted = data
        return dict(self.loss_functions(wanted, self.trained(inputs, training=training)))


def mean_over_replicas(gradients: list[Any]) -> tuple[list[Any], int]:
    """Means over the replicas of a strategy, and their number; as they are outside of one."""
    context = tf.distribute.get_replica_context()
    n_replicas = context.num_replicas_in_sync if context else 1
    if n_replicas == 1:
        return gradients, 1
    return context.all_reduce(tf.distribute.ReduceOp.MEAN, gradients), n_replicas


def _loss_scale(optimizer: keras.optimizers.Optimizer) -> Any:
    """What a float16 training multiplies its loss with; 1 elsewhere."""
    scale = getattr(optimizer, "dynamic_scale", None)
    return 1.0 if scale is None else tf.convert_to_tensor(scale)
