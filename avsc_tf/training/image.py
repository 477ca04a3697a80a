"""Training of the image reconstruction network on the target's frames (paper sections 3.3, 4.3)."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from avsc_tf.config import Config
from avsc_tf.datasets.batches import named_read_errors
from avsc_tf.datasets.faces import batches_per_epoch, frames
from avsc_tf.errors import RecordError
from avsc_tf.models.image_discriminator import build_image_discriminator
from avsc_tf.models.image_generator import ImageGenerator, build_image_generator
from avsc_tf.records.reader import Records
from avsc_tf.training import supervised
from avsc_tf.training.appearance import start_in_closed_form
from avsc_tf.training.checkpoints import load_weights
from avsc_tf.training.gan import ImageGan
from avsc_tf.training.previews import face_preview
from avsc_tf.training.run_folder import keep_statistics

NETWORK = "image"
CHECKPOINT_SECONDS = 20.0
PREVIEW_FACES = 6


def train_image(
    config: Config, records: Records, run: Path, *, resume: bool = False, init_from: Path | None = None
) -> tuple[ImageGenerator, supervised.History]:
    """Train generator and discriminator of `config.image` into RUN/image; the generator is what is kept.

    Args:
        init_from: generator weights to start from.

    Returns:
        The trained generator and its history (empty where it had been trained before).
    """
    keep_statistics(records.folder, run)
    keras.utils.set_random_seed(config.seed)
    generator = build_image_generator(config)
    if init_from is not None:
        load_weights(generator, init_from)
    else:
        start_in_closed_form(generator, config, records)
    steps = batches_per_epoch(records, "train", config)
    gan = build_gan(config, generator, total_steps=steps * config.image.epochs)
    try:
        held_out = frames(records, "test", config, epoch=0, seed=config.seed)
    except RecordError:  # fewer held-out frames than a batch: train without scores
        held_out = None
    shown = frames(records, "train", config, epoch=0, seed=config.seed) if held_out is None else held_out
    with named_read_errors():
        inputs, images, _ = next(iter(shown))
    few = {name: value[:PREVIEW_FACES].numpy() for name, value in inputs.items()}
    history = supervised.fit(
        gan,
        lambda epoch: frames(records, "train", config, epoch=epoch, seed=config.seed),
        run=run,
        network=NETWORK,
        config=config,
        epochs=config.image.epochs,
        steps_per_epoch=steps,
        validation_data=held_out,
        resume=resume,
        preview=face_preview(generator, few, np.asarray(images)[:PREVIEW_FACES]),
        deliver=generator,
        checkpoint_seconds=CHECKPOINT_SECONDS,
    )
    return generator, history


def build_gan(config: Config, generator: ImageGenerator, *, total_steps: int) -> ImageGan:
    """The generator with its discriminator, losses and optimizers, compiled."""
    image = config.image

    def adam(rate: float) -> keras.optimizers.Optimizer:
        schedule = supervised.learning_rate(rate, image.lr_schedule, total_steps=total_steps)
        return keras.optimizers.Adam(schedule, beta_1=image.adam_beta_1)

    gan = ImageGan(
        generator,
        build_image_discriminator(config),
        adversarial_weight=image.adversarial_weight,
        l1_weight=image.l1_weight,
        mouth_l1_weight=image.mouth_l1_weight,
        name="image_gan",
    )
    gan.compile(
        generator_optimizer=adam(image.generator_learning_rate),
        discriminator_optimizer=adam(image.discriminator_learning_rate),
        jit_compile=False,  # XLA is slower for this network on a CPU
    )
    return gan
