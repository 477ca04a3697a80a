"""Training of the image reconstruction network on the target's frames (paper sections 3.3, 4.3)."""

from __future__ import annotations

from pathlib import Path

import keras

from avsc_tf.core.config import Config
from avsc_tf.core.errors import RecordError
from avsc_tf.corpus.reader import Records
from avsc_tf.datasets.faces import batches_per_epoch, frames
from avsc_tf.models.image_discriminator import build_image_discriminator
from avsc_tf.models.image_generator import ImageGenerator, build_image_generator
from avsc_tf.training.engine.checkpoints import load_weights
from avsc_tf.training.engine.devices import ONE_DEVICE, Devices
from avsc_tf.training.engine.loop import History, fit
from avsc_tf.training.engine.mixed_precision import DISCRIMINATOR_FLOAT32_LAYERS, GENERATOR_FLOAT32_LAYERS, for_training
from avsc_tf.training.engine.optimizers import adam
from avsc_tf.training.engine.run_folder import keep_statistics
from avsc_tf.training.image.appearance import start_in_closed_form
from avsc_tf.training.image.gan import ImageGan
from avsc_tf.training.image.previews import image_preview

NETWORK = "image"


def train_image(
    config: Config,
    records: Records,
    run: Path,
    *,
    resume: bool = False,
    init_from: Path | None = None,
    dry_run: bool = False,
    devices: Devices = ONE_DEVICE,
) -> tuple[ImageGenerator, History]:
    """Train generator and discriminator of `config.image` into RUN/image; the generator is what is kept.

    Args:
        init_from: generator weights to start from.
        dry_run: print what the training would be and write nothing (`training.engine.dry_run`).
        devices: to train on; every process of them makes the same call.

    Returns:
        The trained generator and its history (empty where it had been trained before).
    """
    devices.check(config.image, NETWORK)
    if not dry_run:
        devices.decide(lambda: keep_statistics(records.folder, run))
    keras.utils.set_random_seed(config.seed)
    steps = batches_per_epoch(records, "train", config)
    with devices.building():
        generator = build_image_generator(config)
        if init_from is not None:
            load_weights(generator, init_from)
        elif not dry_run:
            start_in_closed_form(generator, config, records)
        gan = build_gan(config, generator, total_steps=steps * config.image.epochs)
    try:
        held_out = frames(records, "test", config, epoch=0, seed=config.seed)
    except RecordError:  # fewer held-out frames than a batch: train without scores
        held_out = None
    history = fit(
        gan,
        lambda epoch, step, share: frames(
            records, "train", config, epoch=epoch, seed=config.seed, start_batch=step, share=share
        ),
        run=run,
        network=NETWORK,
        config=config,
        steps_per_epoch=steps,
        validation_data=held_out,
        resume=resume,
        preview=image_preview(gan.network, records, config),
        dry_run=dry_run,
        devices=devices,
    )
    generator.set_weights(gan.network.get_weights())
    return generator, history


def build_gan(config: Config, generator: ImageGenerator, *, total_steps: int) -> ImageGan:
    """The generator with its discriminator, losses and optimizers, compiled, computing in `image.compute_dtype`."""
    image = config.image
    parts = (
        for_training(generator, image.compute_dtype, lambda: build_image_generator(config), GENERATOR_FLOAT32_LAYERS),
        for_training(
            build_image_discriminator(config),
            image.compute_dtype,
            lambda: build_image_discriminator(config),
            DISCRIMINATOR_FLOAT32_LAYERS,
        ),
    )
    gan = ImageGan(
        *parts,
        adversarial_weight=image.adversarial_weight,
        l1_weight=image.l1_weight,
        mouth_l1_weight=image.mouth_l1_weight,
        feature_matching_weight=image.feature_matching_weight,
        clip_norm=image.clip_norm,
        name="image_gan",
    )
    rates = (image.generator_learning_rate, image.discriminator_learning_rate)
    gan.compile(*(adam(image, rate, total_steps=total_steps, beta_1=image.adam_beta_1) for rate in rates))
    return gan
