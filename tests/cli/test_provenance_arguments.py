"""The flags of the tools that convert."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from avsc_tf.cli.arguments import add_provenance, read_provenance
from avsc_tf.core.errors import ProvenanceError
from avsc_tf.provenance.code import PUBLIC_KEY
from avsc_tf.provenance.marking import Provenance

ROOT = Path(__file__).resolve().parents[2]


def parsed(*arguments: str) -> Provenance | None:
    parser = argparse.ArgumentParser()
    add_provenance(parser)
    return read_provenance(parser.parse_args(arguments))


def test_on_by_default(monkeypatch) -> None:
    assert parsed() == Provenance(None, None, None, PUBLIC_KEY)
    assert parsed("--without-provenance") is None
    monkeypatch.setenv("AVSC_TF_WATERMARK_KEY", "only ours")
    assert parsed("--timestamp-url", "http://127.0.0.1:9/").watermark_key == "only ours"


def test_half_a_pair_is_refused() -> None:
    with pytest.raises(ProvenanceError, match="go together"):
        parsed("--certificate", "x.pem")


@pytest.mark.parametrize("case", ["folder", "damaged", "permissions", "certificate"])
def test_the_tool_ends_with_one_line_before_anything_is_converted(tmp_path, case) -> None:
    folder, more = tmp_path / "keys", []
    if case == "folder":
        folder.write_text("in the way", encoding="utf-8")
    elif case == "certificate":
        more = ["--certificate", str(tmp_path / "none.pem"), "--private-key", str(tmp_path / "none.key")]
    else:
        folder.mkdir()
        (folder / "identity.pem").write_text("damaged", encoding="utf-8")
        (folder / "identity.pem").chmod(0o600 if case == "damaged" else 0o644)
    done = convert(tmp_path, folder, *more)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    expected = {
        "folder": f"error: {folder}/identity.pem: the key that signs converted videos cannot be made",
        "damaged": f"error: {folder}/identity.pem: holds no whole certificate",
        "permissions": f"error: {folder}/identity.pem: others may read this private key",
        "certificate": f"error: {tmp_path}/none.pem: cannot be read as PEM",
    }
    assert done.stderr.startswith(expected[case])


def convert(tmp_path: Path, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "tools" / "convert.py"), "a.mp4", "--bundle", str(tmp_path / "none")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "AVSC_TF_SIGNING_DIR": str(folder)}
    command += ["--out", str(tmp_path / "x.mp4"), *more]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
