"""Features of clips and aligned pairs as the values that records store."""

from __future__ import annotations

from typing import Any

import numpy as np

from avsc_tf.alignment.pairs import AlignedPair
from avsc_tf.features.clip import ClipFeatures


def pair_values(pair: AlignedPair) -> dict[str, Any]:
    """Values of schema.PAIR of an aligned pair, without its labels."""
    return {
        "source_mel": pair.source_mel.astype(np.float32),
        "source_facial": pair.source_facial.astype(np.float16),
        "target_mel": pair.target_mel.astype(np.float32),
        "target_facial": pair.target_facial.astype(np.float16),
        "path": pair.path,
        "cost": np.float32(pair.cost),
    }


def clip_values(features: ClipFeatures) -> dict[str, Any]:
    """Values of schema.CLIP of a clip's features, without its labels."""
    values = {name: getattr(features, name) for name in ("mel", "keypoints", "vgg", "frames", "waveform")}
    crop = features.crop
    if crop is None:
        raise ValueError("features of a clip that was read have its crop path")
    return {**values, "crop_centres": crop.centres, "crop_side": crop.side, "frame_size": crop.frame_size}
