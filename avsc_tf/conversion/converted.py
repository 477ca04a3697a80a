"""What a conversion gives, standardised as the networks say it and in the units of the recordings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.core.files import written_whole


@dataclass(frozen=True)
class TargetFeatures:
    """What the conversion network says of the target, standardised by its statistics; None where it says nothing."""

    mel: np.ndarray | None  # [mel_per_video * T, n_mels]
    facial: np.ndarray | None  # [T, n_vgg + 2 * n_keypoints]

    def n_frames(self, mel_per_video: int) -> int:
        """T"""
        if self.facial is not None:
            return len(self.facial)
        assert self.mel is not None, "converted to nothing"
        return len(self.mel) // mel_per_video


@dataclass(frozen=True)
class ConvertedClip:
    """A converted utterance in the units of the recordings; None: without voice, or without face."""

    mel: np.ndarray | None  # [mel_per_video * T, n_mels], natural-log mel
    keypoints: np.ndarray | None  # [T, n_keypoints, 2], pixels of the target's crop
    vgg: np.ndarray | None  # [T, n_vgg]
    waveform: np.ndarray | None  # float32 [samples at time.sample_rate_hz], within full scale
    frames: np.ndarray | None  # uint8 [T, size_px, size_px, 3], RGB
    vocoder: str

    def save(self, path: Path) -> None:
        """Write all arrays to an .npz (vgg as float16), whole or not at all."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ("mel", "keypoints", "waveform", "frames")}
        arrays["vgg"] = None if self.vgg is None else self.vgg.astype(np.float16)
        there = {name: array for name, array in arrays.items() if array is not None}
        with written_whole(path) as part, part.open("wb") as file:
            np.savez_compressed(file, vocoder=np.array(self.vocoder), **there)
