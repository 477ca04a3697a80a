"""The avsc command: every sub-command has help with an example, misuse is an error of the command line."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from avsc_tf.cli.commands import COMMANDS, main, make_parser
from avsc_tf.cli.machine import check_machine


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example(command: str, capsys) -> None:
    assert main(command, ["--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: avsc {command}") and f"avsc {command}" in text.partition("example")[2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "the following arguments are required: COMMAND"),
        ("convert a.mp4 --out b.mp4", "the following arguments are required: --bundle"),
        ("convert a.mp4 --out b.mp4 --bundle a b c", "--bundle takes one run folder, or two"),
        ("convert a.mp4 --out", "argument --out: expected one argument"),
        ("train image --config demo --out run", "--records is missing"),
        ("train image --config demo --out run --pretrain voices", "--pretrain is for the wavenet"),
        ("prepare --config demo --source a --target b --out c --workers -1", "--workers must not be negative"),
        ("prepare --config demo --source a --target b --out c --audio-track 0", "0 is not a whole number of at least"),
    ],
)
def test_misuse_ends_with_code_2(line: str, message: str, capsys) -> None:
    assert main(argv=line.split()) == 2
    assert message in capsys.readouterr().err


def test_an_empty_path_is_misuse(capsys) -> None:
    assert main(argv=["convert", "a.mp4", "--bundle", "run", "--out", ""]) == 2
    assert "argument --out: is empty; name a file or a folder" in capsys.readouterr().err


def test_user_errors_are_one_line(capsys) -> None:
    assert main(argv=["train", "image", "--config", "nothing", "--records", "r", "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: nothing: no such settings file. Name a file, or one of baseline_audio, ")
    assert error.count("\n") == 1


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_completion_knows_the_commands(shell: str, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        make_parser().parse_args(["--print-completion", shell])
    script = capsys.readouterr().out
    assert end.value.code == 0 and all(command in script for command in COMMANDS) and "--keep-features" in script


def test_help_and_import_load_no_tensorflow(root) -> None:
    code = (
        "import sys, avsc_tf as avsc, avsc_tf.cli.commands as m; avsc.load, avsc.load_config('demo'); m.make_parser()\n"
        "print([name for name in ('tensorflow', 'keras', 'librosa', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_doctor_reports_this_machine(capsys, monkeypatch) -> None:
    assert main(argv=["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"Python", "packages", "processor", "memory", "GPU", "codecs", "weights", "disk"} <= {
        finding["subject"] for finding in findings
    }
    monkeypatch.setenv("AVSC_TF_VECTORS", "avx2")
    notes = [finding.text for finding in check_machine() if finding.subject == "processor"]
    assert "sampled with avx2 (set by AVSC_TF_VECTORS)" in notes[0] and "no AVX-512" in notes[1]
    monkeypatch.setattr("avsc_tf.cli.machine._has_codec", lambda name, mode: name != "libx264")
    assert main(argv=["doctor"]) == 1
    assert "FAULT codecs: PyAV" in capsys.readouterr().out
