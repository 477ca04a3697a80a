"""Training of the WaveNet (paper sections 3.2 and 4.3): pretraining on many voices, fine-tuning on the target.

`train_wavenet` takes the target's clips of prepared records, with their facial features. `pretrain_wavenet` takes
folders of plain speech: its mel is natural log, its facial input is absent (zeros, which the network cannot notice).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from avsc_tf.config import Config
from avsc_tf.datasets.recordings import (
    Recording,
    find_recordings,
    is_held_out,
    read_recordings,
    recordings_of_records,
    with_side_information,
)
from avsc_tf.datasets.waveform import CropSampler, as_dataset
from avsc_tf.errors import ConfigError
from avsc_tf.features.pitch import HIGHEST_F0_HZ, LOWEST_F0_HZ, PACKAGED_PITCH, PitchEstimator
from avsc_tf.losses.waveform import ClassSurprise
from avsc_tf.models.wavenet import WaveNet, build_wavenet
from avsc_tf.records.reader import Records
from avsc_tf.runs import network_dir
from avsc_tf.timebase import Timebase
from avsc_tf.training.callbacks import Preview
from avsc_tf.training.checkpoints import (
    build_optimizers,
    latest_checkpoint,
    load_weights,
    restore_checkpoint,
    save_weights,
)
from avsc_tf.training.pitch import train_pitch_estimator
from avsc_tf.training.run_folder import keep_statistics
from avsc_tf.training.supervised import History, adopt_average, fit, learning_rate

MakeSampler = Callable[[WaveNet, Config], Any]  # training imports no stage after it, so the tools hand this in

NETWORK = "wavenet"
PREVIEW_SECONDS = 2.0
CACHE_NAME = "recordings.npz"
PITCH_NAME = "pitch.npz"
PACKAGED_WEIGHTS = PACKAGED_PITCH.with_name("wavenet_small.weights.h5")
CHECKPOINT_SECONDS = 150.0
VALIDATION_CROPS = 48
ADAM_BETA_2 = 0.99
PITCH_TRAINING_STEPS = 2500
QUIET_NATS = 2.8  # 24 dB


def train_wavenet(
    config: Config,
    records: Records,
    run: Path,
    *,
    resume: bool = False,
    init_from: str | Path | None = None,
    make_sampler: MakeSampler | None = None,
) -> tuple[WaveNet, History]:
    """Train on the target's clips and write RUN/wavenet/.

    Args:
        records: from `records.reader.open_records`.
        init_from: weights to start from: "" none, "pretrained" the packaged ones, or a file; None asks the settings.
        make_sampler: `conversion.sampler.WaveNetSampler`, to let the network speak a held-out clip after each epoch.

    Returns:
        The trained network and its history (empty where it had been trained before).

    Raises:
        ConfigError: `init_from` does not fit the settings; the run folder holds another training.
    """
    keep_statistics(records.folder, run)
    keras.utils.set_random_seed(config.seed)
    estimator = PitchEstimator.load(PACKAGED_PITCH) if config.wavenet.pitch_input != "none" else None
    training, held_out = (recordings_of_records(records, split, config, estimator) for split in ("train", "test"))
    mean, std = records.statistics.get("target", "mel")
    model = build_wavenet(config)
    model.mel_normalisation.set_statistics(mean, std)
    load_initial_weights(model, config.wavenet.init_from if init_from is None else init_from)
    model.mel_normalisation.set_run_statistics(mean, std)

    def standardise(mel: np.ndarray) -> np.ndarray:
        return ((mel - mean) / std).astype(np.float32)

    crops = CropSampler(training, config, seed=config.seed, standardise=standardise)
    test_crops = (
        CropSampler(held_out, config, seed=config.seed, standardise=standardise, noisy=False) if held_out else None
    )
    preview = _speech_preview(model, held_out, config, make_sampler, standardise)
    return model, _fit(model, crops, test_crops, config, run, resume=resume, preview=preview)


def pretrain_wavenet(
    config: Config,
    folders: Sequence[Path],
    run: Path,
    *,
    resume: bool = False,
    init_from: str | Path | None = None,
    make_sampler: MakeSampler | None = None,
) -> tuple[WaveNet, History]:
    """Train on all speech in `folders` (see `find_recordings`) and write RUN/wavenet/.

    Levels are varied, so that any recording's level will do. Where no pitch estimator is packaged, one is trained
    first and written to RUN/wavenet/pitch.npz.
    """
    keras.utils.set_random_seed(config.seed)
    paths = find_recordings(folders)
    recordings = read_recordings(paths, config, cache=run / CACHE_NAME)
    flags = [is_held_out(path, config) for path in paths]
    training = [r for r, flag in zip(recordings, flags, strict=True) if not flag]
    held_out = [r for r, flag in zip(recordings, flags, strict=True) if flag]
    estimator = _pitch_estimator(config, training, run) if config.wavenet.pitch_input != "none" else None
    training, held_out = (with_side_information(part, config, estimator) for part in (training, held_out))
    model = build_wavenet(config)
    frames = np.concatenate([r.mel for r in training])
    model.mel_normalisation.set_statistics(frames.mean(0), frames.std(0) + 0.1)
    load_initial_weights(model, init_from or "")
    crops = CropSampler(training, config, seed=config.seed, vary_level=True)
    test_crops = CropSampler(held_out, config, seed=config.seed, noisy=False) if held_out else None
    preview = _speech_preview(model, held_out, config, make_sampler, None)
    return model, _fit(model, crops, test_crops, config, run, resume=resume, preview=preview)


def compile_wavenet(model: WaveNet, config: Config, *, total_steps: int) -> None:
    """Cross-entropy in nats a sample; Adam with clipped gradients and, by setting, averaged weights."""
    net = config.wavenet
    rate = learning_rate(net.learning_rate, net.lr_schedule, total_steps=total_steps, warmup_steps=net.warmup_steps)
    averaging = {"use_ema": True, "ema_momentum": net.ema_decay} if net.ema_decay else {}
    loss = ClassSurprise(n_classes=net.n_classes, n_mixtures=net.n_mixtures)
    model.compile(
        optimizer=keras.optimizers.Adam(rate, beta_2=ADAM_BETA_2, global_clipnorm=net.clip_norm or None, **averaging),
        loss=loss,
        metrics=[keras.metrics.MeanMetricWrapper(loss.bits, name="bits")],
        jit_compile=net.jit_compile,
    )


def load_initial_weights(model: WaveNet, init_from: str | Path) -> None:
    """Raises ConfigError where the file is missing or belongs to another network."""
    if not init_from:
        return
    path = PACKAGED_WEIGHTS if str(init_from) == "pretrained" else Path(init_from)
    if not path.is_file():
        raise ConfigError(f"wavenet.init_from: {path} does not exist. Name a weights file, `pretrained`, or nothing.")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # Keras leaves what it cannot match at random, with a warning only
        try:
            load_weights(model, path)
        except UserWarning as warning:
            raise ConfigError(f"{path}: holds another network than these settings make ({warning}).") from warning


def export_average(config: Config, run: Path, out: Path) -> int:
    """Write the averaged weights of an unfinished training's last checkpoint; returns its finished epochs."""
    checkpoint = latest_checkpoint(network_dir(run, NETWORK) / "checkpoints")
    if checkpoint is None:
        raise ConfigError(f"{run}: holds no checkpoint of the WaveNet yet. Wait for its first one.")
    model = build_wavenet(config)
    compile_wavenet(model, config, total_steps=1)
    build_optimizers(model)
    epoch, _ = restore_checkpoint(checkpoint, model)
    adopt_average(model)
    save_weights(model, out)
    return epoch


def _speech_preview(
    model: WaveNet,
    recordings: Sequence[Recording],
    config: Config,
    make_sampler: MakeSampler | None,
    standardise: Callable[[np.ndarray], np.ndarray] | None,
) -> Preview | None:
    """The first seconds of a held-out recording and of its copy by the network, for TensorBoard's Audio page."""
    if make_sampler is None or not recordings:
        return None
    timebase = Timebase.from_config(config.time).at_rate(config.wavenet.sample_rate_hz)
    recording = recordings[0]
    n_video = min(timebase.video_frames_in(len(recording.waveform)), round(PREVIEW_SECONDS * timebase.video_fps))
    mel = recording.mel[: timebase.mel_frames_in(n_video)]
    facial = None if recording.facial is None else recording.facial[:n_video]
    natural = recording.waveform[: timebase.samples_in(n_video)]

    def show(finished_epochs: int, writer: Any) -> None:
        fed = mel if standardise is None else standardise(mel)
        facials = None if facial is None else [facial]
        spoken = make_sampler(model, config).generate([fed], facials, seed=config.seed)[0]
        with writer.as_default(step=finished_epochs):
            for name, waveform in (("natural", natural), ("wavenet", spoken)):
                audio = np.clip(waveform, -1.0, 1.0)[None, :, None]  # [clips, samples, channels]
                tf.summary.audio(name, audio, timebase.sample_rate_hz)

    return show


def _fit(
    model: WaveNet,
    crops: CropSampler,
    test_crops: CropSampler | None,
    config: Config,
    run: Path,
    *,
    resume: bool,
    preview: Preview | None,
) -> History:
    net = config.wavenet
    steps = net.steps_per_epoch or math.ceil(crops.crops_in_one_pass / net.batch_size)
    compile_wavenet(model, config, total_steps=steps * net.epochs)
    n_validation = math.ceil(VALIDATION_CROPS / net.batch_size)
    return fit(
        model,
        lambda epoch: as_dataset(crops, epoch, steps),
        run=run,
        network=NETWORK,
        config=config,
        epochs=net.epochs,
        steps_per_epoch=steps,
        validation_data=as_dataset(test_crops, 0, n_validation) if test_crops else None,
        resume=resume,
        preview=preview,
        checkpoint_seconds=CHECKPOINT_SECONDS,
    )


def _pitch_estimator(config: Config, training: Sequence[Recording], run: Path) -> PitchEstimator:
    if PACKAGED_PITCH.is_file():
        return PitchEstimator.load(PACKAGED_PITCH)
    path = network_dir(run, NETWORK) / PITCH_NAME
    if path.is_file():
        return PitchEstimator.load(path)
    labels = [_f0_label(r, config) for r in tqdm(training, desc="pitch labels", unit="file")]
    estimator = train_pitch_estimator([r.mel for r in training], labels, steps=PITCH_TRAINING_STEPS, seed=config.seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    estimator.save(path)
    return estimator


def _f0_label(recording: Recording, config: Config) -> np.ndarray:
    """True F0 where the recording brings it, else pYIN's (Mauch & Dixon, 2014); 0 where unvoiced.

    In the noise of a quiet room pYIN reports its lowest pitch, so that and frames far below the loudest are no speech.
    """
    if recording.f0_hz is not None:
        return np.pad(recording.f0_hz, (0, len(recording.mel) - len(recording.f0_hz)))
    import librosa

    rate_hz = config.wavenet.sample_rate_hz
    f0_hz, voiced, _ = librosa.pyin(
        recording.waveform,
        fmin=LOWEST_F0_HZ,
        fmax=HIGHEST_F0_HZ,
        sr=rate_hz,
        frame_length=1024 * rate_hz // 16000,
        hop_length=len(recording.waveform) // len(recording.mel),
    )
    level = recording.mel.max(axis=1)  # natural log of the strongest band
    loud = level > np.percentile(level, 98) - QUIET_NATS
    f0_hz, voiced = f0_hz[: len(level)], voiced[: len(level)]
    return np.where(voiced & loud & (f0_hz > 1.04 * LOWEST_F0_HZ), f0_hz, 0.0).astype(np.float32)
