"""`train_conversion` and `train_image` on small real records, and every shipped config built and stepped once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from avsc_tf.core.config import Config, load_config
from avsc_tf.core.runs import config_path, statistics_path, weights_path
from avsc_tf.models.conversion_net import build_conversion_net
from avsc_tf.models.image_generator import build_image_generator
from avsc_tf.training.conversion.train import conversion_training, train_conversion
from avsc_tf.training.engine.checkpoints import load_weights
from avsc_tf.training.image.train import build_gan, train_image

_FOLDER = Path(__file__).resolve().parents[2] / "configs"
SHIPPED = sorted(path for path in _FOLDER.glob("*.yaml") if path.stem != "serve")  # the service's own settings


def test_conversion_training_delivers_and_is_reused(tiny_config, tiny_records, tmp_path):
    net = replace(tiny_config.conversion, batch_size=2, epochs=2, linear_path_ridge=1e4)
    config = replace(tiny_config, conversion=net)
    model, history = train_conversion(config, tiny_records, tmp_path)
    assert [row["epoch"] for row in history] == [1, 2]
    assert history[1]["loss"] < history[0]["loss"]
    assert load_config(config_path(tmp_path, "conversion")) == config
    assert statistics_path(tmp_path).read_bytes() == (tiny_records.folder / "statistics.npz").read_bytes()
    fresh = build_conversion_net(config)
    load_weights(fresh, weights_path(tmp_path, "conversion"))
    for a, b in zip(model.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert train_conversion(config, tiny_records, tmp_path)[1] == []


def test_image_training_delivers_the_generator_alone(tiny_config, tiny_records, tmp_path):
    config = replace(tiny_config, image=replace(tiny_config.image, path_components=4, path_units=32, epochs=1))
    generator, history = train_image(config, tiny_records, tmp_path)
    assert np.isfinite([row["val_generator/l1"] for row in history]).all()
    fresh = build_image_generator(config)
    load_weights(fresh, weights_path(tmp_path, "image"))
    for a, b in zip(generator.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_an_epoch_the_closed_form_start_is_delivered(tiny_config, tiny_records, tmp_path):
    image = replace(
        tiny_config.image, path_components=4, path_units=32, path_warp=True, path_reference="one_take", epochs=0
    )
    config = replace(tiny_config, image=image)
    generator, history = train_image(config, tiny_records, tmp_path)
    assert history == []
    assert np.abs(generator.get_layer("path_picture").get_weights()[0]).max() > 0
    fresh = build_image_generator(config)
    load_weights(fresh, weights_path(tmp_path, "image"))
    for a, b in zip(generator.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert train_image(config, tiny_records, tmp_path)[1] == []


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_config_makes_one_conversion_step(path, rng):
    config = load_config(path)
    model = build_conversion_net(config)
    training = conversion_training(model, config, total_steps=1)
    batch = [
        {
            "mel": rng.normal(size=(1, 16, config.acoustic.n_mels)).astype(np.float32),
            "facial": rng.normal(size=(1, 2, config.face.n_facial)).astype(np.float32),
        }
        for _ in range(2)
    ]
    before = model.get_layer("fusion_1").get_weights()[0]
    assert np.isfinite(float(training.train_step(tuple(batch))["loss"]))
    # With a linear path the output layers start at zero: they move first, what is before them from the second step on.
    changed = "mel_out" if config.conversion.linear_path else "fusion_1"
    start = 0.0 if config.conversion.linear_path else before
    assert np.abs(model.get_layer(changed).get_weights()[0] - start).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_config_makes_one_gan_step(path, rng):
    config: Config = load_config(path)
    gan = build_gan(config, build_image_generator(config), total_steps=1)
    size_px = config.image.size_px
    features = {
        "mel": rng.normal(size=(2, 8, config.acoustic.n_mels)).astype(np.float32),
        "facial": rng.normal(size=(2, config.face.n_facial)).astype(np.float32),
    }
    images = rng.uniform(-1, 1, (2, size_px, size_px, 3)).astype(np.float32)
    logs = gan.train_step((features, images, np.zeros((2, size_px, size_px, 1), np.float32)))
    assert all(np.isfinite(float(value)) for value in logs.values())
    assert [int(optimizer.iterations) for optimizer in gan.optimizers] == [1, 1]
