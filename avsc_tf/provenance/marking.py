"""What every conversion puts into its file: marks in picture and sound, then signed credentials."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.errors import ProvenanceError
from avsc_tf.provenance.code import PUBLIC_KEY, payload_of
from avsc_tf.provenance.credentials import sign_file
from avsc_tf.provenance.identity import Identity, named_identity, own_identity
from avsc_tf.provenance.picture_mark import mark_frames
from avsc_tf.provenance.sound_mark import mark_sound

WATERMARK_KEY_VARIABLE = "AVSC_TF_WATERMARK_KEY"


@dataclass(frozen=True)
class Provenance:
    """How files are marked and signed.

    Args:
        certificate, private_key: a real certificate with its chain, and its key (PEM); both or neither. Without them
            the user's own key signs (`identity.own_identity`).
        timestamp_url: of a time stamp authority; None: no network is touched.
        watermark_key: the secret that the marks are drawn from; `PUBLIC_KEY` lets everybody find them.
    """

    certificate: Path | None = None
    private_key: Path | None = None
    timestamp_url: str | None = None
    watermark_key: str = PUBLIC_KEY

    def identity(self) -> Identity:
        """Whoever signs; the own key is made if there is none. Raises ProvenanceError."""
        if self.certificate and self.private_key:
            return named_identity(self.certificate, self.private_key)
        if self.certificate or self.private_key:
            raise ProvenanceError("A certificate and its private key go together. Name both, or neither.")
        return own_identity()

    def marked_frames(self, frames: Iterable[NDArray[np.uint8]], bundle: str) -> Iterator[NDArray[np.uint8]]:
        """Frames with the payload of a bundle's digest in them, one at a time."""
        return mark_frames(frames, payload=payload_of(bundle), key=self.watermark_key)

    def marked_sound(self, waveform: NDArray[np.floating], bundle: str, *, sample_rate_hz: int) -> NDArray[np.float32]:
        """Sound with the payload of a bundle's digest in it."""
        return mark_sound(waveform, sample_rate_hz=sample_rate_hz, payload=payload_of(bundle), key=self.watermark_key)

    def sign(self, path: Path, *, suffix: str, conversion: Mapping[str, Any], name: Path | None = None) -> None:
        """Put credentials into a finished file; `name` stands for it in errors. Raises ProvenanceError, OutputError."""
        sign_file(
            path,
            suffix=suffix,
            conversion=conversion,
            identity=self.identity(),
            timestamp_url=self.timestamp_url,
            name=name,
        )


def watermark_key() -> str:
    """The secret in $AVSC_TF_WATERMARK_KEY, or the public key."""
    return os.environ.get(WATERMARK_KEY_VARIABLE) or PUBLIC_KEY
