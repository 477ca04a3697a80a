"""Early stop: when, which weights are delivered, and the same after going on."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.core.errors import ConfigError
from avsc_tf.core.runs import network_dir, weights_path
from avsc_tf.datasets.batches import WHOLE, Share
from avsc_tf.training.engine.checkpoints import load_weights
from avsc_tf.training.engine.early_stop import best_epoch, best_weights_path, is_over
from avsc_tf.training.engine.loop import fit
from avsc_tf.training.engine.model import Supervised

STEPS = 3
EPOCHS = 12


def history(*losses):
    return [{"epoch": i + 1.0, "val_loss": loss} for i, loss in enumerate(losses)]


def test_best_epoch_is_the_first_of_the_lowest():
    assert best_epoch(history(3.0, 1.0, 2.0, 1.0)) == 2
    assert best_epoch(history(float("nan"), 4.0)) == 2
    assert best_epoch(history(float("nan"))) == best_epoch([]) == 0


def test_over_after_as_many_epochs_without_a_better_one():
    assert not is_over(history(3, 1, 2), patience_epochs=2)
    assert is_over(history(3, 1, 2, 1), patience_epochs=2)
    assert not is_over(history(3, 1, 2, 1), patience_epochs=0)
    assert is_over(history(*[float("nan")] * 3), patience_epochs=3)


def squared_error(wanted, given):
    return {"loss": keras.ops.mean(keras.ops.square(wanted - given))}


def make_model(seed: int) -> Supervised:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((4,))
    training = Supervised(keras.Model(inputs, keras.layers.Dense(1, use_bias=False)(inputs)), squared_error)
    training.compile(keras.optimizers.SGD(0.2, momentum=0.5, use_ema=True, ema_momentum=0.5))
    return training


def make_dataset(epoch: int, start: int = 0, share: Share = WHOLE) -> tf.data.Dataset:
    """The target moves away from that of the held-out data epoch by epoch: their loss falls, then rises."""
    x = np.random.default_rng(epoch).normal(size=(STEPS * 5, 4)).astype(np.float32)
    return (
        tf.data.Dataset.from_tensor_slices((x, x @ np.full((4, 1), 0.25 * (epoch + 1), np.float32)))
        .batch(5)
        .skip(start)
    )


def stopping(epoch: int):
    def dataset(asked: int, start: int, share: Share):
        if asked == epoch:
            raise KeyboardInterrupt
        return make_dataset(asked, start)

    return dataset


def train(run, config, *, seed=1, dataset=make_dataset, early_stop_epochs=2, checkpoint_seconds=0.0, **changes):
    x = np.random.default_rng(99).normal(size=(9, 4)).astype(np.float32)
    held_out = tf.data.Dataset.from_tensor_slices((x, x.sum(1, keepdims=True))).batch(4)  # weights of 1 are best
    own = {"early_stop_epochs": early_stop_epochs, "checkpoint_seconds": checkpoint_seconds}
    net = replace(config.conversion, epochs=EPOCHS, **own)
    arguments = {"network": "conversion", "config": replace(config, conversion=net), "steps_per_epoch": STEPS}
    training = make_model(seed)
    rows = fit(training, dataset, run=run, **{**arguments, "validation_data": held_out, **changes})
    return training.network, rows


def test_best_weights_are_delivered_as_validated(tmp_path, tiny_config, capsys):
    model, rows = train(tmp_path, tiny_config)
    losses = [row["val_loss"] for row in rows]
    best = int(np.argmin(losses)) + 1
    assert 2 < best < len(rows) == best + 2 < EPOCHS  # it fell, rose twice, and that was the end
    assert f"the best was epoch {best}" in capsys.readouterr().out
    fresh = make_model(5).network
    load_weights(fresh, weights_path(tmp_path, "conversion"))
    np.testing.assert_array_equal(fresh.get_weights()[0], model.get_weights()[0])
    x = np.random.default_rng(99).normal(size=(9, 4)).astype(np.float32)
    scored = float(squared_error(x.sum(1, keepdims=True), fresh(x))["loss"])
    assert scored == pytest.approx(losses[best - 1], rel=1e-5)  # batches of other sizes: another order of summation
    whole, _ = train(tmp_path / "whole", tiny_config, early_stop_epochs=0)
    assert (whole.get_weights()[0] != model.get_weights()[0]).all()  # the last ones are delivered,
    load_weights(fresh, best_weights_path(tmp_path / "whole", "conversion"))  # and the best ones lie beside
    np.testing.assert_array_equal(fresh.get_weights()[0], model.get_weights()[0])


@pytest.mark.parametrize("stop_at", [1, 5])
@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1e9])
def test_going_on_equals_never_having_stopped(stop_at, checkpoint_seconds, tmp_path, tiny_config):
    whole, rows = train(tmp_path / "a", tiny_config)
    assert len(rows) == 6
    run, options = tmp_path / "b", {"checkpoint_seconds": checkpoint_seconds}
    with pytest.raises(KeyboardInterrupt):
        train(run, tiny_config, dataset=stopping(stop_at), **options)
    again, resumed = train(run, tiny_config, seed=3 if checkpoint_seconds == 0 else 1, resume=True, **options)
    assert [row["val_loss"] for row in resumed] == [row["val_loss"] for row in rows]
    np.testing.assert_array_equal(again.get_weights()[0], whole.get_weights()[0])


def test_killed_after_its_last_epoch_it_only_delivers(tmp_path, tiny_config):
    whole, rows = train(tmp_path, tiny_config)
    weights_path(tmp_path, "conversion").unlink()
    names = [path.name for path in (network_dir(tmp_path, "conversion") / "checkpoints").iterdir()]
    assert f"step-{len(rows) * STEPS:09d}.npz" in names
    again, resumed = train(tmp_path, tiny_config, seed=4, dataset=stopping(len(rows)), resume=True)
    assert len(resumed) == len(rows)
    np.testing.assert_array_equal(again.get_weights()[0], whole.get_weights()[0])


def test_needs_something_held_out(tmp_path, tiny_config):
    with pytest.raises(ConfigError, match=r"early_stop_epochs is 2, but nothing is held out.*Set it to 0"):
        train(tmp_path, tiny_config, validation_data=None)
