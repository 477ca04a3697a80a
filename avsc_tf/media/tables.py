"""Tables as people save them: CSV of any spreadsheet, whatever its encoding, separator and empty rows."""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from avsc_tf.core.errors import MediaError

MAX_TABLE_BYTES = 64 * 2**20  # half a million rows
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Windows-1252 as people write it: accented letters, quotation marks, dashes and few signs. Other encodings that are
# read as it give other signs, signs inside words, capitals behind small letters, or long runs of accented letters.
_CAPITALS, _SMALL = rb"\x8a\x8c\x8e\x9f\xc0-\xd6\xd8-\xde", rb"\x9a\x9c\x9e\xdf-\xf6\xf8-\xff"
_INSIDE_WORDS, _OUTSIDE = rb"\x85\x92\x96\x97\xa0", rb"\x80\x82\x84\x91\x93\x94\xa1\xa7\xab\xb0\xbb\xbf"
_LETTER = b"a-zA-Z" + _CAPITALS + _SMALL
_IMPLAUSIBLE = re.compile(
    b"|".join(
        (
            b"[^\\x00-\\x7f" + _CAPITALS + _SMALL + _INSIDE_WORDS + _OUTSIDE + b"]",
            b"[" + _LETTER + b"][" + _OUTSIDE + b"][" + _LETTER + b"]",
            b"[a-z][" + _CAPITALS + b"]",
            b"[" + _CAPITALS + _SMALL + b"]{3}",
            b"\\x82[\\x80-\\xff]",
        )
    )
)


@dataclass(frozen=True)
class TableRow:
    """The cells of one row by column, without outer spaces, in composed Unicode (NFC); "" where there is none."""

    line: int  # where the row ends in the file
    place: str  # file and line, for messages
    cells: dict[str, str]


@dataclass(frozen=True)
class Table:
    """Rows that are not empty, and a note where the encoding had to be guessed."""

    rows: list[TableRow]
    notes: tuple[str, ...] = ()


def read_table(path: Path, *, columns: Sequence[str], required: Sequence[str]) -> Table:
    """A CSV file whose first line names its columns; rows and columns that are empty throughout are left out.

    The encoding is that of the byte order mark (UTF-8, UTF-16), else UTF-8, else Windows-1252 where the text reads like
    it. The separator is a comma, a semicolon or a tab, whichever finds most of the columns' names.

    Args:
        columns: names that are known.
        required: those whose cells must be filled in.
    Raises:
        MediaError: with the line: another encoding, an unknown, missing or double column, a cell without a column, an
            empty cell that is required.
    """
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise MediaError(f"{path}: has more than {MAX_TABLE_BYTES} bytes. Name a table of clips.")
    text, notes = decode_table(path.read_bytes(), place=str(path))
    text = re.sub(r"\A\s*sep=[^\r\n]*", "", text)  # Excel's own first line
    separator = find_separator(text, columns)
    lines = _lines(text, separator, path)
    _, header = next(lines, (1, []))
    names = [name.strip() for name in header]
    _check_columns(path, names, columns, required)
    rows = []
    for line, cells in lines:
        place = f"{path}{' (read as Windows-1252)' if notes else ''}, line {line}"
        rows.append(TableRow(line, place, _cells_of_row(cells, names, place, separator, columns, required)))
    return Table(rows, notes)


def decode_table(content: bytes, *, place: str) -> tuple[str, tuple[str, ...]]:
    """The text of a table, and a note where its encoding is a guess.

    Raises:
        MediaError: no encoding that is known.
    """
    for mark, encoding in _BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return _decoded(content, encoding, place), ()
    try:
        return _without_nul(content.decode("utf-8"), place), ()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
    place = f"{place}, line {line}"
    if _IMPLAUSIBLE.search(content):
        raise _unknown_encoding(place)
    text = _decoded(content, "cp1252", place)
    word = next(word for word in re.split(r"[\s,;]+", text) if not word.isascii())
    return text, (f"is not UTF-8; read as Windows-1252, with {word[:40]!r}: save it as UTF-8 where that is wrong",)


def _decoded(content: bytes, encoding: str, place: str) -> str:
    try:
        return _without_nul(content.decode(encoding), place)
    except UnicodeDecodeError as error:
        raise _unknown_encoding(place) from error


def _without_nul(text: str, place: str) -> str:
    if "\0" in text:  # UTF-16 without its mark, or no text at all
        raise _unknown_encoding(place)
    return text


def _unknown_encoding(place: str) -> MediaError:
    return MediaError(f"{place}: is not UTF-8 text. Save the table as CSV in UTF-8 (spreadsheets offer 'CSV UTF-8').")


def find_separator(text: str, columns: Sequence[str]) -> str:
    """The separator that finds most of the columns' names in the first line that holds any."""
    header = next((line for line in text.splitlines() if line.strip(" ,;\t")), "")

    def known(separator: str) -> int:
        return sum(cell.strip(' "') in columns for cell in header.split(separator))

    return max(SEPARATORS, key=known)


def _lines(text: str, separator: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row that is not empty."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        for cells in reader:
            if any(cell.strip(" ,;\t\r\n") for cell in cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise MediaError(
            f"{path}, line {reader.line_num}: {error}. Close every quotation mark, and double it inside a cell."
        ) from error


def _check_columns(path: Path, names: list[str], known: Sequence[str], required: Sequence[str]) -> None:
    named = [name for name in names if name]
    for name in named:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            alone = f" Separate columns by {', '.join(SEPARATORS.values())}." if len(named) == 1 else ""
            raise MediaError(f"{path}: unknown column {name!r}. The nearest known one is {near!r}.{alone}")
    if len(set(named)) < len(named):
        raise MediaError(f"{path}: a column is named twice. Known are {', '.join(known)}.")
    missing = [name for name in required if name not in named]
    if missing:
        raise MediaError(f"{path}: column {missing[0]!r} is missing. The first line must name the columns.")


def _cells_of_row(
    cells: list[str], names: list[str], place: str, separator: str, known: Sequence[str], required: Sequence[str]
) -> dict[str, str]:
    found = dict.fromkeys(known, "")
    for number, cell in enumerate(cells):
        name = names[number] if number < len(names) else ""
        if name:
            found[name] = unicodedata.normalize("NFC", cell.strip())
        elif cell.strip():
            raise MediaError(
                f"{place}: more cells than columns. Put text with {SEPARATORS[separator]} between quotation marks."
            )
    for name in required:
        if not found[name]:
            raise MediaError(f"{place}: the cell of {name} is empty. Fill it in.")
    return found
