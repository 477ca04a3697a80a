"""What the tests of harmful bundles share."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from avsc_tf.core.config import Config

Small = Callable[..., Config]
Seal = Callable[[Path], Path]
ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
FORBIDDEN = {"load_model", "Lambda", "full_load", "unsafe_load", "enable_unsafe_deserialization"}


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


class Harm:
    """What a pickle would do when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (os.mkdir, (str(self.mark),))


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    change(tree)
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
