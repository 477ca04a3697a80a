"""Single frames of the target for the image network: features in, picture out (paper section 3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from avsc_tf.config import Config
from avsc_tf.errors import RecordError
from avsc_tf.features.face import LIPS
from avsc_tf.features.statistics import join_facial
from avsc_tf.records.reader import Records, clip_shard_name
from avsc_tf.timebase import Timebase

# The lips' box grows by this share of its width on every side, so that chin and cheeks, which move with it, are inside.
MOUTH_MARGIN = 0.25


@dataclass(frozen=True, eq=False)
class FaceFrames:
    """All frames of the target in a split, as tensors; the pictures stay PNG."""

    mel: Any  # float32 [N, mel_per_video, n_mels], standardised
    facial: Any  # float16 [N, n_facial], standardised
    png: Any  # string [N]
    mouth_box: Any  # float32 [N, 4]: left, top, right, bottom, pixels of the picture

    def __len__(self) -> int:
        return int(self.png.shape[0])


def frames(records: Records, split: str, config: Config, *, epoch: int, seed: int) -> Any:
    """One epoch over all frames of the target, in an order of (seed, epoch), in whole batches of `image.batch_size`.

    Returns:
        tf.data of (inputs, image, mouth): inputs {"mel": [B, mel_per_video, n_mels], "facial": [B, n_facial]} float32,
        standardised by the target's statistics; image [B, size, size, 3] float32 in [-1, 1]; mouth [B, size, size, 1]
        float32, 1 inside the box of the lips, else 0.

    Raises:
        RecordError: the split holds fewer frames than a batch.
    """
    import tensorflow as tf

    data = load_frames(records, split)
    n_batches = batches_per_epoch(records, split, config)
    order = np.random.default_rng([seed, epoch]).permutation(len(data))[: n_batches * config.image.batch_size]
    size_px = config.image.size_px

    def example(i: Any) -> tuple[dict[str, Any], Any, Any]:
        image = tf.ensure_shape(tf.io.decode_png(data.png[i], channels=3), [size_px, size_px, 3])
        inputs = {"mel": data.mel[i], "facial": tf.cast(data.facial[i], tf.float32)}
        return inputs, tf.cast(image, tf.float32) / 127.5 - 1.0, box_mask(data.mouth_box[i], size_px)

    return (
        tf.data.Dataset.from_tensor_slices(order)
        .map(example, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(config.image.batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )


def batches_per_epoch(records: Records, split: str, config: Config) -> int:
    """Batches that `frames` gives. Raises RecordError where there is not one."""
    n_frames = sum(records.manifest.shard(clip_shard_name("target", split)).video_frames)
    if n_frames < config.image.batch_size:
        raise RecordError(
            f"{records.folder}: {n_frames} target frames in split {split!r}, image.batch_size is "
            f"{config.image.batch_size}. Prepare more clips or lower image.batch_size."
        )
    return n_frames // config.image.batch_size


@lru_cache(maxsize=2)
def load_frames(records: Records, split: str) -> FaceFrames:
    """Decode the target's features into memory, once; pictures stay compressed (the paper's corpus: about 3 GB)."""
    import tensorflow as tf

    config, per = records.config, Timebase.from_config(records.config.time).mel_per_video
    mel, facial, png, boxes = [], [], [], []
    for clip in records.clips("target", split, only=("mel", "keypoints", "vgg", "frames")):
        standard_mel = records.statistics.standardise("target", "mel", clip["mel"])
        mel.append(standard_mel.reshape(-1, per, standard_mel.shape[1]))
        joined = join_facial(clip["vgg"], clip["keypoints"])
        facial.append(records.statistics.standardise("target", "facial", joined).astype(np.float16))
        png.extend(clip["frames"])
        scale = config.image.size_px / config.face.crop_px
        boxes.append(mouth_boxes(clip["keypoints"] * scale, size_px=config.image.size_px))
    with tf.device("CPU"):
        return FaceFrames(
            mel=tf.constant(np.concatenate(mel)),
            facial=tf.constant(np.concatenate(facial)),
            png=tf.constant(png),
            mouth_box=tf.constant(np.concatenate(boxes)),
        )


def mouth_boxes(keypoints: np.ndarray, *, size_px: int) -> np.ndarray:
    """Box of the lips with `MOUTH_MARGIN`, inside the picture.

    Args:
        keypoints: [T, n_keypoints, 2] in pixels of the picture.

    Returns:
        float32 [T, 4]: left, top, right, bottom.
    """
    lips = keypoints[:, LIPS]
    low, high = lips.min(axis=1), lips.max(axis=1)
    margin = MOUTH_MARGIN * (high[:, :1] - low[:, :1])
    return np.concatenate([low - margin, high + margin], axis=1).clip(0, size_px).astype(np.float32)


def box_mask(box: Any, size_px: int) -> Any:
    """Tensor [4] (left, top, right, bottom) to [size_px, size_px, 1]: 1 where a pixel's centre is inside, else 0."""
    import tensorflow as tf

    centres = tf.range(size_px, dtype=tf.float32) + 0.5
    across = tf.logical_and(centres >= box[0], centres < box[2])
    down = tf.logical_and(centres >= box[1], centres < box[3])
    return tf.cast(tf.logical_and(down[:, None], across[None, :]), tf.float32)[..., None]
