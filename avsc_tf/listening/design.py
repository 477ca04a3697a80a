"""What a test is made of: clips under names that tell nothing, questions, and the private key that tells.

The paper's section 4.5: a page asks three questions about the naturalness and quality of a sample (sound alone, silent
picture, both) on a scale of 1 to 5, and three about which of two systems is closer to the target speaker.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from avsc_tf.core.errors import ListeningError
from avsc_tf.core.files import written_whole

MODALITIES = ("audio", "visual", "audiovisual")
SUFFIXES = {"audio": "a.m4a", "visual": "v.mp4", "audiovisual": "av.mp4"}
TARGET, SOURCE = "target", "source"  # natural recordings, rated as hidden anchors
KEY_NAME, SITE_NAME, MEDIA_NAME, PAGE_NAME = "key.json", "site", "media", "index.html"
KEY_VERSION = 1
MAX_PAGES = 50  # of a rater, as in the paper
PREFER_A, PREFER_B, NO_DIFFERENCE = 1, 2, 3

RATINGS = tuple(f"rate_{modality}" for modality in MODALITIES)
PREFERENCES = tuple(f"prefer_{modality}" for modality in MODALITIES)
COUNTS = ("count_audio", "count_visual")
HIGHEST = {**dict.fromkeys(RATINGS, 5), **dict.fromkeys(PREFERENCES, 3), **dict.fromkeys(COUNTS, 5)}


def modality_of(question: str) -> str:
    """`audio` of `rate_audio`."""
    return question.split("_")[1]


def media_name(clip: str, modality: str) -> str:
    """File of a clip (or check) in one modality, inside the media folder."""
    return f"{clip}-{SUFFIXES[modality]}"


@dataclass(frozen=True)
class Clip:
    """One utterance by one system (or a natural speaker), in all three modalities."""

    system: str
    utterance: str
    emotion: str
    sentence: str  # what is said: clips of one sentence in two moods share it, where it is known
    seconds: float


@dataclass(frozen=True)
class Check:
    """An attention check: how many beeps its sound has and how many flashes its picture."""

    beeps: int
    flashes: int
    seconds: float


@dataclass(frozen=True)
class Design:
    """A whole test. `clips` and `checks` by their opaque names."""

    test: str  # random name of this test: a database belongs to one test
    title: str
    seed: int
    n_pages: int  # most pages of a rater, checks among them
    loudness_lufs: float
    systems: tuple[str, ...]
    anchors: tuple[str, ...]
    clips: Mapping[str, Clip]
    checks: Mapping[str, Check]

    @property
    def rated(self) -> tuple[str, ...]:
        """Everything that is rated on the scale: systems, then natural recordings."""
        return self.systems + self.anchors

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The pairs of systems that are compared."""
        return list(itertools.combinations(self.systems, 2))

    @cached_property
    def by_utterance(self) -> dict[str, dict[str, str]]:
        """Clip names: utterance -> system -> opaque name."""
        table: dict[str, dict[str, str]] = {}
        for name, clip in self.clips.items():
            table.setdefault(clip.utterance, {})[clip.system] = name
        return table


def write_design(folder: Path, design: Design) -> None:
    """Write FOLDER/key.json beside, then rename it, readable by its owner alone: it tells which system is which."""
    path = folder / KEY_NAME
    text = json.dumps({"version": KEY_VERSION, **asdict(design)}, indent=1, ensure_ascii=False) + "\n"
    with written_whole(path) as part:
        part.touch(mode=0o600)
        part.write_text(text, encoding="utf-8")


def read_design(folder: Path) -> Design:
    """The test in FOLDER. Raises ListeningError where there is none, or one of another version."""
    path = folder / KEY_NAME
    if not path.is_file():
        raise ListeningError(f"{path}: no such file. Name the folder that avsc listen build wrote.")
    try:
        tree: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if tree.pop("version") != KEY_VERSION:
            raise ListeningError(f"{path}: made by another version of avsc_tf. Build the test again.")
        for name in ("systems", "anchors"):
            tree[name] = tuple(tree[name])
        tree["clips"] = {name: Clip(**clip) for name, clip in tree["clips"].items()}
        tree["checks"] = {name: Check(**check) for name, check in tree["checks"].items()}
        return Design(**tree)
    except (ValueError, KeyError, TypeError) as error:
        raise ListeningError(f"{path}: is not the key of a listening test ({error}). Build the test again.") from error
