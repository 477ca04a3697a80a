"""A run folder as a bundle: every part checked before anything is loaded, so that a missing one is named at once.

The folder may come from a stranger: see `untrusted`.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.conversion.bundle import SEPARATE, Bundle
from avsc_tf.conversion.untrusted import MAX_WEIGHTS_BYTES, check_digests, check_regular, check_weights
from avsc_tf.conversion.writing import Origin
from avsc_tf.core.config import Config, load_saved_config
from avsc_tf.core.consent import read_consent
from avsc_tf.core.digests import bundle_digest, read_digests
from avsc_tf.core.errors import BundleError, ConfigError, RecordError
from avsc_tf.core.runs import config_path, consent_path, statistics_path, weights_path
from avsc_tf.features.statistics import Statistics
from avsc_tf.vocoder import NO_VOICE, VOCODERS, Vocoder

FEATURE_SECTIONS = ("time", "acoustic", "face", "alignment", "split")  # what the shared statistics depend on


def networks_for(
    vocoders: Sequence[Vocoder], modalities: str = "audio_visual", *, pictures: bool = True
) -> tuple[str, ...]:
    """The networks a conversion needs; Griffin-Lim does without the WaveNet, sound alone without the image network."""
    voice = ("wavenet",) if "wavenet" in vocoders and modalities != "visual" else ()
    return ("conversion", *voice, *(("image",) if pictures and modalities != "audio" else ()))


def modalities_of(run: Path, second: Path | None = None) -> str:
    """What the conversion network of a run takes and makes (`conversion.modalities`); `SEPARATE` of two runs.

    Raises:
        BundleError: no trained conversion network, or two that are not the paper's two baselines.
    """
    first = _conversion_config(run).conversion.modalities
    if second is None:
        return first
    other = _conversion_config(second).conversion.modalities
    if {first, other} != {"audio", "visual"}:
        raise BundleError(
            f"{run} and {second}: convert {first} and {other}. Two run folders go together only where one was trained "
            "with conversion.modalities audio and the other with visual; name a joint one alone."
        )
    return SEPARATE


def vocoders_of(modalities: str, asked: Sequence[Vocoder] | None, run: Path) -> list[Vocoder]:
    """The voices to be made: those asked for, the WaveNet by default, none where the networks only see.

    Raises:
        BundleError: a voice is asked for that the networks do not have.
    """
    if modalities == "visual":
        if asked:
            raise BundleError(
                f"{run}: has no voice (conversion.modalities: visual). Leave --vocoder out, or name the run folder of "
                "the audio baseline, too."
            )
        return [NO_VOICE]
    return [vocoder for vocoder in VOCODERS if vocoder in (asked or ["wavenet"])]


def check_bundle(run: Path, *, vocoders: Sequence[Vocoder] = VOCODERS, pictures: bool = True) -> Config:
    """Settings of a complete run folder: each network's own section, with the features they share.

    Args:
        vocoders, pictures: see `load_bundle`.

    Raises:
        BundleError: a part is missing or not what training sealed, or two networks were trained on different features.
        ConsentError: the target's consent has ended.
    """
    modalities = _conversion_config(run).conversion.modalities
    networks = networks_for(vocoders, modalities, pictures=pictures)
    for network in networks:
        _check_parts(run, network)
    for path in (statistics_path(run), consent_path(run)):
        if not path.is_file():
            command = _command(run, "conversion", " --consent FILE" if path == consent_path(run) else "")
            raise BundleError(f"{path}: missing from the bundle. Make it with {command}.")
        check_regular(run, path)
    check_digests(run, _parts(run, networks), read_digests(run))
    read_consent(consent_path(run)).check(consent_path(run))
    configs = {network: _read_config(run, network) for network in networks}
    for network in networks[1:]:
        _check_same_features(run, configs["conversion"], network, configs[network])
    _check_baseline(run, modalities, configs)
    _check_vgg(run, configs["conversion"])
    return dataclasses.replace(configs["conversion"], **{n: getattr(configs[n], n) for n in networks})


def load_bundle(
    run: Path, second: Path | None = None, *, vocoders: Sequence[Vocoder] = VOCODERS, pictures: bool = True
) -> Bundle:
    """Load the networks of a run, or of the paper's two baselines (section 4.4), each of one modality.

    Args:
        second: the other baseline's run folder.
        vocoders: those that will be asked for; without "wavenet" its network is neither needed nor loaded.
        pictures: False: the image network is neither needed nor loaded; nothing can be painted.

    Raises:
        BundleError: a part is missing, damaged, or does not fit the others.
        ConsentError: the target's consent has ended.
    """
    run = Path(run)
    if second is None:
        return _load_one(run, vocoders, pictures)
    modalities = modalities_of(run, second)
    runs = (run, second) if _conversion_config(run).conversion.modalities == "audio" else (second, run)
    audio, visual = (_load_one(one, vocoders, pictures) for one in runs)
    if statistics_path(runs[0]).read_bytes() != statistics_path(runs[1]).read_bytes():
        raise BundleError(f"{run} and {second}: were trained on different records. Train both on one records folder.")

    def convert(inputs: Any, training: bool = False) -> dict[str, Any]:
        return {**audio.conversion_net(inputs, training=training), **visual.conversion_net(inputs, training=training)}

    config = dataclasses.replace(audio.config, image=visual.config.image)
    origin = audio.origin.combine(visual.origin)
    return Bundle(config, audio.statistics, convert, visual.generator, audio.sampler, modalities, origin)


def load_conversion(run: Path) -> tuple[Config, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]]:
    """The joint conversion network of a run alone, and its settings: standardised mel and facial in and out.

    Raises:
        BundleError: it is missing, damaged, or takes one modality only.
    """
    config = _conversion_config(run)
    if config.conversion.modalities != "audio_visual":
        raise BundleError(
            f"{config_path(run, 'conversion')}: conversion.modalities is {config.conversion.modalities}; there is but "
            "one stream. Name the run folder of a joint network."
        )
    from avsc_tf.models.conversion_net import build_conversion_net

    check_digests(run, [config_path(run, "conversion"), weights_path(run, "conversion")], read_digests(run))
    model = _load(run, "conversion", lambda: build_conversion_net(config))

    def convert(mel: np.ndarray, facial: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        outputs = model({"mel": mel[np.newaxis], "facial": facial[np.newaxis]}, training=False)
        return np.asarray(outputs["mel"])[0], np.asarray(outputs["facial"])[0]

    return config, convert


def _load_one(run: Path, vocoders: Sequence[Vocoder], pictures: bool) -> Bundle:
    config = check_bundle(run, vocoders=vocoders, pictures=pictures)
    networks = networks_for(vocoders, config.conversion.modalities, pictures=pictures)
    from avsc_tf.models.conversion_net import build_conversion_net
    from avsc_tf.models.image_generator import build_image_generator

    sampler = None
    if "wavenet" in networks:
        from avsc_tf.models.wavenet import build_wavenet
        from avsc_tf.vocoder.sampler import WaveNetSampler

        sampler = WaveNetSampler(_load(run, "wavenet", lambda: build_wavenet(config)), config)
    has_image = "image" in networks
    return Bundle(
        config=config,
        statistics=_load_statistics(run, config),
        conversion_net=_load(run, "conversion", lambda: build_conversion_net(config)),
        generator=_load(run, "image", lambda: build_image_generator(config)) if has_image else None,
        sampler=sampler,
        origin=Origin(bundle_digest(run), (read_consent(consent_path(run)),)),
    )


def _conversion_config(run: Path) -> Config:
    if not Path(run).is_dir():
        raise BundleError(f"{run}: no such run folder. Train one with {_command(run, 'conversion')}.")
    _check_parts(run, "conversion")
    return _read_config(run, "conversion")


def _check_parts(run: Path, network: str) -> None:
    for part in (config_path(run, network), weights_path(run, network)):
        if not part.is_file():
            unless = " (or take --vocoder griffin-lim)" if network == "wavenet" else ""
            raise BundleError(f"{part}: missing from the bundle. Make it with {_command(run, network)}{unless}.")
    check_regular(run, config_path(run, network))
    check_regular(run, weights_path(run, network), max_bytes=MAX_WEIGHTS_BYTES)


def _parts(run: Path, networks: Sequence[str]) -> list[Path]:
    """All that is read for `networks`, the small ones first."""
    settings = [config_path(run, network) for network in networks]
    return [statistics_path(run), consent_path(run), *settings, *(weights_path(run, network) for network in networks)]


def _check_baseline(run: Path, modalities: str, configs: Mapping[str, Config]) -> None:
    """Voice and face must not wait for features that the conversion network does not make."""
    if modalities == "audio" and "wavenet" in configs and configs["wavenet"].wavenet.facial_channels:
        raise BundleError(
            f"{config_path(run, 'wavenet')}: wavenet.facial_channels is {configs['wavenet'].wavenet.facial_channels}, "
            f"but the run converts sound alone. Train it with 0: {_command(run, 'wavenet')}."
        )
    if modalities == "visual" and configs["image"].image.mel_input:
        raise BundleError(
            f"{config_path(run, 'image')}: image.mel_input is true, but the run converts the face alone. Train it "
            f"with false: {_command(run, 'image')}."
        )


def _check_vgg(run: Path, config: Config) -> None:
    """The one path in the settings: a pipe there would be waited for without end."""
    vgg = config.face.vgg_weights
    if vgg not in ("imagenet", "untrained") and Path(vgg).exists() and not Path(vgg).is_file():
        raise BundleError(f"{config_path(run, 'conversion')}: face.vgg_weights is {vgg}, which is no file of weights.")


def _command(run: Path, network: str, more: str = "") -> str:
    return f"`avsc train {network} --config CONFIG --records DIR --out {run}{more}`"


def _read_config(run: Path, network: str) -> Config:
    try:
        return load_saved_config(config_path(run, network))
    except ConfigError as error:
        raise BundleError(f"{error} The bundle's {network} settings are damaged: train it again.") from error


def _check_same_features(run: Path, reference: Config, network: str, config: Config) -> None:
    wanted, found = reference.as_dict(), config.as_dict()
    if reference.face.vgg_weights == "untrained" and config.seed != reference.seed:
        raise BundleError(
            f"{config_path(run, network)}: seed is {config.seed}, but the conversion network was trained with "
            f"{reference.seed}, and the untrained VGG-19 of their records has its weights from it. Train both on one "
            f"records folder: {_command(run, network)}."
        )
    for section in FEATURE_SECTIONS:
        for key, value in wanted[section].items():
            if found[section][key] != value:
                raise BundleError(
                    f"{config_path(run, network)}: {section}.{key} is {found[section][key]!r}, but the conversion "
                    f"network was trained with {value!r}. Train both on one records folder: {_command(run, network)}."
                )


def _load_statistics(run: Path, config: Config) -> Statistics:
    path = statistics_path(run)
    try:
        statistics = Statistics.load(path)
        for speaker in ("source", "target"):
            n_keypoints = 2 * config.face.n_keypoints
            for name, n in (("mel", config.acoustic.n_mels), ("vgg", config.face.n_vgg), ("keypoints", n_keypoints)):
                if len(statistics.get(speaker, name)[0]) != n:
                    raise RecordError(f"{path}: {speaker}/{name} has not the {n} dimensions of the settings.")
    except RecordError as error:
        raise BundleError(f"{error} Then train anew: {_command(run, 'conversion')}.") from error
    return statistics


def _load(run: Path, network: str, build: Callable[[], Any]) -> Any:
    path = weights_path(run, network)
    check_weights(path, build, settings=config_path(run, network))
    model = build()
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
