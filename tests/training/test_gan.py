"""The GAN step moves both networks the right way; resume and `.keras` keep both optimizers exactly."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.datasets.batches import WHOLE, Share
from avsc_tf.losses.adversarial import discriminator_loss
from avsc_tf.models.image_discriminator import ImageDiscriminator
from avsc_tf.models.image_generator import ImageGenerator
from avsc_tf.models.patch_discriminator import PatchDiscriminator
from avsc_tf.training.engine.loop import fit
from avsc_tf.training.image.gan import ImageGan

SIZE_PX = 16


def make_gan(seed: int, *, rate: float = 1e-3, patches: bool = False, **weights: float) -> ImageGan:
    keras.utils.set_random_seed(seed)
    generator = ImageGenerator(
        mel_per_video=2,
        n_mels=5,
        n_facial=9,
        n_keypoint_values=4,
        size_px=SIZE_PX,
        dense_units=(6,),
        channels=(4, 4, 3),
        upsample=(True, True, False),
        kernel_size=3,
        batch_norm_momentum=0.9,
        feature_noise=0.1,
    )
    discriminator = ImageDiscriminator(size_px=SIZE_PX, channels=(4, 6))
    if patches:
        discriminator = PatchDiscriminator(size_px=SIZE_PX, channels=(4, 6), scales=2)
    gan = ImageGan(generator, discriminator, **weights)
    gan.compile(
        generator_optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, 12)),
        discriminator_optimizer=keras.optimizers.Adam(rate),
    )
    return gan


def batch_of(seed: int, n: int = 8):
    rng = np.random.default_rng(seed)
    features = {"mel": rng.normal(size=(n, 2, 5)).astype("f"), "facial": rng.normal(size=(n, 9)).astype("f")}
    images = np.tanh(features["facial"][:, :3].reshape(n, 1, 1, 3) + rng.normal(size=(n, SIZE_PX, SIZE_PX, 3)) * 0.1)
    mouth = np.zeros((n, SIZE_PX, SIZE_PX, 1), np.float32)
    mouth[:, 10:14, 4:12] = 1
    return features, images.astype(np.float32), mouth


def make_dataset(epoch: int, start: int = 0, share: Share = WHOLE) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(batch_of(epoch, 24)).batch(8).skip(start)


def test_discriminator_learns_to_tell(rng):
    gan = make_gan(1, rate=1e-2)
    features, images, mouth = (tf.nest.map_structure(tf.constant, part) for part in batch_of(0))
    fixed = gan.generator(features, training=True)  # what it learns against moves only slowly

    def scores():
        return gan.discriminator(images).numpy().mean(), gan.discriminator(fixed).numpy().mean()

    real_before, fake_before = scores()
    loss_before = float(discriminator_loss(gan.discriminator(images), gan.discriminator(fixed)))
    for _ in range(15):
        gan.train_step((features, images, mouth))
    real_after, fake_after = scores()
    assert real_after > real_before, "real images must score higher"
    assert real_after - fake_after > real_before - fake_before, "generated ones lower, beside them"
    assert float(discriminator_loss(gan.discriminator(images), gan.discriminator(fixed))) < loss_before


def test_generator_goes_down_its_whole_loss():
    gan = make_gan(1, adversarial_weight=1.0, l1_weight=10.0)
    gan.discriminator_optimizer.learning_rate = 0.0  # hold the judge still
    batch = tf.nest.map_structure(tf.constant, batch_of(0))

    def losses():
        generated = gan.generator(batch[0], training=True)
        scores = (gan.discriminator(batch[1]), gan.discriminator(generated))
        return {k: float(v) for k, v in gan.loss_terms(batch[1], generated, batch[2], *scores).items()}

    before = losses()
    for _ in range(20):
        gan.train_step(batch)
    after = losses()
    assert after["generator/loss"] < before["generator/loss"]
    assert after["generator/l1"] < before["generator/l1"]


def test_one_step_follows_each_networks_own_gradient():
    gan = make_gan(2)
    gan.generator_optimizer = keras.optimizers.SGD(0.1)
    gan.discriminator_optimizer = keras.optimizers.SGD(0.1)
    gan.build_optimizers()
    features, images, mouth = batch_of(3)
    gan.generator.get_layer("feature_noise").stddev = 0.0
    with tf.GradientTape() as tape:
        generated = gan.generator(features, training=True)
        loss = discriminator_loss(gan.discriminator(images), gan.discriminator(generated))
    kernel = gan.discriminator.get_layer("score").kernel
    expected = kernel.numpy() - 0.1 * tape.gradient(loss, kernel.value).numpy()
    gan.train_step((features, images, mouth))
    # only the discriminator's loss moves it (the generator's has its own variables); float32 rounding
    np.testing.assert_allclose(kernel.numpy(), expected, rtol=1e-5, atol=1e-7)


def test_mouth_weight_counts_the_box():
    images, generated = np.zeros((1, 16, 16, 3), np.float32), np.zeros((1, 16, 16, 3), np.float32)
    mouth = batch_of(0, 1)[2]
    generated[:, 12, 6] = 1.0  # one pixel of 256, inside
    scores = np.zeros((1, 1), np.float32)
    terms = make_gan(1, mouth_l1_weight=3.0).loss_terms(images, generated, mouth, scores, scores)
    assert float(terms["generator/l1"]) == 4 / 256
    generated[:, 12, 6], generated[:, 0, 0] = 0.0, 1.0  # outside
    terms = make_gan(1, mouth_l1_weight=3.0).loss_terms(images, generated, mouth, scores, scores)
    assert float(terms["generator/l1"]) == 1 / 256
    assert float(terms["generator/loss"]) == pytest.approx(0.5 + 10 / 256, rel=1e-6)  # LSGAN + 10 x L1


def test_feature_matching_adds_its_weight_and_moves_the_generator():
    gan = make_gan(1, adversarial_weight=0.0, l1_weight=0.0, feature_matching_weight=2.0, patches=True, rate=5e-3)
    batch = tf.nest.map_structure(tf.constant, batch_of(0))
    figures = [gan.train_step(batch) for _ in range(25)]
    matching = [float(f["generator/feature_matching"]) for f in figures]
    assert float(figures[0]["generator/loss"]) == pytest.approx(2 * matching[0], rel=1e-6)
    assert matching[-1] < 0.9 * matching[0]


def test_patches_learn_to_tell():
    gan = make_gan(1, rate=1e-2, patches=True)
    batch = tf.nest.map_structure(tf.constant, batch_of(0))
    losses = [float(gan.train_step(batch)["discriminator/loss"]) for _ in range(15)]
    assert losses[-1] < losses[0]
    assert float(gan.test_step(batch)["discriminator/loss"]) < losses[0]


def test_no_adversarial_weight_leaves_the_discriminator_alone():
    gan = make_gan(1, adversarial_weight=0.0)
    before = gan.discriminator.get_weights()
    gan.train_step(tf.nest.map_structure(tf.constant, batch_of(0)))
    for a, b in zip(before, gan.discriminator.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_resume_equals_uninterrupted(tmp_path, tiny_config):
    config = replace(tiny_config, image=replace(tiny_config.image, epochs=4, checkpoint_seconds=0.0))
    arguments = {"network": "image", "config": config, "steps_per_epoch": 3}

    def interrupted(epoch, start, share):
        if epoch == 2:
            raise KeyboardInterrupt
        return make_dataset(epoch, start)

    whole = make_gan(1)
    fit(whole, make_dataset, run=tmp_path / "a", **arguments)
    with pytest.raises(KeyboardInterrupt):
        fit(make_gan(1), interrupted, run=tmp_path / "b", **arguments)
    again = make_gan(9)
    history = fit(again, make_dataset, run=tmp_path / "b", resume=True, **arguments)
    for a, b in zip(whole.variables, again.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for ours, theirs in zip(whole.optimizers, again.optimizers, strict=True):
        assert int(theirs.iterations) == 12
        for a, b in zip(ours.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    names = ("loss", "l1", "adversarial", "gradient_norm", "learning_rate")
    assert {*(f"generator/{name}" for name in names), "discriminator/gradient_norm"} <= set(history[-1])
    assert {"discriminator/loss", "discriminator/learning_rate"} <= set(history[-1])


def test_keras_file_keeps_both_optimizers(tmp_path):
    gan = make_gan(1)
    step = tf.function(gan.train_step)
    for seed in (0, 1):
        step(batch_of(seed))
    gan.save(tmp_path / "gan.keras")
    loaded = keras.models.load_model(tmp_path / "gan.keras")
    for ours, theirs in zip(gan.optimizers, loaded.optimizers, strict=True):
        assert int(theirs.iterations) == 2
        for a, b in zip(ours.variables, theirs.variables, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
    features = batch_of(5)[0]
    np.testing.assert_array_equal(gan(features), loaded(features))
    assert (loaded.l1_weight, loaded.adversarial_weight, loaded.mouth_l1_weight) == (10.0, 1.0, 0.0)
