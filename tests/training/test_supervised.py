"""The training loop: going on equals never having stopped, folders are guarded, the delivered weights are right."""

from __future__ import annotations

import csv

import keras
import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.config import Config
from avsc_tf.errors import ConfigError, RecordError
from avsc_tf.runs import history_path, network_dir, weights_path
from avsc_tf.training import supervised
from avsc_tf.training.checkpoints import load_weights
from avsc_tf.training.run_folder import keep_statistics, start_over

STEPS = 5


def make_model(seed: int, *, ema: bool = True, jit_compile: bool = False) -> keras.Model:
    """Everything that has a state: dropout and noise seeds, batch norm, optimizer slots, averages, a schedule."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((None, 4), name="a")
    for layer in (
        keras.layers.GaussianNoise(0.1),
        keras.layers.Conv1D(6, 3, padding="same"),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(0.2),
        keras.layers.Dense(2),
    ):
        x = layer(x)
    model = keras.Model(inputs, x)
    rate = supervised.learning_rate(1e-2, "cosine", total_steps=4 * STEPS, warmup_steps=3)
    averaging = {"use_ema": True, "ema_momentum": 0.9} if ema else {}
    model.compile(keras.optimizers.Adam(rate, global_clipnorm=1.0, **averaging), loss="mae", jit_compile=jit_compile)
    return model


def make_dataset(epoch: int) -> tf.data.Dataset:
    rng = np.random.default_rng(epoch)
    x, y = rng.random((20, 7, 4), np.float32), rng.random((20, 7, 2), np.float32)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(4)


def interrupted_at(epoch: int):
    def dataset(asked: int) -> tf.data.Dataset:
        if asked == epoch:
            raise KeyboardInterrupt
        return make_dataset(asked)

    return dataset


def arguments(run, config: Config, **changes):
    kept = {"run": run, "network": "conversion", "config": config, "epochs": 4, "steps_per_epoch": STEPS}
    return {**kept, "validation_data": make_dataset(99), **changes}


def without_seconds(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


@pytest.mark.parametrize("jit_compile", [False, True])
def test_resume_equals_uninterrupted_bit_for_bit(tmp_path, tiny_config, jit_compile):
    whole = make_model(1, jit_compile=jit_compile)
    history = supervised.fit(whole, make_dataset, **arguments(tmp_path / "a", tiny_config))
    first = make_model(1, jit_compile=jit_compile)
    with pytest.raises(KeyboardInterrupt):
        supervised.fit(first, interrupted_at(2), **arguments(tmp_path / "b", tiny_config))
    again = make_model(7, jit_compile=jit_compile)  # another seed: all must come from the checkpoint
    resumed = supervised.fit(again, make_dataset, **arguments(tmp_path / "b", tiny_config, resume=True))
    for a, b in zip(whole.variables, again.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for a, b in zip(whole.optimizer.variables, again.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert without_seconds(history) == without_seconds(resumed)
    assert [row["epoch"] for row in resumed] == [1, 2, 3, 4]


def test_two_checkpoints_are_kept_and_no_partial_file(tmp_path, tiny_config):
    supervised.fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config))
    folder = network_dir(tmp_path, "conversion")
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert names == ["epoch-00003.npz", "epoch-00004.npz"]
    assert not [path for path in folder.rglob("*partial*")]
    assert list((folder / "logs").glob("events*"))
    with history_path(tmp_path, "conversion").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert {"loss", "val_loss", "learning_rate", "seconds"} <= set(rows[0])


def test_delivered_weights_are_the_average_and_scored_as_such(tmp_path, tiny_config):
    model = make_model(1)
    raw = {}

    def remember(_epoch, _writer):
        raw["averaged"] = model.get_weights()

    history = supervised.fit(model, make_dataset, **arguments(tmp_path, tiny_config, preview=remember))
    fresh = make_model(3)
    load_weights(fresh, weights_path(tmp_path, "conversion"))
    for delivered, shown in zip(fresh.get_weights(), raw["averaged"], strict=True):
        np.testing.assert_array_equal(delivered, shown)
    figure = fresh.evaluate(make_dataset(99), verbose=0)
    assert figure == pytest.approx(history[-1]["val_loss"], rel=1e-6)  # same weights, other order of summation


def test_training_goes_on_from_raw_weights_not_from_the_average(tmp_path, tiny_config):
    averaged, plain = make_model(1, ema=True), make_model(1, ema=False)
    with_average = supervised.fit(averaged, make_dataset, **arguments(tmp_path / "a", tiny_config))
    without = supervised.fit(plain, make_dataset, **arguments(tmp_path / "b", tiny_config))
    assert [row["loss"] for row in with_average] == [row["loss"] for row in without]
    assert with_average[-1]["val_loss"] != without[-1]["val_loss"]


def test_finished_training_is_reused_and_other_settings_refused(tmp_path, tiny_config, root, capsys):
    model = make_model(1)
    supervised.fit(model, make_dataset, **arguments(tmp_path, tiny_config))
    again = make_model(2)
    assert supervised.fit(again, interrupted_at(0), **arguments(tmp_path, tiny_config)) == []
    assert "reused" in capsys.readouterr().out
    np.testing.assert_array_equal(model.get_weights()[0], again.get_weights()[0])
    other = type(tiny_config)(**{**vars(tiny_config), "seed": 3})
    with pytest.raises(ConfigError, match=r"seed = 20181030, now it is 3.*Name another --out"):
        supervised.fit(again, make_dataset, **arguments(tmp_path, other))


def test_settings_of_another_network_do_not_matter(tmp_path, tiny_config, root):
    supervised.fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config, epochs=1))
    from dataclasses import replace

    other = replace(tiny_config, wavenet=replace(tiny_config.wavenet, epochs=77))
    assert supervised.fit(make_model(1), make_dataset, **arguments(tmp_path, other, epochs=1)) == []


def test_unfinished_training_asks_for_resume(tmp_path, tiny_config, capsys):
    with pytest.raises(KeyboardInterrupt):
        supervised.fit(make_model(1), interrupted_at(1), **arguments(tmp_path, tiny_config))
    assert "stopped in epoch 2 of 4" in "".join(capsys.readouterr())
    with pytest.raises(ConfigError, match=r"epoch-00001\.npz.*Add --resume"):
        supervised.fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config))
    assert not weights_path(tmp_path, "conversion").exists()
    start_over(tmp_path, "conversion")
    assert len(supervised.fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config))) == 4


def test_checkpoint_of_another_network_is_refused(tmp_path, tiny_config):
    with pytest.raises(KeyboardInterrupt):
        supervised.fit(make_model(1), interrupted_at(1), **arguments(tmp_path, tiny_config))
    with pytest.raises(ConfigError, match="belongs to another network"):
        supervised.fit(make_model(1, ema=False), make_dataset, **arguments(tmp_path, tiny_config, resume=True))


def test_short_epoch_names_its_batches(tmp_path, tiny_config):
    with pytest.raises(RecordError, match="5 of 6 batches"):
        supervised.fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config, steps_per_epoch=6))


def test_learning_rate_warms_up_and_falls_to_two_percent():
    rate = supervised.learning_rate(0.5, "cosine", total_steps=110, warmup_steps=10)
    values = [float(rate(step)) for step in (0, 5, 10, 60, 110, 500)]
    # 0 -> 0.5 in ten steps; half way down: 0.5 * (0.98 / 2 + 0.02); end: 2 % of 0.5 (float32 arithmetic)
    np.testing.assert_allclose(values, [0, 0.25, 0.5, 0.255, 0.01, 0.01], rtol=1e-5)
    assert supervised.learning_rate(0.5, "constant", total_steps=9) == 0.5


def test_run_keeps_the_statistics_of_one_records_folder(tmp_path):
    records, other, run = tmp_path / "a", tmp_path / "b", tmp_path / "run"
    for folder, content in ((records, b"one"), (other, b"two")):
        folder.mkdir()
        (folder / "statistics.npz").write_bytes(content)
    keep_statistics(records, run)
    keep_statistics(records, run)
    assert (run / "statistics.npz").read_bytes() == b"one"
    with pytest.raises(ConfigError, match="trained on other records"):
        keep_statistics(other, run)
