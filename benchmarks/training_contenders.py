"""Who takes part in training.py: our training step and PyTorch's, on one batch made up once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter, process_time
from typing import Any

import numpy as np
import tensorflow as tf

from avsc_tf.core.config import Config
from avsc_tf.corpus.reader import Records
from avsc_tf.datasets.conversion import window_frames, windows
from avsc_tf.datasets.faces import frames
from avsc_tf.datasets.target_clips import recordings_of_records
from avsc_tf.datasets.waveform import CropSampler, as_dataset
from avsc_tf.models.conversion_net import build_conversion_net
from avsc_tf.models.image_generator import build_image_generator
from avsc_tf.models.wavenet import build_wavenet
from avsc_tf.training.conversion.train import conversion_training
from avsc_tf.training.engine.interruption import Interruption
from avsc_tf.training.engine.model import TrainingModel
from avsc_tf.training.engine.steps import Execution
from avsc_tf.training.image.train import build_gan
from avsc_tf.training.wavenet.train import ADAM_BETA_2, wavenet_training

TOTAL_STEPS = 1000  # of the schedules, which are constant at the paper's size
Batch = Any


@dataclass
class Contender:
    """One way of taking a training step."""

    step: Callable[[], Any]

    def turn(self) -> tuple[float, float]:
        """Seconds of one step, by the clock and of all cores together; it has ended when its losses are there."""
        clock, cores = perf_counter(), process_time()
        self.step()
        return perf_counter() - clock, process_time() - cores


def with_settings(config: Config, network: str, **changes: Any) -> Config:
    return replace(config, **{network: replace(getattr(config, network), **changes)})


def make_batch(config: Config, network: str) -> Batch:
    """A batch as training meets it; values of mean 0 and deviation 1."""
    rng = np.random.default_rng(config.seed)

    def normal(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    per, n_mels, n_facial = (
        config.timebase.mel_per_video,
        config.acoustic.n_mels,
        config.face.n_facial,
    )
    size = getattr(config, network).batch_size
    if network == "conversion":
        window = window_frames(config)
        return tuple(
            {"mel": normal(size, per * window, n_mels), "facial": normal(size, window, n_facial)} for _ in "io"
        )
    if network == "image":
        side = config.image.size_px
        images = np.tanh(normal(size, side, side, 3))
        mouth = np.zeros((size, side, side, 1), np.float32)
        return {"mel": normal(size, per, n_mels), "facial": normal(size, n_facial)}, images, mouth
    net, timebase = config.wavenet, config.timebase.at_rate(config.wavenet.sample_rate_hz)
    video = round(net.crop_seconds * timebase.video_fps)
    n_samples = timebase.samples_in(video)
    inputs = {"waveform": np.tanh(normal(size, n_samples)), "mel": normal(size, per * video, n_mels)}
    classes = rng.integers(0, net.n_classes, (size, n_samples)).astype(np.int32)
    return {**inputs, "facial": normal(size, video, n_facial)}, classes


def our_training(config: Config, network: str) -> TrainingModel:
    """The model that `avsc train` trains."""
    if network == "conversion":
        return conversion_training(build_conversion_net(config), config, total_steps=TOTAL_STEPS)
    if network == "image":
        return build_gan(config, build_image_generator(config), total_steps=TOTAL_STEPS)
    return wavenet_training(build_wavenet(config), config, total_steps=TOTAL_STEPS)


def ours(config: Config, network: str, batch: Batch) -> Contender:
    """The step of `training.engine.steps`, as the settings have it."""
    training = our_training(config, network)
    execution = Execution(training, getattr(config, network), Interruption())
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    calls = execution.run(dataset, 10**9)
    return Contender(lambda: next(calls))


def pytorch(config: Config, network: str, batch: Batch, *, bfloat16: bool, compiled: bool, n_threads: int) -> Contender:
    """The same network, losses and optimizer in PyTorch. Raises ImportError where it is not installed."""
    import torch
    import training_pytorch as peer

    torch.set_num_threads(n_threads)
    training, settings = our_training(config, network), getattr(config, network)
    build = torch.compile if compiled else lambda module: module
    inputs = {key: peer.tensor(value) for key, value in batch[0].items()}
    betas = (0.9, 0.999)
    if network == "conversion":
        net = peer.PyTorchConversion(training.network)
        losses = peer.conversion_losses(build(net), settings.acoustic_loss_weight)
        descents = {"loss": (net, settings.learning_rate)}
        tensors: Any = (inputs, {key: peer.tensor(value) for key, value in batch[1].items()})
    elif network == "wavenet":
        net, betas = peer.PyTorchWaveNet(training.network), (0.9, ADAM_BETA_2)
        losses = peer.wavenet_losses(build(net))
        descents = {"loss": (net, settings.learning_rate)}
        tensors = (inputs, peer.tensor(batch[1]).long())
    else:
        net, other = peer.PyTorchGenerator(training.generator), peer.PyTorchDiscriminator(training.discriminator)
        net, other = (module.to(memory_format=torch.channels_last) for module in (net, other))
        losses = peer.gan_losses(build(net), build(other), settings.adversarial_weight, settings.l1_weight)
        descents = {
            "generator/loss": (net, settings.generator_learning_rate),
            "discriminator/loss": (other, settings.discriminator_learning_rate),
        }
        tensors = (inputs, peer.tensor(batch[1]).permute(0, 3, 1, 2))
        peer.copy_weights(training.discriminator, other)
    peer.copy_weights(training.network, net)
    options = {"clip_norm": settings.clip_norm, "ema_decay": settings.ema_decay, "bfloat16": bfloat16}
    stepping = peer.PyTorchTraining(losses, descents, betas=betas, **options)
    return Contender(partial(stepping.step, tensors))


def records_batches(records: Records, config: Config, network: str) -> Any:
    """Batches of prepared records as training takes them: (epoch, first batch, share) -> tf.data."""
    if network != "wavenet":
        batches = windows if network == "conversion" else frames
        return lambda epoch, step, share: batches(
            records, "train", config, epoch=epoch, seed=config.seed, start_batch=step, share=share
        )
    mean, std = records.statistics.get("target", "mel")
    recordings = recordings_of_records(records, "train", config, None)
    crops = CropSampler(recordings, config, seed=config.seed, standardise=lambda mel: (mel - mean) / std)
    n_steps = crops.crops_in_one_pass // config.wavenet.batch_size
    return lambda epoch, step, share: as_dataset(crops, epoch, n_steps, start_batch=step, share=share)
