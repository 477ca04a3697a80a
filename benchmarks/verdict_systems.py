"""The two systems that the verdict compares, as complete run folders: one joint network, and the paper's baseline.

Section 4.4 of the paper: the baseline is a network for the voice and one for the face, each without the other
modality and of stride 1. What no seed of a conversion network touches is trained once and copied: the WaveNet, which
must hear the mel alone to serve both, and the image network, which the baseline has without mel.

    RUNS/shared, RUNS/shared_visual        WaveNet and image network; image network without mel
    RUNS/trained/joint_0, audio_0, ...     each conversion network as it was trained, by its seed
    RUNS/joint_0, audio_0, visual_0, ...   complete run folders for tools/convert.py and tools/evaluate.py
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from conversion_common import with_settings

from avsc_tf.core.config import Config, load_saved_config, save_config
from avsc_tf.core.consent import consent_for, keep_consent
from avsc_tf.core.digests import seal
from avsc_tf.core.errors import ConfigError
from avsc_tf.core.runs import config_path, history_path, statistics_path, weights_path
from avsc_tf.corpus.reader import Records

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
    """Train the three conversion networks of a seed, or take them, and complete their run folders.

    Raises:
        ConfigError: what lies in the folders was trained with other settings.
    """
    folders = {name: runs / f"{name}_{seed}" for name in MODALITIES}
    for name, run in folders.items():
        shared = _shared_networks(config, records, runs, visual=name == "visual")
        settings = with_settings(config, seed, modalities=MODALITIES[name], **PLAIN)
        _train("conversion", settings, records, runs / "trained" / run.name)
        _copy_network(runs / "trained" / run.name, "conversion", run, records_seed=config.seed)
        for network in NETWORKS_OF[name]:
            _copy_network(shared, network, run, records_seed=config.seed)
        shutil.copyfile(statistics_path(records.folder), statistics_path(run))
        keep_consent(run, consent_for(records.folder, None, setting=config.consent))
        for network in NETWORKS_OF[name] + ("conversion",):
            seal(run, trained=network)
    return Systems(**folders)


def _shared_networks(config: Config, records: Records, runs: Path, *, visual: bool) -> Path:
    """WaveNet and image network for the networks that hear, an image network without mel for those that only see."""
    image = replace(config.image, preview_epochs=0, mel_input=config.image.mel_input and not visual)
    quiet = replace(config, image=image, wavenet=replace(config.wavenet, preview_epochs=0))
    run = runs / ("shared_visual" if visual else "shared")
    for network in NETWORKS_OF["visual" if visual else "joint"]:
        _train(network, quiet, records, run)
    return run


def _train(network: str, config: Config, records: Records, run: Path) -> None:
    from avsc_tf.training.conversion.train import train_conversion
    from avsc_tf.training.engine.run_folder import Claim, claim_folder
    from avsc_tf.training.image.train import train_image
    from avsc_tf.training.wavenet.train import train_wavenet

    trainings: dict[str, Callable[..., Any]] = {
        "conversion": train_conversion,
        "wavenet": train_wavenet,
        "image": train_image,
    }
    if claim_folder(run, network, config, resume=True) is not Claim.FINISHED:
        trainings[network](config, records, run, resume=True)


def _copy_network(folder: Path, network: str, run: Path, *, records_seed: int) -> None:
    """The weights last: where they are, all is.

    The settings of a complete run name the seed of its records, not that of its training: an untrained VGG-19 has its
    weights from there, and another one would describe another face.
    """
    trained, copied = weights_path(folder, network), weights_path(run, network)
    if copied.is_file() and copied.stat().st_mtime >= trained.stat().st_mtime:
        return
    save_config(replace(load_saved_config(config_path(folder, network)), seed=records_seed), config_path(run, network))
    for path in (history_path, weights_path):
        if path(folder, network).is_file():
            shutil.copyfile(path(folder, network), path(run, network))
