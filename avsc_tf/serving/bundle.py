"""A run folder as a bundle: every part checked before anything is loaded, so that a missing one is named at once."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avsc_tf.config import Config, load_saved_config
from avsc_tf.conversion.converter import VOCODERS, Converter, Vocoder
from avsc_tf.errors import BundleError, ConfigError, RecordError
from avsc_tf.features.statistics import Statistics
from avsc_tf.runs import config_path, statistics_path, weights_path

FEATURE_SECTIONS = ("time", "acoustic", "face", "alignment", "split")  # what the shared statistics depend on


def networks_for(vocoders: Sequence[Vocoder]) -> tuple[str, ...]:
    """The networks a conversion needs; Griffin-Lim does without the WaveNet."""
    return ("conversion", "wavenet", "image") if "wavenet" in vocoders else ("conversion", "image")


def check_bundle(run: Path, *, vocoders: Sequence[Vocoder] = VOCODERS) -> Config:
    """Settings of a complete run folder: each network's own section, with the features they share.

    Raises:
        BundleError: a part is missing, or two networks were trained on different features.
    """
    if not run.is_dir():
        raise BundleError(f"{run}: no such run folder. Train one with {_command(run, 'conversion')}.")
    networks = networks_for(vocoders)
    for network in networks:
        for part in (config_path(run, network), weights_path(run, network)):
            if not part.is_file():
                unless = " (or take --vocoder griffin-lim)" if network == "wavenet" else ""
                raise BundleError(f"{part}: missing from the bundle. Make it with {_command(run, network)}{unless}.")
    if not statistics_path(run).is_file():
        raise BundleError(
            f"{statistics_path(run)}: missing from the bundle. Make it with {_command(run, 'conversion')}."
        )
    configs = {network: _read_config(run, network) for network in networks}
    for network in networks[1:]:
        _check_same_features(run, configs["conversion"], network, configs[network])
    return dataclasses.replace(configs["conversion"], **{n: getattr(configs[n], n) for n in networks})


def load_bundle(run: Path, *, vocoders: Sequence[Vocoder] = VOCODERS) -> Converter:
    """Load the networks of a run.

    Args:
        vocoders: those that will be asked for; without "wavenet" its network is neither needed nor loaded.

    Raises:
        BundleError: a part is missing, damaged, or does not fit the others.
    """
    run = Path(run)
    config = check_bundle(run, vocoders=vocoders)
    from avsc_tf.models.conversion_net import build_conversion_net
    from avsc_tf.models.image_generator import build_image_generator

    sampler = None
    if "wavenet" in vocoders:
        from avsc_tf.conversion.sampler import WaveNetSampler
        from avsc_tf.models.wavenet import build_wavenet

        sampler = WaveNetSampler(_load(run, "wavenet", build_wavenet(config)), config)
    return Converter(
        config=config,
        statistics=_load_statistics(run),
        conversion_net=_load(run, "conversion", build_conversion_net(config)),
        generator=_load(run, "image", build_image_generator(config)),
        sampler=sampler,
    )


def _command(run: Path, network: str) -> str:
    return f"`python tools/train.py {network} --config CONFIG --records DIR --out {run}`"


def _read_config(run: Path, network: str) -> Config:
    try:
        return load_saved_config(config_path(run, network))
    except ConfigError as error:
        raise BundleError(f"{error} The bundle's {network} settings are damaged: train it again.") from error


def _check_same_features(run: Path, reference: Config, network: str, config: Config) -> None:
    wanted, found = reference.as_dict(), config.as_dict()
    for section in FEATURE_SECTIONS:
        for key, value in wanted[section].items():
            if found[section][key] != value:
                raise BundleError(
                    f"{config_path(run, network)}: {section}.{key} is {found[section][key]!r}, but the conversion "
                    f"network was trained with {value!r}. Train both on one records folder: {_command(run, network)}."
                )


def _load_statistics(run: Path) -> Statistics:
    try:
        return Statistics.load(statistics_path(run))
    except RecordError as error:
        raise BundleError(f"{error} Then train anew: {_command(run, 'conversion')}.") from error


def _load(run: Path, network: str, model: Any) -> Any:
    path = weights_path(run, network)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Keras only warns of layers that a file does not hold
            model.load_weights(path)
    except (OSError, ValueError, KeyError, UserWarning) as error:
        reason = str(error).strip().splitlines()[0][:200]
        raise BundleError(
            f"{path}: the weights do not fit {config_path(run, network)} ({reason}). "
            f"Make both again with {_command(run, network)}."
        ) from error
    return model
