"""Cue lists: which stretch of a whole session's recording is which sentence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from avsc_tf.core.errors import MediaError
from avsc_tf.media.tables import TableRow, read_table

CUES_SUFFIX = ".cues.csv"  # SESSION.cues.csv beside SESSION.mp4
CUE_COLUMNS = ("start", "end", "name", "emotion", "sentence", "split")
REQUIRED_CUE_COLUMNS = ("start", "end", "name")
MAX_OVERLAP_SECONDS = Fraction(1, 2)  # cues may share a pause; more is a mistyped time
_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:[.,]\d*)?)")


@dataclass(frozen=True)
class Cue:
    """A stretch of a session; `line` is where the cue list says so."""

    name: str
    start_seconds: Fraction  # on the clock that begins with the session's first picture
    end_seconds: Fraction
    emotion: str
    sentence: str
    split: str
    line: int


@dataclass(frozen=True)
class CueList:
    """Cues in the order of their list, and a note where its encoding had to be guessed."""

    cues: list[Cue]
    notes: tuple[str, ...] = ()


def read_cues(path: Path, *, session_seconds: Fraction | None = None) -> CueList:
    """The cues of a list.

    Args:
        session_seconds: length of the session's picture, where it is known.
    Raises:
        MediaError: with the line: what `read_table` refuses, a time that is none, an end before its start or beyond the
            session, a name given twice or unfit for a file, cues that overlap by more than MAX_OVERLAP_SECONDS, no cue.
    """
    table = read_table(path, columns=CUE_COLUMNS, required=REQUIRED_CUE_COLUMNS)
    cues = [_cue_of_row(row) for row in table.rows]
    if not cues:
        raise MediaError(f"{path}: names no cue. Write a line start,end,name for each sentence.")
    _check_cues(path, cues, session_seconds)
    return CueList(cues, table.notes)


def parse_seconds(text: str) -> Fraction:
    """Seconds, m:ss or h:mm:ss, each with a fraction behind a point or a comma, exactly as written.

    Raises:
        ValueError: it is no time.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time")
    hours, minutes, seconds = found[1], found[2], found[3].replace(",", ".")
    if minutes is not None and (Fraction(seconds) >= 60 or (hours is not None and int(minutes) >= 60)):
        raise ValueError(f"{text!r} is no time")
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)


def _cue_of_row(row: TableRow) -> Cue:
    cells, place = row.cells, row.place
    times = []
    for column in ("start", "end"):
        try:
            times.append(parse_seconds(cells[column]))
        except ValueError as error:
            raise MediaError(
                f"{place}: {column} is {cells[column]!r}. Write seconds (83.5), m:ss.fff or h:mm:ss.fff."
            ) from error
    if times[1] <= times[0]:
        raise MediaError(f"{place}: ends at {cells['end']}, not after its start {cells['start']}. Correct them.")
    name = cells["name"]
    if name.startswith(".") or any(character in "/\\\0\n\r" for character in name):
        raise MediaError(f"{place}: {name!r} cannot name a file. Leave out slashes and a dot at the beginning.")
    return Cue(name, times[0], times[1], cells["emotion"], cells["sentence"] or name, cells["split"], row.line)


def _check_cues(path: Path, cues: list[Cue], session_seconds: Fraction | None) -> None:
    named: dict[str, int] = {}
    for cue in cues:
        if cue.name in named:
            raise MediaError(
                f"{path}, line {cue.line}: {cue.name} is named twice, first on line {named[cue.name]}. "
                "Give each cue its own name."
            )
        named[cue.name] = cue.line
        if session_seconds is not None and cue.end_seconds > session_seconds:
            raise MediaError(
                f"{path}, line {cue.line}: ends at {float(cue.end_seconds):.3f} s, but the session's picture lasts "
                f"{float(session_seconds):.3f} s. Correct the times."
            )
    ordered = sorted(cues, key=lambda cue: cue.start_seconds)
    last = ordered[0]
    for cue in ordered[1:]:
        overlap = min(last.end_seconds, cue.end_seconds) - cue.start_seconds
        if overlap > MAX_OVERLAP_SECONDS:
            raise MediaError(
                f"{path}, line {cue.line}: {cue.name} overlaps {last.name} (line {last.line}) by "
                f"{float(overlap):.2f} s; {float(MAX_OVERLAP_SECONDS)} s are allowed. Correct the times."
            )
        last = max(last, cue, key=lambda cue: cue.end_seconds)
