"""What the image network makes of held-out sentences, for TensorBoard: strips in time, and how alike the mouths are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import keras
import numpy as np
import tensorflow as tf

from avsc_tf.core.config import Config
from avsc_tf.corpus.reader import Records, decode_frames
from avsc_tf.features.keypoints import LIPS
from avsc_tf.features.statistics import join_facial
from avsc_tf.measures.picture import frame_agreement
from avsc_tf.training.engine.callbacks import Preview
from avsc_tf.training.engine.previews import mean_known, one_an_emotion, stacked

NAMES = ("utterance", "emotion", "mel", "keypoints", "vgg", "frames")
N_MOMENTS = 8
STRIP_EVERY = 3  # video frames: an eighth of a second
SHOWN_PX = 128  # larger pictures are drawn smaller


@dataclass(frozen=True)
class Strip:
    """Some frames of a sentence, one after the other."""

    label: str
    inputs: dict[str, np.ndarray]  # standardised, [N_MOMENTS, ...]
    frames: np.ndarray  # uint8 [N_MOMENTS, size, size, 3]
    lips_px: np.ndarray  # [N_MOMENTS, 2], in pixels of the frames


def image_preview(generator: keras.Model, records: Records, config: Config) -> Preview:
    """Generated frames above real ones of a few held-out sentences, and `quality/mouth_ssim`, its mean over them.

    Where no clip of the target is held out, the sentences are of the training, and the tags say so.
    """
    split = "test" if records.n_clips("target", "test") else "train"
    of_training = "" if split == "test" else " (of the training)"
    chosen = one_an_emotion([clip["emotion"] for clip in records.clips("target", split, only=("emotion",))])
    clips = enumerate(records.clips("target", split, only=NAMES))
    strips = [_strip(clip, records, config) for k, clip in clips if k in chosen]

    def show(finished_epochs: int, writer: Any) -> None:
        similarities = []
        with writer.as_default(step=finished_epochs):
            for strip in strips:
                generated = _generate(generator, strip)
                similarities.append(frame_agreement(generated, strip.frames, strip.lips_px).mouth_ssim)
                picture = stacked([_side_by_side(generated), _side_by_side(strip.frames)])
                tf.summary.image(f"generated, original{of_training}/{strip.label}", picture[None])
            tf.summary.scalar(f"quality/mouth_ssim{of_training}", mean_known(similarities))

    return show


def _strip(clip: dict[str, Any], records: Records, config: Config) -> Strip:
    """Moments about the middle of a clip."""
    n_frames, per = len(clip["keypoints"]), config.timebase.mel_per_video
    first = max(0, (n_frames - N_MOMENTS * STRIP_EVERY) // 2)
    moments = np.arange(first, n_frames, STRIP_EVERY)[:N_MOMENTS]
    standardise = records.statistics.standardise
    facial = standardise("target", "facial", join_facial(clip["vgg"], clip["keypoints"]))[moments]
    mel = standardise("target", "mel", clip["mel"]).reshape(n_frames, per, -1)[moments]
    scale = config.image.size_px / config.face.crop_px
    return Strip(
        label=f"{clip['emotion']}, {clip['utterance']}",
        inputs={"mel": mel, "facial": facial},
        frames=decode_frames([clip["frames"][k] for k in moments]),
        lips_px=clip["keypoints"][moments][:, LIPS].mean(axis=1) * scale,
    )


def _generate(generator: keras.Model, strip: Strip) -> np.ndarray:
    images = generator(strip.inputs, training=False).numpy()
    return np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(np.uint8)


def _side_by_side(frames: np.ndarray) -> np.ndarray:
    side = min(SHOWN_PX, frames.shape[1])
    small = [cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA) for frame in frames]
    return np.concatenate(small, axis=1)
