"""What a user should know of a clip that is converted."""

from __future__ import annotations

from avsc_tf.features.clip import ClipFeatures
from avsc_tf.features.partial_clip import PartialClip


def clip_notes(
    source: ClipFeatures | PartialClip, *, is_unfamiliar: bool, missing: str = "", modality_dropout: float = 0.0
) -> tuple[str, ...]:
    """A phrase for each: what was chosen of the files, another face than the source speaker's, a missing stream.

    Args:
        is_unfamiliar: the face is not the source speaker's.
        missing: "sound" or "picture", where the networks wanted it and the clip lacks it.
        modality_dropout: of the conversion network's training; at 0 it never saw a clip without one of the streams.
    """
    notes = list(source.notes)
    if is_unfamiliar:
        notes.append("shows somebody else than the source speaker; standardised by its own mean and deviation")
    if missing:
        other = "picture" if missing == "sound" else "sound"
        warning = ""
        if not modality_dropout:
            warning = "; this network was not trained for that (conversion.modality_dropout is 0): do not expect much"
        notes.append(f"holds no {missing}; voice and face were made from the {other} alone{warning}")
    return tuple(notes)
