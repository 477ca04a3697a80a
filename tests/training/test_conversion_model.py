"""Loss weights that move: where they go, what they leave alone, and a restart that changes nothing."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.models.conversion_net import build_conversion_net
from avsc_tf.training.conversion.train import conversion_training, train_conversion
from avsc_tf.training.engine.loop import fit
from avsc_tf.training.engine.model import TrainingModel

BALANCES = ("uncertainty", "gradient_norm")


def settings(config, **changes):
    plain = {"linear_path": False, "dropout": 0.0, "input_noise": 0.0, "ema_decay": 0.0, "lr_schedule": "constant"}
    return replace(config, conversion=replace(config.conversion, **{**plain, **changes}))


def make(config, seed: int = 1) -> TrainingModel:
    keras.utils.set_random_seed(seed)
    return conversion_training(build_conversion_net(config), config, total_steps=8)


def batch(config, rng, size: int = 3):
    def one(scale):
        mel = scale * rng.normal(size=(size, 40, config.acoustic.n_mels))
        facial = scale * rng.normal(size=(size, 5, config.face.n_facial))
        return {"mel": mel.astype(np.float32), "facial": facial.astype(np.float32)}

    return one(1.0), one(0.5)


def test_fixed_weights_have_no_variables_of_their_own(tiny_config):
    training = make(settings(tiny_config))
    assert len(training.optimizers) == 1
    assert len(training.variables) == len(training.network.variables)


@pytest.mark.parametrize("balance", BALANCES)
def test_weights_start_at_the_papers_and_belong_to_the_training_alone(tiny_config, rng, balance):
    config = settings(tiny_config, loss_balance=balance)
    training = make(config)
    data = batch(config, rng)
    figures = {name: float(value) for name, value in training.train_step(data).items()}
    assert figures["weight/mel"] == pytest.approx(10, rel=1e-6)
    assert figures["weight/facial"] == pytest.approx(1, rel=1e-6)
    assert figures["loss"] == pytest.approx(10 * figures["mel_loss"] + figures["facial_loss"], rel=1e-6)
    assert not [v for v in training.network.variables if "balance" in v.path]
    assert set(training.test_step(data)) == {"loss", "mel_loss", "facial_loss"}
    assert len(training.optimizers) == 2


def test_uncertainty_weights_go_to_the_inverse_losses(tiny_config, rng):
    """With a network that stands still, exp(-s) L + s is least where exp(-s) = 1 / L."""
    config = settings(tiny_config, loss_balance="uncertainty", learning_rate=0.0, loss_balance_rate=0.1)
    training, data = make(config), batch(config, rng)
    step = tf.function(training.train_step)
    for _ in range(200):
        figures = step(data)
    for name in ("mel", "facial"):
        # Adam of a constant rate ends within a hundredth of the least of a smooth function
        assert float(figures[f"weight/{name}"]) * float(figures[f"{name}_loss"]) == pytest.approx(1, abs=0.02)


def test_gradient_norms_are_those_at_the_last_shared_layer(tiny_config, rng):
    config = settings(tiny_config, loss_balance="gradient_norm", gradient_norm_asymmetry=0.0)
    training, data = make(config), batch(config, rng)
    kernel = training.network.get_layer(f"fusion_{len(config.conversion.fusion_channels)}").kernel
    norms = []
    for name in ("mel", "facial"):
        with tf.GradientTape() as tape:
            outputs = training.network(data[0], training=True)
            loss = tf.reduce_mean(tf.abs(outputs[name] - data[1][name]))
            if name == "facial":  # `balanced`: VGG and keypoints half each
                error, n_vgg = tf.abs(outputs[name] - data[1][name]), config.face.n_vgg
                loss = (tf.reduce_mean(error[..., :n_vgg]) + tf.reduce_mean(error[..., n_vgg:])) / 2
        norms.append(float(tf.norm(tape.gradient(loss, kernel.value))))
    pulls = np.array([10.0, 1.0]) * norms
    figures = training.train_step(data)
    expected = np.abs(pulls - pulls.mean()).sum()
    assert float(figures["balance/loss"]) == pytest.approx(expected, rel=1e-4)  # float32, another order of sums


def test_gradient_norm_weights_even_the_pulls_out_and_keep_their_sum(tiny_config, rng):
    rates = {"learning_rate": 0.0, "loss_balance_rate": 0.02}
    config = settings(tiny_config, loss_balance="gradient_norm", gradient_norm_asymmetry=0.0, **rates)
    training, data = make(config), batch(config, rng)
    step = tf.function(training.train_step)
    first = {name: float(value) for name, value in step(data).items()}
    for _ in range(400):
        last = step(data)
    assert float(last["weight/mel"]) + float(last["weight/facial"]) == pytest.approx(11, rel=1e-5)
    assert float(last["balance/loss"]) < 0.1 * first["balance/loss"]


def test_the_slower_learner_gains(tiny_config, rng):
    """Equal pulls, but one loss has fallen to a half and the other not at all: the weight goes to the other."""
    config = settings(tiny_config, loss_balance="gradient_norm", gradient_norm_asymmetry=1.5)
    training = make(config)
    training.first_losses.assign([1.0, 1.0])
    wanted = np.asarray(training._wanted(tf.constant([2.0, 2.0]), tf.constant([0.5, 1.0])))
    np.testing.assert_allclose(wanted, 2 * np.array([0.5 / 0.75, 1 / 0.75]) ** 1.5, rtol=1e-6)


def without_seconds(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


@pytest.mark.parametrize(
    "changes",
    [
        {"loss_balance": "uncertainty"},
        {"loss_balance": "gradient_norm", "modality_dropout": 0.3, "input_noise": 0.2, "dropout": 0.1},
    ],
    ids=["uncertainty", "gradient_norm and modality_dropout"],
)
def test_resume_equals_uninterrupted_bit_for_bit(tiny_config, tmp_path, changes):
    config = settings(tiny_config, epochs=3, preview_epochs=0, checkpoint_seconds=0.0, **changes)

    def dataset(epoch, start, share):
        data = [batch(config, np.random.default_rng([7, epoch, k])) for k in range(4)]
        flat = tf.data.Dataset.from_generator(
            lambda: iter(data[start:]),
            output_signature=tuple({n: tf.TensorSpec(v.shape, v.dtype) for n, v in d.items()} for d in data[0]),
        )
        return flat

    def stopped(epoch, start, share):
        if epoch == 1:
            raise KeyboardInterrupt
        return dataset(epoch, start, share)

    fixed = {"network": "conversion", "config": config, "steps_per_epoch": 4}
    whole = make(config)
    history = fit(whole, dataset, run=tmp_path / "a", **fixed)
    with pytest.raises(KeyboardInterrupt):
        fit(make(config), stopped, run=tmp_path / "b", **fixed)
    again = make(config, seed=9)  # another seed: all must come from the checkpoint
    resumed = fit(again, dataset, run=tmp_path / "b", resume=True, **fixed)
    assert without_seconds(history) == without_seconds(resumed)
    assert history[0]["weight/mel"] != history[2]["weight/mel"]
    ours, theirs = ([*m.variables, *(v for o in m.optimizers for v in o.variables)] for m in (whole, again))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("balance", BALANCES)
def test_under_a_strategy(tiny_config, rng, balance):
    """Made in a strategy's scope and stepped by its replica: the same figures as without."""
    config = settings(tiny_config, loss_balance=balance)
    data = batch(config, rng)
    alone = make(config)
    expected = [{n: float(v) for n, v in alone.train_step(data).items()} for _ in range(2)]
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        training = make(config)
    found = [{n: float(v) for n, v in strategy.run(training.train_step, (data,)).items()} for _ in range(2)]
    for ours, theirs in zip(expected, found, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)  # the same operations on the same processor


@pytest.mark.parametrize("modalities", ["audio", "visual"])
def test_a_baseline_trains_and_delivers(tiny_config, tiny_records, tmp_path, modalities):
    config = settings(tiny_config, modalities=modalities, linear_path=True, batch_size=2, epochs=2)
    model, history = train_conversion(config, tiny_records, tmp_path)
    part = {"audio": "mel", "visual": "facial"}[modalities]
    assert set(model.output) == {part}
    weight = config.conversion.acoustic_loss_weight if part == "mel" else 1.0
    assert history[-1]["loss"] == pytest.approx(weight * history[-1][f"{part}_loss"], rel=1e-6)
    assert not [name for name in history[-1] if name.endswith({"mel": "facial_loss", "facial": "mel_loss"}[part])]
