"""What the converting process reports of a clip that it cannot convert."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from avsc_tf.conversion.bundle import Bundle
from avsc_tf.core.config import load_config
from avsc_tf.service import worker
from avsc_tf.service.worker import UNEXPECTED


class Said(list):
    """A channel that keeps its messages."""

    def say(self, **message: Any) -> None:
        self.append(message)

    def at(self, stage: str, share: float) -> None:
        """Stages are not reported."""


@pytest.mark.parametrize(
    ("raised", "kind", "error"),
    [
        (ValueError("shapes differ"), UNEXPECTED, "the server could not work on it; its own output says why"),
        (MemoryError(), "memory", "the upload needs more memory to convert than there is. Send a shorter clip."),
        (worker._CancelledError(), "cancelled", "cancelled"),
    ],
)
def test_each_kind_of_end(root: Path, tmp_path: Path, monkeypatch, capsys, raised, kind, error) -> None:
    bundle = Bundle(load_config(root / "configs" / "demo.yaml"), None, None, None)

    def read(clip: Path, **_: Any) -> Any:
        raise raised

    monkeypatch.setattr(bundle, "read", read)
    said = Said()
    job = {"clip": str(tmp_path / "a.mp4"), "output": str(tmp_path / "b.mp4"), "vocoder": "griffin-lim", "seed": 0}
    worker._convert(bundle, None, job, said)
    assert said == [{"error": error, "kind": kind}]
    assert ("unexpected ValueError" in capsys.readouterr().err) == (kind == UNEXPECTED)
