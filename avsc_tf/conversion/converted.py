"""Results of a conversion: standardised features of the target, and the finished clip in recorded units."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.conversion.writing import Origin, write_clip
from avsc_tf.core.files import written_whole
from avsc_tf.provenance.marking import Provenance


@dataclass(frozen=True)
class TargetFeatures:
    """Output of the conversion network, standardised by the target's statistics; None for a missing modality."""

    mel: np.ndarray | None  # [mel_per_video * T, n_mels]
    facial: np.ndarray | None  # [T, n_vgg + 2 * n_keypoints]

    def n_frames(self, mel_per_video: int) -> int:
        """Number T of video frames."""
        if self.facial is not None:
            return len(self.facial)
        assert self.mel is not None, "neither mel nor facial feature"
        return len(self.mel) // mel_per_video


@dataclass(frozen=True)
class ConvertedClip:
    """A converted clip in recorded units; None for what the networks do not make.

    Examples:
        >>> clip = bundle.convert("a.mp4", seed=0)  # doctest: +SKIP
        >>> clip.save("b.mp4")  # doctest: +SKIP
    """

    mel: np.ndarray | None  # [mel_per_video * T, n_mels], natural-log mel
    keypoints: np.ndarray | None  # [T, n_keypoints, 2], pixels of the target's crop
    vgg: np.ndarray | None  # [T, n_vgg]
    waveform: np.ndarray | None  # float32 [samples], full scale 1
    frames: np.ndarray | None  # uint8 [T, size_px, size_px, 3], RGB
    vocoder: str
    fps: int = 25
    sample_rate_hz: int = 48000
    seed: int | None = None
    notes: tuple[str, ...] = ()  # remarks on the source clip
    origin: Origin = field(default_factory=Origin, repr=False)

    def save(self, path: str | Path, *, provenance: Provenance | None = Provenance()) -> ConvertedClip:  # noqa: B008
        """Write the clip with watermarks and signed credentials; the file appears complete or not at all.

        Args:
            path: .mp4, .m4v or .mov (H.264, AAC); without a face .wav or .flac.
            provenance: how the file is marked and signed; None leaves it without marks and credentials.

        Returns:
            The clip with its watermarks, as it was encoded.

        Raises:
            OutputError, MediaError, ProvenanceError, ConsentError.
        """
        return write_clip(self, Path(path), provenance)

    def save_features(self, path: str | Path) -> None:
        """Write all arrays to an .npz file (vgg as float16), complete or not at all."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ("mel", "keypoints", "waveform", "frames")}
        arrays["vgg"] = None if self.vgg is None else self.vgg.astype(np.float16)
        present = {name: array for name, array in arrays.items() if array is not None}
        with written_whole(Path(path)) as part, part.open("wb") as file:
            np.savez_compressed(file, vocoder=np.array(self.vocoder), **present)

    def _repr_html_(self) -> str:
        """Player of the clip for a notebook, with the watermarked and signed file embedded."""
        from avsc_tf.conversion.notebook import player_html

        return player_html(self)
