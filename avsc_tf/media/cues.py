"""Cue lists: which stretch of a whole session's recording is which sentence."""

from __future__ import annotations

import csv
import difflib
import re
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from avsc_tf.errors import MediaError

CUES_SUFFIX = ".cues.csv"  # SESSION.cues.csv beside SESSION.mp4
CUE_COLUMNS = ("start", "end", "name", "emotion", "sentence", "split")
REQUIRED_CUE_COLUMNS = ("start", "end", "name")
MAX_OVERLAP_SECONDS = Fraction(1, 2)  # cues may share a pause; more is a mistyped time
_TIME = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d*)?)")


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


def read_cues(path: Path, *, session_seconds: Fraction | None = None) -> list[Cue]:
    """The cues of a list, in its order.

    Args:
        session_seconds: length of the session's picture, where it is known.
    Raises:
        MediaError: with the line: an unknown, missing or double column, an empty cell, a time that is none, an end
            before its start or beyond the session, a name given twice or unfit for a file, cues that overlap by more
            than MAX_OVERLAP_SECONDS, no cue.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restkey="", restval="")
            check_columns(path, list(reader.fieldnames or ()), CUE_COLUMNS, REQUIRED_CUE_COLUMNS)
            cues = [_cue_of_row(row, f"{path}, line {reader.line_num}", reader.line_num) for row in reader]
    except UnicodeDecodeError as error:
        raise MediaError(f"{path}: is not UTF-8 text ({error.reason}). Save the list as UTF-8.") from error
    if not cues:
        raise MediaError(f"{path}: names no cue. Write a line start,end,name for each sentence.")
    _check_cues(path, cues, session_seconds)
    return cues


def check_columns(path: Path, columns: list[str], known: tuple[str, ...], required: tuple[str, ...]) -> None:
    """Raise `MediaError` where the first line of a CSV file does not name known columns once each."""
    for name in columns:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise MediaError(f"{path}: unknown column {name!r}. The nearest known one is {near!r}.")
    if len(set(columns)) < len(columns):
        raise MediaError(f"{path}: a column is named twice. Known are {', '.join(known)}.")
    missing = [name for name in required if name not in columns]
    if missing:
        raise MediaError(f"{path}: column {missing[0]!r} is missing. The first line must name the columns.")


def cells_of_row(row: dict[str, str], place: str, known: tuple[str, ...], required: tuple[str, ...]) -> dict[str, str]:
    """All known cells without outer spaces, in composed Unicode (NFC); "" where there is none."""
    if "" in row:
        raise MediaError(f"{place}: more cells than columns. Put text with commas between quotation marks.")
    cells = {name: unicodedata.normalize("NFC", row.get(name, "").strip()) for name in known}
    for name in required:
        if not cells[name]:
            raise MediaError(f"{place}: the cell of {name} is empty. Fill it in.")
    return cells


def parse_seconds(text: str) -> Fraction:
    """Seconds, m:ss or h:mm:ss, each with a fraction, exactly as written.

    Raises:
        ValueError: it is no time.
    """
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is no time")
    hours, minutes, seconds = found.groups()
    if minutes is not None and (Fraction(seconds) >= 60 or (hours is not None and int(minutes) >= 60)):
        raise ValueError(f"{text!r} is no time")
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + Fraction(seconds)


def _cue_of_row(row: dict[str, str], place: str, line: int) -> Cue:
    cells = cells_of_row(row, place, CUE_COLUMNS, REQUIRED_CUE_COLUMNS)
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
    return Cue(name, times[0], times[1], cells["emotion"], cells["sentence"] or name, cells["split"], line)


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
