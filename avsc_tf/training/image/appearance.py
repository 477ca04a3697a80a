"""Closed-form start of the image network (ours, not from the paper).

Random ReLU features of the keypoints (an extreme learning machine, Huang et al. 2006) and a ridge regression predict
the principal components of the target's frames. On the demo corpus this alone beats minutes of adversarial training:
the network starts with a moving mouth and its convolutions refine it. Two uses, two settings:

- `image.path_components`: the prediction is a fixed path beside the network, added to the convolutions' output; with
  `image.path_warp` it is made in the mean face's shape (`appearance_warp`);
- `image.closed_form_start`: the dense layers start as the same kind of prediction of the small grey frame, so that
  the one-channel map shows a moving face before the first step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from avsc_tf.core.config import Config
from avsc_tf.corpus.reader import Records, decode_frames
from avsc_tf.datasets.faces import mouth_boxes
from avsc_tf.models.image_generator import ImageGenerator
from avsc_tf.training.conversion.closed_form import RidgeSums
from avsc_tf.training.image.appearance_features import RandomFeatures
from avsc_tf.training.image.appearance_warp import set_warped_path

MAX_BASIS_FRAMES = 1500  # frames the principal components are taken from, evenly spread


@dataclass(frozen=True)
class PrincipalFrames:
    """Mean and principal components of frames, the mouth weighing more."""

    mean: np.ndarray  # [pixels], in [-1, 1]
    basis: np.ndarray  # [components, pixels]: picture = mean + codes @ basis
    weights: np.ndarray  # [pixels], square root of what a pixel's squared error counts

    @classmethod
    def fit(cls, frames: np.ndarray, weights: np.ndarray, components: int) -> PrincipalFrames:
        """frames [n, pixels] in [-1, 1], weights [pixels]; by the eigenvectors of the frames' inner products."""
        mean = frames.mean(axis=0)
        scaled = (frames - mean) * weights
        values, vectors = np.linalg.eigh(scaled @ scaled.T)
        kept = min(components, len(frames) - 1)
        strongest = vectors[:, ::-1][:, :kept] / np.sqrt(np.maximum(values[::-1][:kept], 1e-9))
        basis = np.zeros((components, frames.shape[1]), np.float32)
        basis[:kept] = strongest.T.astype(np.float32) @ scaled
        return cls(mean, basis / weights, weights)

    def codes(self, frames: np.ndarray) -> np.ndarray:
        """[n, pixels] -> [n, components]."""
        return (frames - self.mean) * self.weights @ (self.basis * self.weights).T


def start_in_closed_form(generator: ImageGenerator, config: Config, records: Records) -> None:
    """Fit and set what `image.path_components` and `image.closed_form_start` ask for; nothing where both are off."""
    if config.image.path_warp:
        set_warped_path(generator, config, records)
    elif config.image.path_components:
        _set_path(generator, config, records)
    if config.image.closed_form_start:
        _set_dense_layers(generator, config, records)


def _set_path(generator: ImageGenerator, config: Config, records: Records) -> None:
    image = config.image
    principal = PrincipalFrames.fit(
        _spread_frames(config, records), _pixel_weights(config, records), image.path_components
    )
    features = RandomFeatures.draw(2 * config.face.n_keypoints, image.path_units, seed=config.seed)
    sums = RidgeSums()
    for keypoints, frames in _target_frames(config, records):
        sums.add(features(keypoints), principal.codes(_pixels(frames)))
    kernel, bias = sums.solve(image.closed_form_ridge)
    generator.get_layer("path_hidden").set_weights([features.kernel, features.bias])
    generator.get_layer("path_codes").set_weights([kernel.astype(np.float32), bias.astype(np.float32)])
    generator.get_layer("path_picture").set_weights([principal.basis, principal.mean])


def _set_dense_layers(generator: ImageGenerator, config: Config, records: Records) -> None:
    """First dense layer: random features of the keypoints. Second: ridge to the small grey frame in [0, 1].

    There are just these two; config checks that `image.dense_units` holds one number.
    """
    (units,) = config.image.dense_units
    n_keypoints, map_px = 2 * config.face.n_keypoints, config.image.map_px
    features = RandomFeatures.draw(n_keypoints, units, seed=config.seed)
    sums, projections = RidgeSums(), []
    for keypoints, frames in _target_frames(config, records):
        small = np.stack([cv2.resize(f, (map_px, map_px), interpolation=cv2.INTER_AREA).mean(axis=2) for f in frames])
        sums.add(features(keypoints), small.reshape(len(small), -1).astype(np.float32) / 255)
        projections.append(keypoints @ features.kernel)
    map_kernel, map_bias = sums.solve(config.image.closed_form_ridge)
    projected = np.concatenate(projections)
    grey = np.maximum(projected + features.bias, 0) @ map_kernel + map_bias
    kernel = np.zeros(generator.get_layer("dense_1").kernel.shape, np.float32)
    kernel[-n_keypoints:] = features.kernel
    generator.get_layer("dense_1").set_weights([kernel, features.bias])
    _pass_through(generator.get_layer("dense_1_norm"), projected + features.bias)
    generator.get_layer("dense_2").set_weights([map_kernel.astype(np.float32), map_bias.astype(np.float32)])
    _pass_through(generator.get_layer("dense_2_norm"), grey)


def _pass_through(norm, values: np.ndarray) -> None:
    """Set a batch normalisation to the statistics of `values` [n, units] and to give them back unchanged."""
    mean, variance = values.mean(axis=0), values.var(axis=0)
    norm.set_weights([np.sqrt(variance + norm.epsilon), mean, mean, variance])


def _target_frames(config: Config, records: Records) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each training clip of the target: standardised keypoints [T, values] float32, frames uint8 [T, size, size, 3]."""
    for clip in records.clips("target", "train", only=("keypoints", "frames")):
        keypoints = clip["keypoints"].reshape(len(clip["keypoints"]), -1)
        yield records.statistics.standardise("target", "keypoints", keypoints), decode_frames(clip["frames"])


def _spread_frames(config: Config, records: Records) -> np.ndarray:
    """At most `MAX_BASIS_FRAMES` frames as pixels [n, size * size * 3]."""
    total = sum(len(clip["frames"]) for clip in records.clips("target", "train", only=("frames",)))
    step = -(-total // MAX_BASIS_FRAMES)
    chosen, offset = [], 0
    for _, frames in _target_frames(config, records):
        chosen.append(_pixels(frames[offset::step]))
        offset = (offset - len(frames)) % step
    return np.concatenate(chosen)


def _pixel_weights(config: Config, records: Records) -> np.ndarray:
    """Square roots of 1 + `image.mouth_l1_weight` * share of the frames whose mouth box holds the pixel."""
    size_px = config.image.size_px
    inside, n_frames = np.zeros((size_px, size_px)), 0
    for clip in records.clips("target", "train", only=("keypoints",)):
        for left, top, right, bottom in mouth_boxes(
            clip["keypoints"] * (size_px / config.face.crop_px), size_px=size_px
        ):
            inside[round(top) : round(bottom), round(left) : round(right)] += 1
            n_frames += 1
    weights = np.sqrt(1 + config.image.mouth_l1_weight * inside / n_frames)
    return np.repeat(weights.reshape(-1), 3).astype(np.float32)


def _pixels(frames: np.ndarray) -> np.ndarray:
    """uint8 [n, size, size, 3] -> float32 [n, size * size * 3] in [-1, 1]."""
    return frames.reshape(len(frames), -1).astype(np.float32) / 127.5 - 1
