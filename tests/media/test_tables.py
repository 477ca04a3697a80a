"""Tables as spreadsheets save them: encodings, separators, empty rows and columns."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avsc_tf.core.errors import MediaError
from avsc_tf.media.tables import decode_table, read_table

COLUMNS, REQUIRED = ("utterance", "sentence", "video"), ("utterance", "video")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_tables_of_spreadsheets(tmp_path, encoding, separator, line_end):
    rows = [
        [" utterance", "sentence", "video", "", ""],
        ["", "", "", "", ""],
        ["u1", f'"Größe{separator} ""wörtlich"""', "café.mp4", "", ""],
        ["u2", "“Ça va?” … oui", " b.mp4 ", "", ""],
        [],
        ["", " ", "", "", ""],
    ]
    content = line_end.join(separator.join(row) for row in rows).encode(encoding)
    mark = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}.get(encoding, b"")
    path = tmp_path / "manifest.csv"
    path.write_bytes(mark + content)
    table = read_table(path, columns=COLUMNS, required=REQUIRED)
    assert [row.cells for row in table.rows] == [
        {"utterance": "u1", "sentence": f'Größe{separator} "wörtlich"', "video": "café.mp4"},
        {"utterance": "u2", "sentence": "“Ça va?” … oui", "video": "b.mp4"},
    ]
    assert [row.line for row in table.rows] == [3, 4]
    assert ("(read as Windows-1252), line 3" in table.rows[0].place) == (encoding == "cp1252")
    assert [("Windows-1252" in note) for note in table.notes] == [True] * (encoding == "cp1252")


@pytest.mark.parametrize(
    "text, encoding",
    [
        ("こんにちは", "cp932"),
        ("カタカナ", "cp932"),
        ("日本語の文", "cp932"),
        ("你好吗", "gbk"),
        ("привет", "cp1251"),
        ("привет", "koi8-r"),
        ("안녕하세요", "cp949"),
        ("שלום", "cp1255"),
        ("größer", "mac-roman"),
        ("größer", "cp850"),
        ("café", "mac-roman"),
        ("plain", "utf-16-le"),  # without its byte order mark
        ("größer", "utf-32"),
    ],
)
def test_other_encodings_are_refused(tmp_path, text, encoding):
    path = tmp_path / "manifest.csv"
    path.write_bytes(f"utterance,video,sentence\nu,a.mp4,{text}\n".encode(encoding))
    with pytest.raises(MediaError, match=r"manifest\.csv.*: is not UTF-8 text\. Save the table as CSV in UTF-8"):
        read_table(path, columns=COLUMNS, required=REQUIRED)


@settings(deadline=None, derandomize=True, max_examples=200)
@given(content=st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode("cp1252", "ignore")))
def test_any_bytes_are_a_table_or_one_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("tables") / "manifest.csv"
    path.write_bytes(b"utterance;video\n" + content)
    try:
        read_table(path, columns=COLUMNS, required=REQUIRED)
    except MediaError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize(
    "text, rule",
    [
        ("utterance|video\nu|a.mp4\n", "unknown column.*Separate columns by commas, semicolons, tabs"),
        ("utterance;video\nu;a.mp4;b\n", "line 2: more cells than columns. Put text with semicolons between quotation"),
        ("utterance,video,\nu,a.mp4,b\n", "line 2: more cells than columns. Put text with commas"),
        ('utterance,video\nu,"a.mp4\n', "line [23]: unexpected end of data. Close every quotation mark"),
        ("\n;;\n", "column 'utterance' is missing"),
    ],
)
def test_faults_of_tables(tmp_path, text, rule):
    path = tmp_path / "manifest.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MediaError, match=rule):
        read_table(path, columns=COLUMNS, required=REQUIRED)


def test_the_note_names_an_example():
    text, (note,) = decode_table("utterance,sentence\nu,schöne Grüße\n".encode("cp1252"), place="manifest.csv")
    assert text.endswith("schöne Grüße\n") and "'schöne'" in note


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_excel_may_name_the_separator_first(tmp_path, line_end):
    path = tmp_path / "manifest.csv"
    path.write_bytes(line_end.join(["sep=;", "utterance;video", "u1;a.mp4"]).encode())
    (row,) = read_table(path, columns=COLUMNS, required=REQUIRED).rows
    assert (row.line, row.cells["video"]) == (3, "a.mp4")
