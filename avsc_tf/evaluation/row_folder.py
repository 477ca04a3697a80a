"""A row's finished videos in a folder of their own, each made once."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

MADE_FROM = "made_from.json"


@dataclass(frozen=True)
class RowFolder:
    """FOLDER/NAME.mp4; videos of another origin are removed when it is opened."""

    folder: Path
    origin: str  # digest of everything the videos depend on

    def __post_init__(self) -> None:
        stamp = self.folder / MADE_FROM
        if stamp.is_file() and json.loads(stamp.read_text(encoding="utf-8")) == self.origin:
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        stamp.write_text(json.dumps(self.origin), encoding="utf-8")

    def path(self, utterance: str) -> Path:
        return self.folder / f"{utterance}.mp4"

    def missing(self, utterances: Iterable[str]) -> list[str]:
        return [name for name in utterances if not self.path(name).is_file()]

    def files(self, utterances: Iterable[str]) -> dict[str, Path]:
        return {name: self.path(name) for name in utterances}
