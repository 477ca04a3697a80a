"""Text is read and written as UTF-8 whatever the locale: every call that opens a text names its encoding."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("avsc_tf", "tools", "benchmarks", "tests", "examples")
MODE = re.compile(r"[rwxabt+]{1,4}")
PATH_OPEN_ARGUMENTS = {"mode", "buffering", "errors", "newline"}
ENCODING_POSITION = {"read_text": 0, "write_text": 1}


def opens_text_without_encoding(call: ast.Call) -> bool:
    """Whether the call opens a text in the locale's encoding.

    `open` as a method is `Path.open` where its first argument is a mode or missing; of `os`, `av`, `zipfile` and others
    the first argument is a name.
    """
    given = {keyword.arg for keyword in call.keywords}
    if "encoding" in given or None in given:  # None: **keywords
        return False
    if isinstance(call.func, ast.Attribute) and call.func.attr in ENCODING_POSITION:
        return len(call.args) <= ENCODING_POSITION[call.func.attr]
    if isinstance(call.func, ast.Name) and call.func.id == "open":
        return "b" not in mode_of(call, position=1, default="r")
    if isinstance(call.func, ast.Attribute) and call.func.attr == "open":
        is_path = given <= PATH_OPEN_ARGUMENTS and (
            not call.args or bool(MODE.fullmatch(mode_of(call, position=0, default="")))
        )
        return is_path and "b" not in mode_of(call, position=0, default="r")
    if isinstance(call.func, ast.Attribute) and call.func.attr == "fdopen":
        return "b" not in mode_of(call, position=1, default="r")
    if isinstance(call.func, ast.Attribute) and call.func.attr in ("NamedTemporaryFile", "TemporaryFile"):
        return "b" not in mode_of(call, position=0, default="w+b")
    return False


def mode_of(call: ast.Call, *, position: int, default: str) -> str:
    """The mode where it is written out; another expression counts as no mode."""
    named = [keyword.value for keyword in call.keywords if keyword.arg == "mode"]
    node = named[0] if named else call.args[position] if len(call.args) > position else ast.Constant(default)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def faults_of(source: str) -> list[int]:
    """Lines of the calls without an encoding."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    return sorted(call.lineno for call in calls if opens_text_without_encoding(call))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_text_names_its_encoding(folder: str) -> None:
    paths = sorted((ROOT / folder).rglob("*.py"))
    wrong = [f"{path.relative_to(ROOT)}:{n}" for path in paths for n in faults_of(path.read_text(encoding="utf-8"))]
    assert not wrong, f"name encoding='utf-8' at {', '.join(wrong)}"


@pytest.mark.parametrize(
    "code, is_fault",
    [
        ("path.read_text()", True),
        ("path.read_text('ascii')", False),
        ("path.write_text(text)", True),
        ("path.write_text(text, encoding='utf-8')", False),
        ("open(path)", True),
        ("open(path, 'rb')", False),
        ("path.open()", True),
        ("path.open('a', newline='')", True),
        ("path.open(mode='w')", True),
        ("path.open('w', encoding='utf-8')", False),
        ("path.open('xb')", False),
        ("av.open(str(path), 'w')", False),
        ("archive.open(info)", False),
        ("os.fdopen(number, 'w')", True),
        ("tempfile.TemporaryFile()", False),
        ("tempfile.NamedTemporaryFile('w')", True),
    ],
)
def test_the_search_itself(code: str, is_fault: bool) -> None:
    assert bool(faults_of(code)) is is_fault
