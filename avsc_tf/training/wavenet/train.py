"""Training of the WaveNet (paper sections 3.2 and 4.3) on the target's clips of prepared records.

`wavenet_pretraining` trains it before, on folders of plain speech.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from avsc_tf.core.config import Config
from avsc_tf.core.errors import ConfigError
from avsc_tf.core.runs import network_dir
from avsc_tf.corpus.reader import Records
from avsc_tf.datasets.recordings import Recording
from avsc_tf.datasets.target_clips import recordings_of_records
from avsc_tf.datasets.waveform import CropSampler, as_dataset
from avsc_tf.features.pitch import PACKAGED_PITCH, PitchEstimator
from avsc_tf.losses.waveform import ClassSurprise
from avsc_tf.models.wavenet import WaveNet, build_wavenet
from avsc_tf.training.engine.callbacks import Preview
from avsc_tf.training.engine.checkpoints import latest_checkpoint, restore_checkpoint, save_weights
from avsc_tf.training.engine.devices import ONE_DEVICE, Devices
from avsc_tf.training.engine.loop import History, adopt_average, fit
from avsc_tf.training.engine.mixed_precision import WAVENET_FLOAT32_LAYERS, for_training
from avsc_tf.training.engine.model import Supervised
from avsc_tf.training.engine.optimizers import adam
from avsc_tf.training.engine.run_folder import keep_statistics
from avsc_tf.training.wavenet.converted_features import converted_recordings
from avsc_tf.training.wavenet.previews import MakeSampler, speech_preview
from avsc_tf.training.wavenet.start import load_initial_weights

NETWORK = "wavenet"
VALIDATION_CROPS = 48
ADAM_BETA_2 = 0.99

Features = tuple[Sequence[Recording], Sequence[Recording] | None]  # to train on; the others of `mixed`


def train_wavenet(
    config: Config,
    records: Records,
    run: Path,
    *,
    resume: bool = False,
    init_from: str | Path | None = None,
    make_sampler: MakeSampler | None = None,
    dry_run: bool = False,
    devices: Devices = ONE_DEVICE,
) -> tuple[WaveNet, History]:
    """Train on the target's clips and write RUN/wavenet/.

    Args:
        records: from `corpus.reader.open_records`.
        init_from: weights to start from: "" none, "pretrained" the packaged ones, or a file; None asks the settings.
        make_sampler: `vocoder.sampler.WaveNetSampler`, to let the network speak a held-out clip after each epoch.
        dry_run: print what the training would be and write nothing (`training.engine.dry_run`).
        devices: to train on; every process of them makes the same call.

    Returns:
        The trained network and its history (empty where it had been trained before).

    Raises:
        ConfigError: `init_from` does not fit the settings; the run folder holds another training.
    """
    devices.check(config.wavenet, NETWORK)
    if not dry_run:
        devices.decide(lambda: keep_statistics(records.folder, run))
    keras.utils.set_random_seed(config.seed)
    estimator = PitchEstimator.load(PACKAGED_PITCH) if config.wavenet.pitch_input != "none" else None
    training, held_out = (_features_of_records(records, split, run, config, estimator) for split in ("train", "test"))
    mean, std = records.statistics.get("target", "mel")
    with devices.building():
        model = build_wavenet(config)
        model.mel_normalisation.set_statistics(mean, std)
        load_initial_weights(model, config.wavenet.init_from if init_from is None else init_from, config)
        model.mel_normalisation.set_run_statistics(mean, std)

    def standardise(mel: np.ndarray) -> np.ndarray:
        return ((mel - mean) / std).astype(np.float32)

    def crops(features: Features, *, noisy: bool) -> CropSampler:
        recordings, others = features
        return CropSampler(recordings, config, seed=config.seed, standardise=standardise, noisy=noisy, others=others)

    test_crops = crops(held_out, noisy=False) if len(held_out[0]) else None
    preview = speech_preview(model, held_out[0], config, make_sampler, standardise)
    options: dict[str, Any] = {"resume": resume, "preview": preview, "dry_run": dry_run, "devices": devices}
    return model, fit_wavenet(model, crops(training, noisy=True), test_crops, config, run, **options)


def _features_of_records(
    records: Records, split: str, run: Path, config: Config, estimator: PitchEstimator | None
) -> Features:
    """The recordings of a split with the features that `wavenet.train_features` names, and the others of `mixed`."""
    natural = recordings_of_records(records, split, config, estimator)
    if config.wavenet.train_features == "natural" or not natural:
        return natural, None
    converted = converted_recordings(natural, records, split, run, config, estimator)
    return (converted, None) if config.wavenet.train_features == "converted" else (natural, converted)


def wavenet_training(model: WaveNet, config: Config, *, total_steps: int) -> Supervised:
    """The network with its surprise as the loss and Adam, computing as `wavenet.compute_dtype` says."""
    net = config.wavenet
    trained = for_training(model, net.compute_dtype, lambda: build_wavenet(config), WAVENET_FLOAT32_LAYERS)
    surprise = ClassSurprise(n_classes=net.n_classes, n_mixtures=net.n_mixtures)
    training = Supervised(trained, surprise.figures, clip_norm=net.clip_norm, name="wavenet_training")
    training.compile(adam(net, net.learning_rate, total_steps=total_steps, beta_2=ADAM_BETA_2))
    return training


def export_average(config: Config, run: Path, out: Path) -> int:
    """Write the averaged weights of an unfinished training's last checkpoint; returns its finished epochs."""
    checkpoint = latest_checkpoint(network_dir(run, NETWORK) / "checkpoints")
    if checkpoint is None:
        raise ConfigError(f"{run}: holds no checkpoint of the WaveNet yet. Wait for its first one.")
    training = wavenet_training(build_wavenet(config), config, total_steps=1)
    progress = restore_checkpoint(checkpoint, training)
    adopt_average(training)
    save_weights(training.network, out)
    return progress.epoch


def fit_wavenet(
    model: WaveNet,
    crops: CropSampler,
    test_crops: CropSampler | None,
    config: Config,
    run: Path,
    *,
    resume: bool,
    preview: Preview | None,
    dry_run: bool = False,
    devices: Devices = ONE_DEVICE,
) -> History:
    """Train `model` (float32) on crops, computing in `wavenet.compute_dtype`; it then has the delivered weights."""
    net = config.wavenet
    steps = net.steps_per_epoch or math.ceil(crops.crops_in_one_pass / net.batch_size)
    with devices.building():
        training = wavenet_training(model, config, total_steps=steps * net.epochs)
    trained = training.network
    n_validation = math.ceil(VALIDATION_CROPS / net.batch_size)

    def preview_in_float32(finished_epochs: int, writer: Any) -> None:
        model.set_weights(trained.get_weights())
        if preview is not None:
            preview(finished_epochs, writer)

    history = fit(
        training,
        lambda epoch, step, share: as_dataset(crops, epoch, steps, start_batch=step, share=share),
        run=run,
        network=NETWORK,
        config=config,
        steps_per_epoch=steps,
        validation_data=as_dataset(test_crops, 0, n_validation) if test_crops else None,
        resume=resume,
        preview=preview if trained is model else preview_in_float32,
        dry_run=dry_run,
        devices=devices,
    )
    if trained is not model:
        model.set_weights(trained.get_weights())
    return history
