"""Single frames of the target for the image network: features in, picture out (paper section 3.3)."""

from __future__ import annotations

from typing import Any

import numpy as np

from avsc_tf.core.config import Config
from avsc_tf.core.errors import RecordError
from avsc_tf.core.schema import CLIP
from avsc_tf.corpus.reader import Records, choose, clip_stem, decode_frames
from avsc_tf.datasets.batches import WHOLE, Share, batches
from avsc_tf.datasets.rows import Rows, open_rows
from avsc_tf.features.keypoints import LIPS
from avsc_tf.features.statistics import join_facial

NAMES = ("mel", "keypoints", "vgg", "frames")
# The lips' box grows by this share of its width on every side, so that chin and cheeks, which move with it, are inside.
MOUTH_MARGIN = 0.25


def frames(
    records: Records,
    split: str,
    config: Config,
    *,
    epoch: int,
    seed: int,
    start_batch: int = 0,
    share: Share = WHOLE,
) -> Any:
    """One epoch over all frames of the target, in an order of (seed, epoch), in whole batches of `image.batch_size`.

    The order is the same whether the split is held in memory (pictures as PNG) or streamed (`records.memory_mb`);
    `start_batch` goes on at any batch, and `share` gives a part of each.

    Returns:
        tf.data of (inputs, image, mouth): inputs {"mel": [B, mel_per_video, n_mels], "facial": [B, n_facial]} float32,
        standardised by the target's statistics; image [B, size, size, 3] float32 in [-1, 1]; mouth [B, size, size, 1]
        float32, 1 inside the box of the lips, else 0.

    Raises:
        RecordError: the split holds fewer frames than a batch, or one is damaged (while it is read: see
            `batches.named_read_errors`).
    """
    import tensorflow as tf

    n_batches, batch_size = batches_per_epoch(records, split, config), config.image.batch_size
    stem, size_px = clip_stem("target", split), config.image.size_px
    rows = open_rows(records, stem, choose(CLIP, NAMES), memory_mb=config.records.memory_mb)
    plan = plan_frames(rows.lengths, epoch=epoch, seed=seed)[: n_batches * batch_size].reshape(n_batches, batch_size, 2)

    def finish(mel: Any, facial: Any, images: Any, boxes: Any) -> tuple[dict[str, Any], Any, Any]:
        inputs = {"mel": mel, "facial": tf.cast(facial, tf.float32)}
        return inputs, tf.cast(images, tf.float32) / 127.5 - 1.0, box_mask(boxes, size_px)

    per = config.timebase.mel_per_video
    specs = [
        tf.TensorSpec([batch_size, per, config.acoustic.n_mels], tf.float32),
        tf.TensorSpec([batch_size, config.face.n_facial], tf.float16),
        tf.TensorSpec([batch_size, size_px, size_px, 3], tf.uint8),
        tf.TensorSpec([batch_size, 4], tf.float32),
    ]
    return batches(
        lambda k, chosen: read_frames(rows, plan[k, chosen], records, config),
        specs,
        n_batches=n_batches,
        start_batch=start_batch,
        share=share,
        finish=finish,
    )


def plan_frames(lengths: np.ndarray, *, epoch: int, seed: int) -> np.ndarray:
    """Every frame of every clip once, in an order of (seed, epoch): int64 [frames, 2], the clip and the frame in it."""
    ends = np.cumsum(lengths)
    order = np.random.default_rng([seed, epoch]).permutation(int(ends[-1]))
    clip = np.searchsorted(ends, order, side="right")
    return np.stack([clip, order - (ends - lengths)[clip]], axis=1)


def read_frames(rows: Rows, plan: np.ndarray, records: Records, config: Config) -> list[np.ndarray]:
    """Frames named in `plan` [B, 2] (clip, frame).

    Returns:
        mel [B, mel_per_video, n_mels] float32 and facial [B, n_facial] float16, both standardised; pictures
        [B, size, size, 3] uint8; boxes of the mouth [B, 4] float32, pixels of the picture.
    """
    found = [rows.read(int(clip), int(frame), 1) for clip, frame in plan]
    mel = np.stack([one["mel"] for one in found])
    vgg, keypoints = (np.concatenate([one[name] for one in found]) for name in ("vgg", "keypoints"))
    standardise = records.statistics.standardise
    scale = config.image.size_px / config.face.crop_px
    return [
        standardise("target", "mel", mel),
        standardise("target", "facial", join_facial(vgg, keypoints)).astype(np.float16),
        decode_frames([one["frames"][0] for one in found]),
        mouth_boxes(keypoints * scale, size_px=config.image.size_px),
    ]


def batches_per_epoch(records: Records, split: str, config: Config) -> int:
    """Batches that `frames` gives. Raises RecordError where there is not one."""
    n_frames = sum(records.manifest.video_frames_of(clip_stem("target", split)))
    if n_frames < config.image.batch_size:
        raise RecordError(
            f"{records.folder}: {n_frames} target frames in split {split!r}, image.batch_size is "
            f"{config.image.batch_size}. Prepare more clips or lower image.batch_size."
        )
    return n_frames // config.image.batch_size


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
    """Tensor [..., 4] (left, top, right, bottom) to [..., size_px, size_px, 1]: 1 where a pixel's centre is inside."""
    import tensorflow as tf

    centres = tf.range(size_px, dtype=tf.float32) + 0.5
    left, top, right, bottom = (box[..., k, None] for k in range(4))
    across = tf.logical_and(centres >= left, centres < right)
    down = tf.logical_and(centres >= top, centres < bottom)
    return tf.cast(tf.logical_and(down[..., :, None], across[..., None, :]), tf.float32)[..., None]
