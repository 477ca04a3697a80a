"""Closed-form starts: ridge against scikit-learn, the linear path against a known map, pictures from keypoints."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from sklearn.linear_model import Ridge

from avsc_tf.datasets.faces import frames
from avsc_tf.models.conversion_net import build_conversion_net
from avsc_tf.models.image_generator import build_image_generator
from avsc_tf.training.conversion.closed_form import RidgeSums, fit_linear_path, with_context
from avsc_tf.training.conversion.train import linear_path_of, set_linear_path
from avsc_tf.training.image.appearance import PrincipalFrames, start_in_closed_form
from avsc_tf.training.image.appearance_features import RandomFeatures


def test_ridge_equals_scikit_learn(rng):
    x, y = rng.normal(1.0, 1.0, (50, 7)), rng.normal(size=(50, 3)) + 5.0
    sums = RidgeSums()
    for part in (slice(0, 20), slice(20, 50)):
        sums.add(x[part], y[part])
    kernel, bias = sums.solve(2.5)
    reference = Ridge(alpha=2.5).fit(x, y)
    np.testing.assert_allclose(kernel, reference.coef_.T, atol=1e-10)  # float64, 50 frames
    np.testing.assert_allclose(bias, reference.intercept_, atol=1e-10)


def test_context_by_hand():
    x = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    np.testing.assert_array_equal(with_context(x, 1), [[0, 0, 1, 2, 3, 4], [1, 2, 3, 4, 5, 6], [3, 4, 5, 6, 0, 0]])
    np.testing.assert_array_equal(with_context(x, 0), x)


def test_linear_path_finds_a_known_map(rng):
    """Targets that are linear in the tied mel, the keypoints and the frame before; the VGG part has rank 2."""
    n_mels, n_keypoints, n_vgg, rank = 3, 4, 6, 2
    n_in = 8 * n_mels + n_keypoints
    direct = rng.normal(size=(3 * n_in, 8 * n_mels + n_keypoints))
    vgg_map = rng.normal(size=(3 * n_in, rank)) @ rng.normal(size=(rank, n_vgg))
    pairs = []
    for n in (400, 500):
        mel, facial = rng.normal(size=(8 * n, n_mels)), rng.normal(size=(n, n_vgg + n_keypoints))
        x = with_context(np.concatenate([mel.reshape(n, -1), facial[:, n_vgg:]], axis=1), 1)
        y = x @ direct + 1.5
        target_facial = np.concatenate([x @ vgg_map - 0.5, y[:, 8 * n_mels :]], axis=1)
        pairs.append(
            {
                "source_mel": mel,
                "source_facial": facial,
                "target_mel": y[:, : 8 * n_mels].reshape(8 * n, n_mels),
                "target_facial": target_facial,
            }
        )
    path = fit_linear_path(
        pairs, n_keypoint_values=n_keypoints, mel_per_video=8, context=1, penalty=1e-6, rank=rank, seed=1
    )
    kernel = path.map_kernel.reshape(3 * n_in, -1)
    tolerance = {"atol": 2e-4}  # keypoints pass through float32; coefficients are of size 1
    np.testing.assert_allclose(kernel[:, :-rank], direct, **tolerance)
    np.testing.assert_allclose(kernel[:, -rank:] @ path.vgg_kernel, vgg_map, **tolerance)
    np.testing.assert_allclose(path.map_bias[:-rank], 1.5, **tolerance)
    np.testing.assert_allclose(path.vgg_bias, -0.5, **tolerance)


def test_network_starts_at_the_ridge_answer(tiny_config, tiny_records):
    model = build_conversion_net(tiny_config)
    set_linear_path(model, linear_path_of(tiny_config, tiny_records))
    n_vgg = tiny_config.face.n_vgg

    def rows(pair, side):
        facial = pair[f"{side}_facial"].astype(np.float32)
        return np.concatenate([pair[f"{side}_mel"].reshape(len(facial), -1), facial[:, n_vgg:]], axis=1)

    train = list(tiny_records.pairs("train"))
    x, y = (np.concatenate([rows(pair, side) for pair in train]) for side in ("source", "target"))
    reference = Ridge(alpha=tiny_config.conversion.linear_path_ridge).fit(x.astype(float), y.astype(float))
    pair = next(tiny_records.pairs("test"))
    outputs = model({"mel": pair["source_mel"][None], "facial": pair["source_facial"][None].astype(np.float32)})
    expected = reference.predict(rows(pair, "source"))
    tolerance = {"atol": 1e-4}  # float32 sums over 780 products of size 1
    np.testing.assert_allclose(outputs["mel"][0], expected[:, :640].reshape(-1, 80), **tolerance)
    np.testing.assert_allclose(outputs["facial"][0, :, n_vgg:], expected[:, 640:], **tolerance)


def test_random_features_are_seeded_and_of_unit_gain(rng):
    features = RandomFeatures.draw(140, 200, seed=3)
    np.testing.assert_array_equal(features.kernel, RandomFeatures.draw(140, 200, seed=3).kernel)
    x = rng.normal(size=(500, 140)).astype(np.float32)
    assert (features(x) >= 0).all()
    spread = (x @ features.kernel).std()
    assert 0.9 < spread < 1.1  # unit variance in, unit variance out; 100,000 values


def test_principal_frames_rebuild_what_they_span(rng):
    basis, codes = rng.normal(size=(3, 48)), rng.normal(size=(20, 3))
    frames = (codes @ basis + 0.3).astype(np.float32)
    weights = rng.uniform(1, 2, 48).astype(np.float32)
    principal = PrincipalFrames.fit(frames, weights, 3)
    rebuilt = principal.mean + principal.codes(frames) @ principal.basis
    np.testing.assert_allclose(rebuilt, frames, atol=2e-4)  # float32 eigenvectors of values up to 10
    more = PrincipalFrames.fit(frames[:4], weights, 6)  # fewer frames than components
    assert more.basis.shape == (6, 48) and np.isfinite(more.basis).all()


def test_pictures_follow_the_keypoints_before_any_training(tiny_config, tiny_records):
    image = replace(tiny_config.image, path_components=5, path_units=256, closed_form_ridge=1.0)
    config = replace(tiny_config, image=image)
    generator = build_image_generator(config)
    start_in_closed_form(generator, config, tiny_records)
    inputs, images, _ = next(iter(frames(tiny_records, "train", config, epoch=0, seed=1)))
    generated = generator(inputs).numpy()
    still = np.broadcast_to(images.numpy().mean(axis=0), images.shape)
    error = np.abs(generated - images.numpy())
    assert error.mean() < 0.5 * np.abs(still - images.numpy()).mean()
    # the one-channel map is the grey frame in [0, 1], a quarter of the size here: brighter skin than mouth
    grey = keras.Model(generator.inputs, generator.get_layer("map").output)(inputs).numpy()[..., 0]
    small = images.numpy().mean(axis=3).reshape(len(grey), 8, 4, 8, 4).mean(axis=(2, 4)) / 2 + 0.5
    assert np.abs(grey - small).mean() < 0.5 * np.abs(small - small.mean(axis=0)).mean()


def joined_rows(pair, side, n_vgg, names=("mel", "facial")):
    """Tied mel and keypoints of one pair, or one of them."""
    facial = pair[f"{side}_facial"].astype(np.float32)
    parts = {"mel": pair[f"{side}_mel"].reshape(len(facial), -1), "facial": facial[:, n_vgg:]}
    return np.concatenate([parts[name] for name in names], axis=1).astype(float)


@pytest.mark.parametrize("alone", ["mel", "facial"])
def test_a_stream_alone_starts_at_its_own_ridge_answer(tiny_config, tiny_records, alone):
    config = replace(tiny_config, conversion=replace(tiny_config.conversion, modality_dropout=0.2))
    model = build_conversion_net(config)
    set_linear_path(model, linear_path_of(config, tiny_records))
    n_vgg, train = config.face.n_vgg, list(tiny_records.pairs("train"))
    x = np.concatenate([joined_rows(pair, "source", n_vgg, (alone,)) for pair in train])
    y = np.concatenate([joined_rows(pair, "target", n_vgg) for pair in train])
    reference = Ridge(alpha=config.conversion.linear_path_ridge).fit(x, y)
    pair = next(tiny_records.pairs("test"))
    given = {"mel": pair["source_mel"][None], "facial": pair["source_facial"][None].astype(np.float32)}
    outputs = model({name: value if name == alone else np.zeros_like(value) for name, value in given.items()})
    expected = reference.predict(joined_rows(pair, "source", n_vgg, (alone,)))
    tolerance = {"atol": 1e-4}  # float32 sums over 640 products of size 1
    np.testing.assert_allclose(outputs["mel"][0], expected[:, :640].reshape(-1, 80), **tolerance)
    np.testing.assert_allclose(outputs["facial"][0, :, n_vgg:], expected[:, 640:], **tolerance)


@pytest.mark.parametrize(("modalities", "name"), [("audio", "mel"), ("visual", "facial")])
def test_baseline_starts_at_its_ridge_answer(tiny_config, tiny_records, modalities, name):
    config = replace(
        tiny_config, conversion=replace(tiny_config.conversion, modalities=modalities, modality_dropout=0.0)
    )
    model = build_conversion_net(config)
    set_linear_path(model, linear_path_of(config, tiny_records))
    n_vgg, train = config.face.n_vgg, list(tiny_records.pairs("train"))
    x, y = (
        np.concatenate([joined_rows(pair, side, n_vgg, (name,)) for pair in train]) for side in ("source", "target")
    )
    reference = Ridge(alpha=config.conversion.linear_path_ridge).fit(x, y)
    pair = next(tiny_records.pairs("test"))
    given = pair[f"source_{name}"][None].astype(np.float32)
    found = np.asarray(model({name: given})[name])[0]
    expected = reference.predict(joined_rows(pair, "source", n_vgg, (name,)))
    found = found.reshape(expected.shape) if name == "mel" else found[:, n_vgg:]
    np.testing.assert_allclose(found, expected, atol=1e-4)  # float32 sums over 640 products of size 1
