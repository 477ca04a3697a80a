"""Units of the recordings to what the networks see, and back, as `features.statistics` does it, in the graph."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from avsc_tf.conversion.features import UNFAMILIAR_DEVIATIONS
from avsc_tf.features.statistics import FEATURES, STD_FLOOR_SHARE, Statistics

Tensor = Any
Moments = tuple[Tensor, Tensor]


class Standardising(tf.Module):
    """Statistics of both speakers as variables, so that signatures share them."""

    def __init__(self, statistics: Statistics):
        super().__init__(name="standardising")
        self.moments = {
            f"{speaker}_{feature}": tuple(
                tf.Variable(values, trainable=False, name=f"{speaker}_{feature}_{kind}", dtype=tf.float32)
                for kind, values in zip(("mean", "std"), statistics.get(speaker, feature), strict=True)
            )
            for speaker in ("source", "target")
            for feature in FEATURES
        }

    def of(self, speaker: str, feature: str) -> Moments:
        mean, std = self.moments[f"{speaker}_{feature}"]
        return tf.convert_to_tensor(mean), tf.convert_to_tensor(std)

    def target_mel(self, mel: Tensor) -> Tensor:
        """[..., n_mels], natural log -> standardised."""
        mean, std = self.of("target", "mel")
        return (mel - mean) / std

    def target_facial(self, keypoints: Tensor, vgg: Tensor) -> Tensor:
        """[T, n_keypoints, 2] and [T, n_vgg] -> standardised [T, n_facial]."""
        parts = []
        for name, values in (("vgg", vgg), ("keypoints", flat(keypoints))):
            mean, std = self.of("target", name)
            parts.append((values - mean) / std)
        return tf.concat(parts, axis=-1)

    def source(self, utterance: dict[str, Tensor], n_frames: Tensor, per: int) -> tuple[dict[str, Tensor], Tensor]:
        """Streams of one source utterance -> standardised mel [per * T, n_mels] and facial [T, n_facial], zeros where a
        stream has no frames; and whether the face is somebody else's, see `Bundle.is_unfamiliar`.
        """
        values = {name: flat(stream) if name == "keypoints" else stream for name, stream in utterance.items()}
        unfamiliar = tf.constant(False)
        if "keypoints" in values:
            mean, std = self.of("source", "keypoints")
            away = (tf.cast(tf.reduce_mean(tf.cast(values["keypoints"], tf.float64), axis=0), tf.float32) - mean) / std
            unfamiliar = tf.sqrt(tf.reduce_mean(away**2)) > UNFAMILIAR_DEVIATIONS  # False without frames: not a number
        ready = {}
        for name, stream in values.items():
            own, usual = _own_moments(stream), self.of("source", name)
            mean, std = (tf.where(unfamiliar, a, b) for a, b in zip(own, usual, strict=True))
            missing = (per if name == "mel" else 1) * n_frames - tf.shape(stream)[0]
            ready[name] = tf.pad((stream - mean) / std, [[0, missing], [0, 0]])
        inputs = {"mel": ready["mel"]} if "mel" in ready else {}
        if "vgg" in ready:
            inputs["facial"] = tf.concat([ready["vgg"], ready["keypoints"]], axis=-1)
        return inputs, unfamiliar

    def restored(self, standardised: dict[str, Tensor], n_keypoints: int) -> dict[str, Tensor]:
        """Standardised mel and facial of the target -> mel, keypoints [T, n_keypoints, 2] and vgg in their units."""
        found = {}
        if "mel" in standardised:
            mean, std = self.of("target", "mel")
            found["mel"] = standardised["mel"] * std + mean
        if "facial" in standardised:
            (vgg_mean, vgg_std), (mean, std) = self.of("target", "vgg"), self.of("target", "keypoints")
            vgg, keypoints = split(standardised["facial"], n_keypoints)
            found["vgg"] = vgg * vgg_std + vgg_mean
            found["keypoints"] = tf.reshape(keypoints * std + mean, (-1, n_keypoints, 2))
        return found


def flat(keypoints: Tensor) -> Tensor:
    """[T, n, 2] -> [T, 2 n]"""
    return tf.reshape(keypoints, (-1, 2 * keypoints.shape[-2]))


def split(facial: Tensor, n_keypoints: int) -> tuple[Tensor, Tensor]:
    """[..., n_facial] -> VGG part and keypoints [..., 2 n_keypoints]."""
    return facial[..., : -2 * n_keypoints], facial[..., -2 * n_keypoints :]


def _own_moments(stream: Tensor) -> Moments:
    """Mean and floored deviation of [frames, dimensions], as `features.statistics.RunningMoments`."""
    values = tf.cast(stream, tf.float64)
    mean = tf.reduce_mean(values, axis=0)
    std = tf.sqrt(tf.reduce_mean((values - mean) ** 2, axis=0))
    floor = STD_FLOOR_SHARE * tf.reduce_mean(std)
    std = tf.where(floor > 0, tf.maximum(std, floor), tf.ones_like(std))
    return tf.cast(mean, tf.float32), tf.cast(std, tf.float32)
