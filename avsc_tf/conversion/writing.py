"""Writing of converted clips: watermarks, encoding, signed credentials with the origin of the conversion."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from avsc_tf.conversion.overwriting import MADE_HERE
from avsc_tf.core.consent import Consent
from avsc_tf.media.mux import SOUND_FORMATS, VIDEO_FORMATS, write_sound, write_video
from avsc_tf.provenance.marking import Provenance

if TYPE_CHECKING:
    from avsc_tf.conversion.converted import ConvertedClip


@dataclass(frozen=True)
class Origin:
    """Origin of conversions: a bundle and the consents that allow it.

    Args:
        bundle_digest: "sha256:..." of all its parts (`digests.bundle_digest`); "" for networks from elsewhere.
        consents: the target's consent record, or those of both bundles.
    """

    bundle_digest: str = ""
    consents: tuple[Consent, ...] = ()

    def check(self) -> None:
        """Raise ConsentError if a consent has ended, also since the bundle was loaded."""
        for consent in self.consents:
            consent.check("consent.yaml")

    def combine(self, other: Origin) -> Origin:
        """Origin of two bundles that convert together."""
        both = hashlib.sha256(f"{self.bundle_digest}\n{other.bundle_digest}\n".encode()).hexdigest()
        return Origin(f"sha256:{both}", tuple(dict.fromkeys((*self.consents, *other.consents))))


def write_clip(converted: ConvertedClip, output: Path, provenance: Provenance | None) -> ConvertedClip:
    """Write the video of a converted clip, or the sound of one without a face; complete or not at all.

    Returns:
        The clip with its watermarks, as it was encoded.

    Raises:
        OutputError, MediaError, ProvenanceError, ConsentError.
    """
    converted.origin.check()
    finish = None
    if provenance is not None:
        converted = embed_watermarks(converted, provenance)
        finish = signing_function(converted, provenance, output)
    options: dict[str, Any] = {"sample_rate_hz": converted.sample_rate_hz, "comment": MADE_HERE, "finish": finish}
    if converted.frames is None:
        assert converted.waveform is not None, "neither voice nor face"
        write_sound(output, converted.waveform, **options)
    else:
        write_video(output, converted.frames, converted.waveform, fps=converted.fps, audio_codec="aac", **options)
    return converted


def embed_watermarks(converted: ConvertedClip, provenance: Provenance) -> ConvertedClip:
    """Embed the bundle's watermark in the sound and in the frames."""
    waveform, frames, bundle = converted.waveform, converted.frames, converted.origin.bundle_digest
    if waveform is not None:
        waveform = provenance.marked_sound(waveform, bundle, sample_rate_hz=converted.sample_rate_hz)
    if frames is not None:
        frames = np.stack(list(provenance.marked_frames(frames, bundle))) if len(frames) else frames
    return dataclasses.replace(converted, waveform=waveform, frames=frames)


def signing_function(converted: ConvertedClip, provenance: Provenance, output: Path) -> Callable[[Path], None]:
    """Return a function that signs the finished file of a clip; its errors name `output`.

    The path of the consent's evidence is left out.
    """
    origin = converted.origin
    consents = [{k: v for k, v in c.as_dict().items() if k != "evidence"} for c in origin.consents]
    conversion: dict[str, Any] = {"bundle": origin.bundle_digest, "vocoder": converted.vocoder, "consents": consents}
    if converted.seed is not None:
        conversion["seed"] = converted.seed
    formats = SOUND_FORMATS if converted.frames is None else VIDEO_FORMATS
    suffix = output.suffix.lower() if output.suffix.lower() in formats else next(iter(formats))
    return lambda path: provenance.sign(path, suffix=suffix, conversion=conversion, name=output)
