"""What the WaveNet minimises: the surprise of each sample's class."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from avsc_tf.layers.logistic_mixture import class_log_probability


@keras.saving.register_keras_serializable(package="avsc_tf")
class ClassSurprise(keras.losses.Loss):
    """-log P of the true class in nats a sample, of a softmax or of a mixture of logistics.

    Args:
        n_classes: mu-law levels.
        n_mixtures: of `layers.logistic_mixture.LogisticMixture`; 0: the predictions are logits.
    """

    def __init__(self, *, n_classes: int, n_mixtures: int, name: str = "surprise", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.n_classes = n_classes
        self.n_mixtures = n_mixtures

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """classes [batch, time], predictions [batch, time, ...] -> [batch, time]."""
        if self.n_mixtures:
            return -class_log_probability(y_pred, y_true, self.n_classes)
        return keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)

    def bits(self, y_true: Any, y_pred: Any) -> Any:
        """The same in bits a sample."""
        return ops.divide(self.call(y_true, y_pred), math.log(2))

    def figures(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        """Mean over the batch in nats a sample ("loss") and in bits."""
        nats = ops.mean(self.call(y_true, ops.cast(y_pred, "float32")))
        return {"loss": nats, "bits": nats / math.log(2)}

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"n_classes": self.n_classes, "n_mixtures": self.n_mixtures}
