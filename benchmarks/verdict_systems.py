"""The two systems that the verdict compares, as complete run folders: one joint network, and the paper's baseline.

Section 4.4 of the paper: the baseline is a network for the voice and one for the face, each without the other
modality and of stride 1. What no seed of a conversion network touches is trained once and copied: the WaveNet, which
must hear the mel alone to serve both, and the image network, which the baseline has without mel.

    RUNS/shared, RUNS/shared_visual        WaveNet and image network; image network without mel
    RUNS/joint_0, audio_0, visual_0, ...   one folder a conversion network and seed, ready for tools/convert.py
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from conversion_common import trained, with_settings

from avsc_tf.config import Config
from avsc_tf.errors import ConfigError
from avsc_tf.records.reader import Records
from avsc_tf.runs import config_path, history_path, weights_path

PLAIN = {"loss_balance": "fixed", "modality_dropout": 0.0}  # what a network of one modality cannot have
NETWORKS_OF = {"joint": ("wavenet", "image"), "audio": ("wavenet",), "visual": ("image",)}
MODALITIES = {"joint": "audio_visual", "audio": "audio", "visual": "visual"}


@dataclass(frozen=True)
class Systems:
    """Run folders of one seed."""

    joint: Path
    audio: Path
    visual: Path

    @property
    def baseline(self) -> tuple[Path, Path]:
        return self.audio, self.visual


def check_settings(config: Config) -> None:
    """One WaveNet must serve both systems. Raises ConfigError where it also sees the face."""
    if config.wavenet.facial_channels or config.wavenet.train_features != "natural":
        raise ConfigError(
            f"wavenet.facial_channels is {config.wavenet.facial_channels}, wavenet.train_features "
            f"{config.wavenet.train_features}: the audio baseline has no face, and both systems share one WaveNet. "
            "Add --set wavenet.facial_channels=0 --set wavenet.train_features=natural."
        )


def make_systems(config: Config, records: Records, runs: Path, seed: int) -> Systems:
    """Train the three conversion networks of a seed, or take them, and complete their run folders."""
    folders = {name: runs / f"{name}_{seed}" for name in MODALITIES}
    for name, run in folders.items():
        shared = _shared_networks(config, records, runs, visual=name == "visual")
        trained(with_settings(config, seed, modalities=MODALITIES[name], **PLAIN), records, run)
        for network in NETWORKS_OF[name]:
            _copy_network(shared, network, run)
    return Systems(**folders)


def _shared_networks(config: Config, records: Records, runs: Path, *, visual: bool) -> Path:
    """WaveNet and image network for the networks that hear, an image network without mel for those that only see."""
    from avsc_tf.training.image import train_image
    from avsc_tf.training.wavenet import train_wavenet

    image = replace(config.image, preview_epochs=0, mel_input=config.image.mel_input and not visual)
    quiet = replace(config, image=image, wavenet=replace(config.wavenet, preview_epochs=0))
    run = runs / ("shared_visual" if visual else "shared")
    if not visual and not weights_path(run, "wavenet").is_file():
        train_wavenet(quiet, records, run, resume=True)
    if not weights_path(run, "image").is_file():
        train_image(quiet, records, run, resume=True)
    return run


def _copy_network(shared: Path, network: str, run: Path) -> None:
    """The weights last: where they are, all is."""
    if weights_path(run, network).is_file():
        return
    config_path(run, network).parent.mkdir(parents=True, exist_ok=True)
    for path in (config_path, history_path, weights_path):
        if path(shared, network).is_file():
            shutil.copyfile(path(shared, network), path(run, network))
