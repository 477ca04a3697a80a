"""L1 losses of the conversion network and the image network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from avsc_tf.core.config import Config


@keras.saving.register_keras_serializable(package="avsc_tf")
class GroupedL1(keras.losses.Loss):
    """Mean over groups of trailing dimensions of each group's mean absolute error.

    Args:
        group_sizes: dimensions of each group, in order; their sum is the size of the last axis. One group is plain L1.
    """

    def __init__(self, group_sizes: Sequence[int], name: str = "grouped_l1", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.group_sizes = tuple(group_sizes)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """[..., dims] twice -> [...] one loss a frame."""
        error = ops.abs(ops.cast(y_true, y_pred.dtype) - y_pred)
        ends = [sum(self.group_sizes[: i + 1]) for i in range(len(self.group_sizes))]
        means = [
            ops.mean(error[..., end - size : end], axis=-1) for end, size in zip(ends, self.group_sizes, strict=True)
        ]
        return sum(means) / len(means)

    def get_config(self) -> dict[str, Any]:
        return {"group_sizes": list(self.group_sizes), "name": self.name, "reduction": self.reduction}


class ConversionLoss:
    """The conversion network's loss and its parts (paper section 3.1: L1, the acoustic part times 10).

    `conversion.facial_loss` "mean" averages over all facial dimensions, of which 3 % are keypoints; "balanced" gives
    the VGG feature and the keypoints half each (not from the paper).
    """

    def __init__(self, config: Config) -> None:
        face = config.face
        groups = (face.n_facial,) if config.conversion.facial_loss == "mean" else (face.n_vgg, 2 * face.n_keypoints)
        self.parts = {"mel": GroupedL1((config.acoustic.n_mels,)), "facial": GroupedL1(groups)}
        self.weights = {"mel": config.conversion.acoustic_loss_weight, "facial": 1.0}

    def __call__(self, wanted: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        """{"mel" [B, 8 T, n_mels], "facial" [B, T, n_facial]} twice -> "loss" and its parts, scalars.

        What is not given (by a network of one modality) is no part of the loss.
        """
        # `call`, because the losses of Keras divide themselves by the number of devices.
        parts = {name: ops.mean(self.parts[name].call(wanted[name], value)) for name, value in given.items()}
        total = sum(self.weights[name] * value for name, value in parts.items())
        return {"loss": total, **{f"{name}_loss": value for name, value in parts.items()}}


def weighted_l1(images: Any, generated: Any, weights: Any) -> Any:
    """Mean absolute error over pixels, each times its weight (broadcast); a scalar.

    Divided by the number of pixels, not by the weights' sum: a weight adds to the plain L1 and takes nothing away.
    """
    return ops.mean(weights * ops.abs(images - generated))
