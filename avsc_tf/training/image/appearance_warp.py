"""Fit of the warped closed-form path (`image.path_warp`; ours): an active appearance model of the target.

Each training frame is brought to the speaker's mean shape by its own keypoints, which takes out the head's movement and
lays every feature of the face on one place. What is left of the variation (teeth, tongue, shades, eyelids) is small and
depends on the keypoints: random ReLU features and a ridge regression predict its principal components.

With `image.path_reference: one_take` components and regression are taken of the differences within a clip, and added to
the mean texture of one clip, the one nearest to all: what differs from clip to clip and not within one (hair, collar,
light) is then his of one day, sharp and steady, and outside of the face nothing else is painted. The mean of all takes
blurs it, and a regression on keypoints would change it from frame to frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from avsc_tf.core.config import Config
from avsc_tf.corpus.reader import Records, decode_frames
from avsc_tf.datasets.faces import mouth_boxes
from avsc_tf.layers.warp import FIELD_STEPS, displacement_field, pixel_centres
from avsc_tf.models.image_generator import WARP_SMOOTHING, ImageGenerator
from avsc_tf.training.conversion.closed_form import RidgeSums
from avsc_tf.training.image.appearance_features import RandomFeatures

MAX_FRAMES = 3000  # behind the regression, evenly spread; three times as many change held-out SSIM by less than 0.001
MAX_TEXTURE_MB = 600  # of textures held as bytes: fewer frames where they are large
MAX_BASIS_FRAMES = 1500  # behind the principal components
BLOCK_VALUES = 16384  # values of the textures that are worked on at a time
LEAST_WEIGHT = 0.01  # of a pixel outside of the face, where it is not painted
FACE_GROWTH = 16  # the face's mask is the keypoints' hull grown by 1/16 of the picture, and fades over 1/32


@dataclass(frozen=True)
class Textures:
    """Frames of several clips in the mean shape, clip after clip."""

    pixels: np.ndarray  # uint8 [frames, values]
    keypoints: np.ndarray  # float32 [frames, 2 * n], standardised
    starts: np.ndarray  # [clips]: where each clip begins
    utterances: tuple[str, ...]  # names of the clips

    def centred(self, values: np.ndarray, *, within_clips: bool) -> np.ndarray:
        """float32 [frames, k] minus its mean over all frames, or over those of the same clip."""
        if not within_clips:
            return values - values.mean(axis=0, keepdims=True)
        ends = np.append(self.starts[1:], len(values))
        lengths = ends - self.starts
        means = np.add.reduceat(values, self.starts, axis=0) / lengths[:, None].astype(np.float32)
        return values - np.repeat(means, lengths, axis=0)


class MeanShape:
    """Brings frames to the speaker's mean shape, at `texture_px`."""

    def __init__(self, config: Config, records: Records) -> None:
        self.size_px, self.texture_px = config.image.size_px, config.image.texture_px
        self.mean, self.deviation = records.statistics.get("target", "keypoints")
        self.shape = self.mean.reshape(1, -1, 2) / config.face.crop_px  # in sides of the picture
        self._crop_px = config.face.crop_px

    def standardised(self, keypoints: np.ndarray) -> np.ndarray:
        """[T, n, 2], pixels of the crop -> float32 [T, 2 n]."""
        return ((keypoints.reshape(len(keypoints), -1) - self.mean) / self.deviation).astype(np.float32)

    def positions(self, keypoints: np.ndarray) -> np.ndarray:
        """Keypoints [T, n, 2], pixels of the crop -> float32 [T, texture, texture, 2]: places in the frames, pixels."""
        steps = min(FIELD_STEPS, self.texture_px)
        mean = np.broadcast_to(self.shape, keypoints.shape).astype(np.float32)
        moved = keypoints.astype(np.float32) / self._crop_px
        fields = np.asarray(displacement_field(mean, moved, smoothing=WARP_SMOOTHING, steps=steps))
        side = (self.texture_px, self.texture_px)
        full = np.stack([cv2.resize(field, side, interpolation=cv2.INTER_LINEAR) for field in fields])
        return (full + pixel_centres(self.texture_px)) * self.size_px

    def textures(self, frames: np.ndarray, keypoints: np.ndarray) -> np.ndarray:
        """uint8 [T, size, size, 3] -> uint8 [T, texture * texture * 3]; Lanczos, which keeps edges sharp."""
        places = self.positions(keypoints) - 0.5  # OpenCV counts pixel centres at whole numbers
        made = [
            cv2.remap(frame, place[..., 0], place[..., 1], cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REPLICATE)
            for frame, place in zip(frames, places, strict=True)
        ]
        return np.stack(made).reshape(len(frames), -1)


def set_warped_path(generator: ImageGenerator, config: Config, records: Records) -> None:
    """Fit and set the layers `path_*` and the mask of a generator with `image.path_warp`."""
    image = config.image
    one_take = image.path_reference == "one_take"
    shape = MeanShape(config, records)
    textures = gather_textures(shape, records)
    features = RandomFeatures.draw(2 * config.face.n_keypoints, image.path_units, seed=config.seed)
    hidden = features(textures.keypoints)
    base, hidden_mean = _reference(shape, records, textures, features) if one_take else _mean_of(textures, hidden)
    weights, mask = pixel_weights(config, shape), face_mask(shape)
    if one_take:  # hair and clothes stay as they are: changed with the keypoints they would get a fringe
        inside = np.repeat(mask.reshape(-1), 3)
        weights = weights * np.maximum(inside, LEAST_WEIGHT)
    basis, codes = principal_codes(textures, weights, image.path_components, within_clips=one_take)
    if one_take:
        basis = basis * inside
    sums = RidgeSums()
    sums.add(textures.centred(hidden, within_clips=one_take), codes)
    kernel, bias = sums.solve(image.closed_form_ridge)
    generator.get_layer("path_hidden").set_weights([features.kernel, features.bias])
    generator.get_layer("path_codes").set_weights([kernel, bias - hidden_mean @ kernel])
    generator.get_layer("path_picture").set_weights([basis / 127.5, base / 127.5 - 1])
    generator.get_layer("path_warp").set_weights([shape.mean, shape.deviation])
    generator.get_layer("image_inside").set_weights([mask])


def gather_textures(shape: MeanShape, records: Records) -> Textures:
    """Training frames of the target in the mean shape, evenly spread, as many as `MAX_FRAMES` and memory allow."""
    total = sum(records.manifest.video_frames_of("target-train"))
    allowed = min(MAX_FRAMES, MAX_TEXTURE_MB * 2**20 // (shape.texture_px**2 * 3))
    step, offset = -(-total // allowed), 0
    pixels, keypoints, starts, names, n = [], [], [], [], 0
    clips = _clips(records)
    for clip in tqdm(clips, desc="mean shape", unit="clip", total=records.n_clips("target", "train"), leave=False):
        chosen = slice(offset, None, step)
        offset = (offset - len(clip["keypoints"])) % step
        points = clip["keypoints"][chosen]
        if not len(points):
            continue
        pixels.append(shape.textures(decode_frames(clip["frames"][chosen]), points))
        keypoints.append(shape.standardised(points))
        starts.append(n)
        names.append(clip["utterance"])
        n += len(points)
    return Textures(np.concatenate(pixels), np.concatenate(keypoints), np.array(starts), tuple(names))


def _clips(records: Records) -> Iterator[dict[str, Any]]:
    return records.clips("target", "train", only=("utterance", "keypoints", "frames"))


def _mean_of(textures: Textures, hidden: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return textures.pixels.mean(axis=0, dtype=np.float32), hidden.mean(axis=0)


def _reference(
    shape: MeanShape, records: Records, textures: Textures, features: RandomFeatures
) -> tuple[np.ndarray, np.ndarray]:
    """Mean texture and mean features of the clip whose texture is nearest to the mean of all."""
    name = textures.utterances[nearest_clip(textures)]
    clip = next(clip for clip in _clips(records) if clip["utterance"] == name)
    pixels = shape.textures(decode_frames(clip["frames"]), clip["keypoints"])
    return pixels.mean(axis=0, dtype=np.float32), features(shape.standardised(clip["keypoints"])).mean(axis=0)


def nearest_clip(textures: Textures) -> int:
    """The clip whose mean texture has the least mean absolute difference from the mean of all clips' means."""
    ends = np.append(textures.starts[1:], len(textures.pixels))
    means = np.stack(
        [textures.pixels[a:b].mean(axis=0, dtype=np.float32) for a, b in zip(textures.starts, ends, strict=True)]
    )
    return int(np.abs(means - means.mean(axis=0)).mean(axis=1).argmin())


def principal_codes(
    textures: Textures, weights: np.ndarray, components: int, *, within_clips: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of the centred textures and every frame's codes.

    Args:
        weights: [values], square root of what a value's squared error counts.

    Returns:
        basis [components, values] and codes [frames, components]: texture = mean + codes @ basis, grey levels.
    """
    n, n_values = textures.pixels.shape
    chosen = slice(None, None, -(-n // MAX_BASIS_FRAMES))

    def blocks() -> Iterator[tuple[slice, np.ndarray]]:
        for start in range(0, n_values, BLOCK_VALUES):
            block = slice(start, start + BLOCK_VALUES)
            values = textures.pixels[:, block].astype(np.float32)
            yield block, textures.centred(values, within_clips=within_clips) * weights[block]

    gram = sum(part[chosen] @ part[chosen].T for _, part in blocks())
    values, vectors = np.linalg.eigh(np.asarray(gram, np.float64))
    kept = min(components, len(values) - 1)
    strongest = (vectors[:, ::-1][:, :kept] / np.sqrt(np.maximum(values[::-1][:kept], 1e-9))).T.astype(np.float32)
    basis = np.zeros((components, n_values), np.float32)
    codes = np.zeros((n, components), np.float32)
    for block, part in blocks():
        basis[:kept, block] = strongest @ part[chosen]
        codes[:, :kept] += part @ basis[:kept, block].T
    return basis / weights, codes


def pixel_weights(config: Config, shape: MeanShape) -> np.ndarray:
    """Square roots of 1, and of 1 + `image.mouth_l1_weight` in the mean shape's mouth: float32 [values]."""
    mouth = mouth_boxes(shape.shape * shape.texture_px, size_px=shape.texture_px)[0]
    left, top, right, bottom = (round(float(v)) for v in mouth)
    weights = np.ones((shape.texture_px, shape.texture_px, 3), np.float32)
    weights[top:bottom, left:right] = np.sqrt(1 + config.image.mouth_l1_weight)
    return weights.reshape(-1)


def face_mask(shape: MeanShape) -> np.ndarray:
    """float32 [texture, texture, 1]: 1 in the hull of the mean shape's keypoints, and a little beyond, fading to 0."""
    side = shape.texture_px
    mask = np.zeros((side, side), np.uint8)
    hull = cv2.convexHull(np.rint(shape.shape[0] * side).astype(np.int32))
    cv2.fillConvexPoly(mask, hull, (1,))
    grown = cv2.dilate(mask, np.ones((side // FACE_GROWTH, side // FACE_GROWTH), np.uint8))
    return cv2.GaussianBlur(grown.astype(np.float32), (0, 0), side / (2 * FACE_GROWTH))[..., None]
