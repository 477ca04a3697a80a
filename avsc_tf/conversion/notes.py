"""What a user should know of the clips that were converted."""

from __future__ import annotations

from avsc_tf.conversion.converter import Converter


def notes_on(converter: Converter) -> list[str]:
    """A line for each clip that shows somebody else, or that lacked its sound or its picture."""
    stranger = "shows somebody else than the source speaker; standardised by its own mean and deviation"
    notes = [f"{clip} {stranger}" for clip in converter.unfamiliar]
    warning = ""
    if not converter.config.conversion.modality_dropout:
        warning = "; this network never learned to do without it (conversion.modality_dropout is 0): do not expect much"
    for clip, missing in converter.partial.items():
        other = "picture" if missing == "sound" else "sound"
        notes.append(f"{clip} holds no {missing}; voice and face were made from the {other} alone{warning}")
    return notes
