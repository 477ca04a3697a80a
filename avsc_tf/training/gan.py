"""Training of a generator against a discriminator: LSGAN + weighted L1 (paper section 3.3)."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from avsc_tf.losses.adversarial import discriminator_loss, generator_loss
from avsc_tf.losses.regression import weighted_l1


@keras.saving.register_keras_serializable(package="avsc_tf")
class ImageGan(keras.Model):
    """Generator and discriminator with their own optimizers; the step of `train_step` is numbered there.

    Batches are (features, images, mouth) with `mouth` [batch, size, size, 1], 1 inside the mouth's box.

    Args:
        adversarial_weight: of the LSGAN term in the generator's loss; 0 leaves the discriminator untrained.
        l1_weight: of the L1 term (10 in the paper).
        mouth_l1_weight: what a pixel in the mouth's box counts in the L1, beyond the 1 of every pixel (ours).
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        adversarial_weight: float = 1.0,
        l1_weight: float = 10.0,
        mouth_l1_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.adversarial_weight = adversarial_weight
        self.l1_weight = l1_weight
        self.mouth_l1_weight = mouth_l1_weight
        names = ("generator/loss", "generator/adversarial", "generator/l1", "discriminator/loss")
        self._means = {name: keras.metrics.Mean(name=name) for name in names}
        self.built = True

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
        **kwargs: Any,
    ) -> None:
        """Keep both optimizers and build them now, so that a restore finds their slots."""
        super().compile(optimizer=None, **kwargs)
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        self._build_optimizers()

    def _build_optimizers(self) -> None:
        for optimizer, network in zip(self.optimizers, (self.generator, self.discriminator), strict=True):
            if not optimizer.built:
                optimizer.build(network.trainable_variables)

    @property
    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        return [self.generator_optimizer, self.discriminator_optimizer]

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self._means.values())

    def build(self, input_shape: Any = None) -> None:
        self.built = True

    def call(self, features: Any, training: bool = False) -> Any:
        return self.generator(features, training=training)

    def train_step(self, data: Any) -> dict[str, Any]:
        features, images, mouth = data
        with tf.GradientTape(persistent=True) as tape:
            # 1. Generate. 2. Score both. 3. Both losses, from the same pass.
            generated = self.generator(features, training=True)
            real_scores = self.discriminator(images, training=True)
            fake_scores = self.discriminator(generated, training=True)
            losses = self._loss_terms(images, generated, mouth, real_scores, fake_scores)
        # 4. Each network goes down its own loss.
        self._apply(tape, losses["generator/loss"], self.generator_optimizer, self.generator)
        if self.adversarial_weight:
            self._apply(tape, losses["discriminator/loss"], self.discriminator_optimizer, self.discriminator)
        return self._update(losses)

    def test_step(self, data: Any) -> dict[str, Any]:
        features, images, mouth = data
        generated = self.generator(features, training=False)
        real_scores = self.discriminator(images, training=False)
        fake_scores = self.discriminator(generated, training=False)
        return self._update(self._loss_terms(images, generated, mouth, real_scores, fake_scores))

    def _loss_terms(
        self, images: Any, generated: Any, mouth: Any, real_scores: Any, fake_scores: Any
    ) -> dict[str, Any]:
        adversarial = generator_loss(fake_scores)
        l1 = weighted_l1(images, generated, 1.0 + self.mouth_l1_weight * mouth)
        return {
            "generator/loss": self.adversarial_weight * adversarial + self.l1_weight * l1,
            "generator/adversarial": adversarial,
            "generator/l1": l1,
            "discriminator/loss": discriminator_loss(real_scores, fake_scores),
        }

    def _apply(self, tape: Any, loss: Any, optimizer: keras.optimizers.Optimizer, network: keras.Model) -> None:
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    def _update(self, losses: dict[str, Any]) -> dict[str, Any]:
        for name, value in losses.items():
            self._means[name].update_state(value)
        return {name: mean.result() for name, mean in self._means.items()}

    def get_config(self) -> dict[str, Any]:
        return {
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "adversarial_weight": self.adversarial_weight,
            "l1_weight": self.l1_weight,
            "mouth_l1_weight": self.mouth_l1_weight,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ImageGan:
        parts = {
            name: keras.saving.deserialize_keras_object(config[name], custom_objects=custom_objects)
            for name in ("generator", "discriminator")
        }
        return cls(**{**config, **parts})

    def get_compile_config(self) -> dict[str, Any]:
        names = ("generator_optimizer", "discriminator_optimizer")
        return {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Both optimizers, built, so that loading fills their slots instead of warning and starting at step 0."""
        self.compile(**{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()})
