"""Where a conversion comes from: the bundle that makes it, and who allowed it; written into what it makes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.conversion.converted import ConvertedClip
from avsc_tf.core.consent import Consent
from avsc_tf.media.mux import SOUND_FORMATS, VIDEO_FORMATS
from avsc_tf.provenance.marking import Provenance


@dataclass(frozen=True)
class Origin:
    """Of one bundle.

    Args:
        bundle_digest: "sha256:..." of all its parts (`digests.bundle_digest`); "" of networks from elsewhere.
        consents: the target's consent record, or those of both bundles.
    """

    bundle_digest: str = ""
    consents: tuple[Consent, ...] = ()

    def check(self) -> None:
        """Raise ConsentError where a consent has ended, also since the bundle was loaded."""
        for consent in self.consents:
            consent.check("consent.yaml")

    def beside(self, other: Origin) -> Origin:
        """Of two bundles that convert together."""
        both = hashlib.sha256(f"{self.bundle_digest}\n{other.bundle_digest}\n".encode()).hexdigest()
        return Origin(f"sha256:{both}", tuple(dict.fromkeys((*self.consents, *other.consents))))


def marked(converted: ConvertedClip, origin: Origin, provenance: Provenance, *, sample_rate_hz: int) -> ConvertedClip:
    """The clip with the bundle's mark in its sound and in its frames."""
    waveform, frames, bundle = converted.waveform, converted.frames, origin.bundle_digest
    if waveform is not None:
        waveform = provenance.marked_sound(waveform, bundle, sample_rate_hz=sample_rate_hz)
    if frames is not None:
        frames = np.stack(list(provenance.marked_frames(frames, bundle))) if len(frames) else frames
    return dataclasses.replace(converted, waveform=waveform, frames=frames)


def signature(
    converted: ConvertedClip, origin: Origin, provenance: Provenance, output: Path, *, seed: int | None
) -> Callable[[Path], None]:
    """A function that signs the finished file of a clip, which is then named `output`.

    Where the consent's paper lies stays at home.
    """
    consents = [{k: v for k, v in c.as_dict().items() if k != "evidence"} for c in origin.consents]
    conversion: dict[str, Any] = {"bundle": origin.bundle_digest, "vocoder": converted.vocoder, "consents": consents}
    if seed is not None:
        conversion["seed"] = seed
    kinds = SOUND_FORMATS if converted.frames is None else VIDEO_FORMATS
    suffix = output.suffix.lower() if output.suffix.lower() in kinds else next(iter(kinds))
    return lambda path: provenance.sign(path, suffix=suffix, conversion=conversion, name=output)
