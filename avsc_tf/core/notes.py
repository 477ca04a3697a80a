"""Notes about clips as lines of a program's output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

MAX_NAMED = 5  # clips in a note


def note_lines(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each different note, which names the clips that it is about, `MAX_NAMED` at most.

    Args:
        notes: phrases by the name of their clip.
    """
    names: dict[str, list[str]] = {}
    for name, phrases in notes.items():
        for phrase in phrases:
            names.setdefault(phrase, []).append(name)
    lines = []
    for phrase, clips in names.items():
        more = f" and {len(clips) - MAX_NAMED} more" if len(clips) > MAX_NAMED else ""
        lines.append(f"note: {', '.join(clips[:MAX_NAMED])}{more}: {phrase}")
    return lines
