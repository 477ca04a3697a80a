"""The training loop: going on equals never having stopped, folders are guarded, the delivered weights are right."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.core.config import Config, load_config, load_saved_config
from avsc_tf.core.errors import ConfigError, RecordError, TrainingError
from avsc_tf.core.runs import config_path, history_path, network_dir, weights_path
from avsc_tf.datasets.batches import WHOLE, Share
from avsc_tf.training.engine.checkpoints import load_weights
from avsc_tf.training.engine.divergence import LAST_GOOD_NAME
from avsc_tf.training.engine.loop import fit
from avsc_tf.training.engine.model import Supervised
from avsc_tf.training.engine.run_folder import keep_statistics

STEPS = 5


def settings_of(config: Config, **changes) -> Config:
    """The settings with other ones of the conversion network's training."""
    kept = {"epochs": 4, "batch_size": 4, "early_stop_epochs": 0, "checkpoint_seconds": 0.0, **changes}
    return replace(config, conversion=replace(config.conversion, **kept))


def mean_error(wanted, given):
    return {"loss": keras.ops.mean(keras.ops.abs(wanted - given))}


def make_model(seed: int, *, ema: bool = True, clip_norm: float = 1.0, noise: float = 0.1) -> Supervised:
    """Everything that has a state: dropout and noise seeds, batch norm, optimizer slots, averages, a schedule."""
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((None, 4), name="a")
    for layer in (
        keras.layers.GaussianNoise(noise),
        keras.layers.Conv1D(6, 3, padding="same", use_bias=False),
        keras.layers.BatchNormalization(),
        keras.layers.Dropout(2 * noise),
        keras.layers.Dense(2),
    ):
        x = layer(x)
    rate = keras.optimizers.schedules.CosineDecay(0.0, 17, alpha=0.02, warmup_target=1e-2, warmup_steps=3)
    averaging = {"use_ema": True, "ema_momentum": 0.9} if ema else {}
    training = Supervised(keras.Model(inputs, x), mean_error, clip_norm=clip_norm)
    training.compile(keras.optimizers.Adam(rate, **averaging))
    return training


def make_dataset(epoch: int, start: int = 0, share: Share = WHOLE) -> tf.data.Dataset:
    rng = np.random.default_rng(epoch)
    x, y = rng.random((20, 7, 4), np.float32), rng.random((20, 7, 2), np.float32)
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(4).skip(start)


def interrupted_at(epoch: int):
    def dataset(asked: int, start: int, share: Share) -> tf.data.Dataset:
        if asked == epoch:
            raise KeyboardInterrupt
        return make_dataset(asked, start)

    return dataset


def arguments(run, config: Config, **changes):
    own = {name: changes.pop(name) for name in list(changes) if hasattr(config.conversion, name)}
    kept = {"run": run, "network": "conversion", "config": settings_of(config, **own), "steps_per_epoch": STEPS}
    return {**kept, "validation_data": make_dataset(99), **changes}


def without_seconds(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def assert_same_state(ours: Supervised, theirs: Supervised) -> None:
    for a, b in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for a, b in zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


@pytest.mark.parametrize("settings", [{}, {"jit_compile": True}, {"steps_per_execution": 3}], ids=str)
def test_resume_equals_uninterrupted_bit_for_bit(settings, tmp_path, tiny_config):
    whole = make_model(1)
    history = fit(whole, make_dataset, **arguments(tmp_path / "a", tiny_config, **settings))
    with pytest.raises(KeyboardInterrupt):
        fit(make_model(1), interrupted_at(2), **arguments(tmp_path / "b", tiny_config, **settings))
    again = make_model(7)  # another seed: all must come from the checkpoint
    resumed = fit(again, make_dataset, **arguments(tmp_path / "b", tiny_config, resume=True, **settings))
    assert_same_state(whole, again)
    assert without_seconds(history) == without_seconds(resumed)
    assert [row["epoch"] for row in resumed] == [1, 2, 3, 4]


def signalled_at(epoch: int, step: int):
    """Batches, of which one brings a Ctrl-C with it."""

    def dataset(asked: int, start: int, share: Share) -> tf.data.Dataset:
        def ask(*batch):
            signal.raise_signal(signal.SIGINT)
            return batch

        batches = make_dataset(asked, start)
        if asked != epoch or start > step:
            return batches
        x, y = next(iter(batches.skip(step - start)))
        one = tf.data.Dataset.from_tensors(0).map(lambda _: tf.py_function(lambda: ask(x, y), [], [x.dtype, y.dtype]))
        one = one.map(lambda a, b: (tf.ensure_shape(a, x.shape), tf.ensure_shape(b, y.shape)))
        return batches.take(step - start).concatenate(one).concatenate(batches.skip(step - start + 1))

    return dataset


@pytest.mark.parametrize("step", [0, 2, 4])
@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1e9])
def test_stopped_within_an_epoch_equals_uninterrupted(step, checkpoint_seconds, tmp_path, tiny_config, capsys):
    whole = make_model(1)
    history = fit(whole, make_dataset, **arguments(tmp_path / "a", tiny_config))
    options, handler = {"checkpoint_seconds": checkpoint_seconds}, signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(make_model(1), signalled_at(1, step), **arguments(tmp_path / "b", tiny_config, **options))
    assert "Go on with --resume" in "".join(capsys.readouterr())
    assert signal.getsignal(signal.SIGINT) is handler
    again = make_model(7)
    resumed = fit(again, make_dataset, **arguments(tmp_path / "b", tiny_config, resume=True, **options))
    assert_same_state(whole, again)
    assert without_seconds(history) == without_seconds(resumed)


@pytest.mark.parametrize("settings", [{"steps_per_execution": 2}, {"jit_compile": True}], ids=str)
def test_steps_per_execution_and_xla_change_no_figure(settings, tmp_path, tiny_config):
    plain = fit(make_model(1, noise=0.0), make_dataset, **arguments(tmp_path / "a", tiny_config))
    other = fit(make_model(1, noise=0.0), make_dataset, **arguments(tmp_path / "b", tiny_config, **settings))
    for ours, theirs in zip(other, plain, strict=True):
        for name in ("loss", "gradient_norm", "val_loss", "learning_rate"):
            # other graphs sum in another order: float32 rounding over 20 steps of Adam
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4), name


def test_gradients_are_clipped_together_and_measured_before(tiny_config):
    batch = next(iter(make_dataset(0)))
    free, held = make_model(1, ema=False, clip_norm=0.0), make_model(1, ema=False, clip_norm=1e-3)
    for training in (free, held):
        training.optimizer = keras.optimizers.SGD(1.0)
        training.build_optimizers()
    before = [v.numpy() for v in held.network.trainable_variables]
    norms = [float(training.train_step(batch)["gradient_norm"]) for training in (free, held)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-6) and norms[0] > 1e-2
    moved = [b - v.numpy() for b, v in zip(before, held.network.trainable_variables, strict=True)]
    length = np.sqrt(sum((m**2).sum() for m in moved))
    assert length == pytest.approx(1e-3, rel=1e-3)  # weights of size 1 minus steps of 1e-4: float32 rounding
    whole = [b - v.numpy() for b, v in zip(before, free.network.trainable_variables, strict=True)]
    np.testing.assert_allclose(moved[0], whole[0] * 1e-3 / norms[0], rtol=1e-2, atol=1e-7)  # the same direction


@pytest.mark.parametrize("steps_per_execution", [1, 3])
def test_diverging_training_names_step_and_batch_and_keeps_the_last_good_weights(
    steps_per_execution, tmp_path, tiny_config
):
    def poisoned(epoch: int, start: int, share: Share) -> tf.data.Dataset:
        batches = make_dataset(epoch, start).enumerate(start)
        bad = tf.constant(np.nan)
        return batches.map(lambda k, batch: (tf.where(tf.logical_and(k == 3, epoch == 1), bad, batch[0]), batch[1]))

    options = {"steps_per_execution": steps_per_execution}
    with pytest.raises(
        TrainingError, match=r"loss is nan in epoch 2, step 4 \(batch 3 .*not finite: prepare.*--init-from"
    ):
        fit(make_model(1), poisoned, **arguments(tmp_path, tiny_config, **options))
    kept = network_dir(tmp_path, "conversion") / LAST_GOOD_NAME
    network = make_model(2).network
    load_weights(network, kept)
    assert all(np.isfinite(w).all() for w in network.get_weights())


def test_sound_batch_and_infinite_loss_blame_the_rate(tmp_path, tiny_config):
    """The first step still has finite figures, but no finite weights any more: it leaves no checkpoint."""
    training = make_model(1)
    training.optimizer = keras.optimizers.SGD(1e39)
    message = r"in epoch 1, step 2.*The batch itself is sound.*learning_rate.*clip_norm.*No checkpoint"
    with pytest.raises(TrainingError, match=message):
        fit(training, make_dataset, **arguments(tmp_path, tiny_config))


def test_stopped_while_an_epoch_is_scored_loses_nothing(tmp_path, tiny_config):
    whole = make_model(1)
    fit(whole, make_dataset, **arguments(tmp_path / "a", tiny_config))
    options = {"checkpoint_seconds": 1e9}

    def stop(epoch, _writer):
        if epoch == 2:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        fit(make_model(1), make_dataset, **arguments(tmp_path / "b", tiny_config, preview=stop, **options))
    again = make_model(7)
    asked = []

    def dataset(epoch, start, share):
        asked.append(epoch)
        return make_dataset(epoch, start)

    fit(again, dataset, **arguments(tmp_path / "b", tiny_config, resume=True, **options))
    assert asked == [2, 3]
    assert_same_state(whole, again)


def test_killed_process_goes_on_to_the_last_bit(tmp_path, tiny_config, root):
    """kill -9 in the middle of an epoch, several times over."""
    whole = make_model(1)
    fit(whole, make_dataset, **arguments(tmp_path / "a", tiny_config))
    code = (
        "import os, signal, sys\n"
        f"sys.path[:0] = [{str(root)!r}, {str(root / 'tests' / 'training')!r}]\n"
        "import test_loop as t\n"
        "from conftest import small_config\n"
        "from pathlib import Path\n"
        "run, kill_at = Path(sys.argv[1]), int(sys.argv[2])\n"
        f"config = small_config(Path({str(root)!r}))\n"
        "from avsc_tf.training.engine import loop\n"
        "original = loop._Training._checkpoint\n"
        "def checkpoint(self):\n"
        "    original(self)\n"
        "    if self.progress.steps_before(self.steps_per_epoch) == kill_at: os.kill(os.getpid(), signal.SIGKILL)\n"
        "loop._Training._checkpoint = checkpoint\n"
        "loop.fit(t.make_model(1), t.make_dataset, **t.arguments(run, config, resume=True))\n"
    )
    for kill_at in (3, 12):
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "b"), str(kill_at)], capture_output=True)
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    again = make_model(7)
    fit(again, make_dataset, **arguments(tmp_path / "b", tiny_config, resume=True))
    assert_same_state(whole, again)


def test_two_checkpoints_are_kept_and_no_partial_file(tmp_path, tiny_config):
    fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config))
    folder = network_dir(tmp_path, "conversion")
    names = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert names == ["step-000000019.npz", "step-000000020.npz"]
    assert not [path for path in folder.rglob("*partial*")]
    assert all(list((folder / "logs" / name).glob("events*")) for name in ("train", "held_out"))
    with history_path(tmp_path, "conversion").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert {"loss", "val_loss", "learning_rate", "seconds"} <= set(rows[0])


def test_delivered_weights_are_the_average_and_scored_as_such(tmp_path, tiny_config):
    model = make_model(1)
    raw = {}

    def remember(_epoch, _writer):
        raw["averaged"] = model.network.get_weights()

    history = fit(model, make_dataset, **arguments(tmp_path, tiny_config, preview=remember))
    fresh = make_model(3)
    load_weights(fresh.network, weights_path(tmp_path, "conversion"))
    for delivered, shown in zip(fresh.network.get_weights(), raw["averaged"], strict=True):
        np.testing.assert_array_equal(delivered, shown)
    figures = [float(fresh.test_step(batch)["loss"]) for batch in make_dataset(99)]
    assert np.mean(figures) == pytest.approx(history[-1]["val_loss"], rel=1e-6)  # float32 rounding


def test_training_goes_on_from_raw_weights_not_from_the_average(tmp_path, tiny_config):
    averaged, plain = make_model(1, ema=True), make_model(1, ema=False)
    with_average = fit(averaged, make_dataset, **arguments(tmp_path / "a", tiny_config))
    without = fit(plain, make_dataset, **arguments(tmp_path / "b", tiny_config))
    assert [row["loss"] for row in with_average] == [row["loss"] for row in without]
    assert with_average[-1]["val_loss"] != without[-1]["val_loss"]


def test_finished_training_is_reused_and_other_settings_refused(tmp_path, tiny_config, root, capsys):
    model = make_model(1)
    fit(model, make_dataset, **arguments(tmp_path, tiny_config))
    again = make_model(2)
    assert fit(again, interrupted_at(0), **arguments(tmp_path, tiny_config)) == []
    assert "reused" in capsys.readouterr().out
    np.testing.assert_array_equal(model.network.get_weights()[0], again.network.get_weights()[0])
    other = replace(tiny_config, seed=3)
    with pytest.raises(ConfigError, match=r"seed = 20181030, now it is 3.*Name another --out"):
        fit(again, make_dataset, **arguments(tmp_path, other))


def test_settings_of_another_network_do_not_matter(tmp_path, tiny_config, root):
    fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config, epochs=1))
    other = replace(tiny_config, wavenet=replace(tiny_config.wavenet, epochs=77))
    assert fit(make_model(1), make_dataset, **arguments(tmp_path, other, epochs=1)) == []


def test_settings_that_no_weight_depends_on_may_change(tmp_path, tiny_config):
    options = {"preview_epochs": 1, "checkpoint_seconds": 0.0}
    fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config, epochs=1, **options))
    options = {"preview_epochs": 3, "checkpoint_seconds": 9.0}
    assert fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config, epochs=1, **options)) == []
    with pytest.raises(ConfigError, match=r"conversion\.clip_norm"):
        fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config, epochs=1, clip_norm=0.5))


def test_unfinished_training_asks_for_resume(tmp_path, tiny_config, capsys):
    with pytest.raises(KeyboardInterrupt):
        fit(make_model(1), interrupted_at(1), **arguments(tmp_path, tiny_config))
    assert "stopped in epoch 2 of 4, step 0" in "".join(capsys.readouterr())
    with pytest.raises(ConfigError, match=r"step-000000005\.npz.*Add --resume"):
        fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config))
    assert not weights_path(tmp_path, "conversion").exists()
    shutil.rmtree(tmp_path / "conversion")
    assert len(fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config))) == 4


def test_checkpoint_of_another_network_is_refused(tmp_path, tiny_config):
    with pytest.raises(KeyboardInterrupt):
        fit(make_model(1), interrupted_at(1), **arguments(tmp_path, tiny_config))
    with pytest.raises(ConfigError, match="belongs to another network"):
        fit(make_model(1, ema=False), make_dataset, **arguments(tmp_path, tiny_config, resume=True))


def test_short_epoch_names_its_batches(tmp_path, tiny_config):
    with pytest.raises(RecordError, match="5 of 6 batches"):
        fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config, steps_per_epoch=6))


def test_older_run_folders_go_on(tmp_path, tiny_config):
    """A run whose settings lack the newer ones was trained as their defaults say."""
    config = settings_of(tiny_config, epochs=1, checkpoint_seconds=60.0)
    fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config, epochs=1, checkpoint_seconds=60.0))
    path = config_path(tmp_path, "conversion")
    newer = ("steps_per_execution", "preview_epochs", "clip_norm", "checkpoint_seconds")
    text = "".join(
        line for line in path.read_text(encoding="utf-8").splitlines(True) if not line.strip().startswith(newer)
    )
    assert text != path.read_text(encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    assert load_saved_config(path) == config
    assert fit(make_model(1), make_dataset, **arguments(tmp_path, tiny_config, epochs=1)) == []
    with pytest.raises(ConfigError, match="is missing"):
        load_config(path)


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
