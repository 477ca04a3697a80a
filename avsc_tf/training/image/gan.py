"""Training of a generator against a discriminator: LSGAN + weighted L1 (paper section 3.3)."""

from __future__ import annotations

from typing import Any

import keras

from avsc_tf.losses.adversarial import discriminator_loss, feature_matching_loss, generator_loss
from avsc_tf.losses.regression import weighted_l1
from avsc_tf.training.engine.model import Descent, Figures, TrainingModel


@keras.saving.register_keras_serializable(package="avsc_tf")
class ImageGan(TrainingModel):
    """Generator and discriminator with their own optimizers.

    Batches are (features, images, mouth) with `mouth` [batch, size, size, 1], 1 inside the mouth's box.

    Args:
        adversarial_weight: of the LSGAN term in the generator's loss; 0 leaves the discriminator untrained.
        l1_weight: of the L1 term (10 in the paper).
        mouth_l1_weight: what a pixel in the mouth's box counts in the L1, beyond the 1 of every pixel (ours).
        feature_matching_weight: of the feature matching term; needs a discriminator that shows its features (ours).
    """

    monitored = "generator/l1"  # what the adversary says of held-out pictures means little

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        *,
        adversarial_weight: float = 1.0,
        l1_weight: float = 10.0,
        mouth_l1_weight: float = 0.0,
        feature_matching_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.adversarial_weight = adversarial_weight
        self.l1_weight = l1_weight
        self.mouth_l1_weight = mouth_l1_weight
        self.feature_matching_weight = feature_matching_weight

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
        self.build_optimizers()

    @property
    def network(self) -> keras.Model:
        return self.generator

    def descents(self) -> list[Descent]:
        """Generator, discriminator: both losses are from the same pass, and each network goes down its own."""
        return [
            Descent("generator/loss", self.generator_optimizer, self.generator, "generator/"),
            Descent(
                "discriminator/loss",
                self.discriminator_optimizer,
                self.discriminator,
                "discriminator/",
                active=bool(self.adversarial_weight),
            ),
        ]

    def call(self, features: Any, training: bool = False) -> Any:
        return self.generator(features, training=training)

    def losses_of(self, data: Any, *, training: bool) -> Figures:
        """Generate, score both, and take both losses."""
        features, images, mouth = data
        generated = self.generator(features, training=training)
        real = self.discriminator(images, training=training)
        fake = self.discriminator(generated, training=training)
        return self.loss_terms(images, generated, mouth, real, fake)

    def loss_terms(self, images: Any, generated: Any, mouth: Any, real: Any, fake: Any) -> Figures:
        """Losses of a batch, and of what the discriminator says of it: scores, or scores and features."""
        real_scores, real_features = _judgement(real)
        fake_scores, fake_features = _judgement(fake)
        adversarial = generator_loss(fake_scores)
        l1 = weighted_l1(images, generated, 1.0 + self.mouth_l1_weight * mouth)
        figures = {
            "generator/loss": self.adversarial_weight * adversarial + self.l1_weight * l1,
            "generator/adversarial": adversarial,
            "generator/l1": l1,
            "discriminator/loss": discriminator_loss(real_scores, fake_scores),
        }
        if self.feature_matching_weight:
            matching = feature_matching_loss(real_features, fake_features)
            figures["generator/feature_matching"] = matching
            figures["generator/loss"] += self.feature_matching_weight * matching
        return figures

    def get_config(self) -> dict[str, Any]:
        return {
            "generator": keras.saving.serialize_keras_object(self.generator),
            "discriminator": keras.saving.serialize_keras_object(self.discriminator),
            "adversarial_weight": self.adversarial_weight,
            "l1_weight": self.l1_weight,
            "mouth_l1_weight": self.mouth_l1_weight,
            "feature_matching_weight": self.feature_matching_weight,
            "clip_norm": self.clip_norm,
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


def _judgement(output: Any) -> tuple[Any, list[Any]]:
    """Scores and features of a discriminator's output; the paper's gives scores alone."""
    return (output["scores"], output["features"]) if isinstance(output, dict) else (output, [])
