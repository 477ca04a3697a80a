"""What the tools share: errors, exit codes, and what a terminal can show."""

from __future__ import annotations

import io
import sys

from avsc_tf.cli.running import run_tool


def test_a_terminal_without_unicode_ends_nothing(monkeypatch):
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding="ascii", write_through=True))
    assert run_tool(lambda: print("Größe")) == 0
    assert screen.getvalue() == b"Gr\\xf6\\xdfe\n"
