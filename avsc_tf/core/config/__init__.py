"""Settings: frozen dataclasses read from strict YAML.

A file may start from another one (`include: paper.yaml`) and holds only its differences. Every key must be known,
every value of its declared type, and the values are checked against each other here, so that no stage has to.
Numbers that follow from others are properties, never settings. `configs/paper.yaml` holds every value with the
section of the paper it comes from, or the words "not from the paper".
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from avsc_tf.core.config.reading import apply_override, build, dump_tree, find_settings, read_plain_tree, read_tree
from avsc_tf.core.config.rules import check
from avsc_tf.core.config.sections import (
    AcousticConfig,
    AlignmentConfig,
    ConversionNetConfig,
    DemoConfig,
    DoctorConfig,
    FaceConfig,
    ImageConfig,
    RecordsConfig,
    SplitConfig,
    SyncConfig,
    TimeConfig,
    TrainingConfig,
    WaveNetConfig,
)
from avsc_tf.core.errors import ConfigError
from avsc_tf.core.files import write_atomically
from avsc_tf.core.timebase import Timebase

__all__ = [
    "AcousticConfig",
    "AlignmentConfig",
    "Config",
    "ConversionNetConfig",
    "DemoConfig",
    "DoctorConfig",
    "FaceConfig",
    "ImageConfig",
    "RecordsConfig",
    "SplitConfig",
    "SyncConfig",
    "TimeConfig",
    "TrainingConfig",
    "WaveNetConfig",
    "config_from_dict",
    "config_text",
    "load_config",
    "load_saved_config",
    "save_config",
]


@dataclass(frozen=True)
class Config:
    """All settings of a run. `fingerprint` names those that prepared records depend on."""

    seed: int
    time: TimeConfig
    acoustic: AcousticConfig
    face: FaceConfig
    sync: SyncConfig
    alignment: AlignmentConfig
    split: SplitConfig
    records: RecordsConfig
    conversion: ConversionNetConfig
    wavenet: WaveNetConfig
    image: ImageConfig
    doctor: DoctorConfig
    demo: DemoConfig
    consent: Literal["record", "own_responsibility"] = "record"  # whether a training asks for the target's record

    RECORD_SECTIONS = ("time", "acoustic", "face", "sync", "alignment", "split")

    @cached_property
    def timebase(self) -> Timebase:
        """Frames and samples of a run; computed once."""
        return Timebase.from_config(self.time)

    def as_dict(self) -> dict[str, Any]:
        """Plain nested dictionary (tuples become lists), as written beside records and weights."""
        return json.loads(json.dumps(dataclasses.asdict(self)))

    @property
    def record_settings(self) -> dict[str, Any]:
        """The settings that decide the bytes of a records folder."""
        tree = self.as_dict()
        sections = {name: tree[name] for name in self.RECORD_SECTIONS}
        if not self.sync.audio_track:
            del sections["sync"]["audio_track"]  # newer than many records folders, which all took the default track
        return {"seed": self.seed, "image": {"size_px": self.image.size_px}, **sections}

    @property
    def fingerprint(self) -> str:
        """Digest of `record_settings`."""
        text = json.dumps(self.record_settings, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Read a YAML file, its includes and `section.key=value` overrides.

    Args:
        path: a YAML file, or the name of a shipped one, for example "demo" or "paper".

    Raises:
        ConfigError: missing file, no mapping, unknown key, wrong type, contradicting values.
    """
    path = find_settings(path)
    tree = read_tree(path)
    for text in overrides:
        apply_override(tree, text)
    try:
        return config_from_dict(tree, place=str(path))
    except ConfigError as error:
        for text in overrides:
            wrong = f"{path}: {text.partition('=')[0].strip()} "
            if str(error).startswith(wrong):
                raise ConfigError(f"--set {text}: {str(error).removeprefix(f'{path}: ')}") from error
        raise


def load_saved_config(path: Path) -> Config:
    """The resolved settings beside weights; those that are newer than the file have the value of before they existed.

    The file may be a stranger's: it is read as `reading.read_plain_tree` says, without includes.

    Raises:
        ConfigError: as `load_config`.
    """
    return config_from_dict(read_plain_tree(path), place=str(path), complete=False)


def config_from_dict(tree: Mapping[str, Any], *, place: str = "settings", complete: bool = True) -> Config:
    """Build and check a `Config` from plain values (inverse of `Config.as_dict`); `complete` as in `reading.build`."""
    config = build(Config, tree, place=place, complete=complete)
    check(config, place)
    return config


def save_config(config: Config, path: Path) -> None:
    """Write the resolved settings, so that they travel with what was made from them."""
    write_atomically(path, config_text(config))


def config_text(config: Config) -> str:
    """The resolved settings as `save_config` writes them."""
    return dump_tree(config.as_dict(), default_flow_style=None)
