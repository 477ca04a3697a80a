"""A dry run: its counts equal those made by hand, its times are the training's, and it leaves no trace."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from avsc_tf.core.config import load_config
from avsc_tf.datasets.batches import WHOLE, Share
from avsc_tf.models.conversion_net import build_conversion_net
from avsc_tf.models.image_generator import build_image_generator
from avsc_tf.models.wavenet import build_wavenet
from avsc_tf.training.conversion.train import train_conversion
from avsc_tf.training.engine.dry_run import Memory, Plan, Timing, plan_training
from avsc_tf.training.engine.dry_run_text import bytes_text, plan_text, seconds_text
from avsc_tf.training.engine.layer_table import parts_of
from avsc_tf.training.engine.model import Supervised
from avsc_tf.training.engine.optimizers import adam
from avsc_tf.training.image.train import build_gan, train_image
from avsc_tf.training.wavenet.train import train_wavenet

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STEPS, BATCH = 7, 3


def mean_error(wanted, given):
    return {"loss": keras.ops.mean(keras.ops.abs(wanted - given))}


def small_training(settings) -> Supervised:
    """Two alike hidden layers with norms, and an output."""
    x = inputs = keras.Input((None, 4), name="a")
    for name in ("hidden_1", "hidden_2"):
        x = keras.layers.Dense(4, name=name)(x)
        x = keras.layers.BatchNormalization(name=f"{name}_norm")(x)
    training = Supervised(keras.Model({"a": inputs}, keras.layers.Dense(2, name="out")(x), name="small"), mean_error)
    training.compile(adam(settings, 1e-2, total_steps=4 * STEPS))
    return training


def batches(epoch: int, start: int = 0, share: Share = WHOLE, *, n: int = STEPS) -> tf.data.Dataset:
    x, y = np.ones((BATCH * n, 5, 4), np.float32), np.zeros((BATCH * n, 5, 2), np.float32)
    return tf.data.Dataset.from_tensor_slices(({"a": x}, y)).batch(BATCH).skip(start)


@pytest.fixture
def settings(tiny_config):
    changes = {"epochs": 4, "batch_size": BATCH, "ema_decay": 0.9, "lr_schedule": "exponential", "warmup_steps": 2}
    return replace(tiny_config.conversion, **changes, steps_per_execution=3)


def plan_of(settings, **changes) -> Plan:
    arguments = {"network": "small", "settings": settings, "steps_per_epoch": STEPS, "validation_data": None}
    return plan_training(small_training(settings), batches, **{**arguments, **changes})


def test_counts_equal_those_made_by_hand(settings):
    plan = plan_of(settings, validation_data=batches(0, n=9))
    (part,) = plan.parts
    # Dense 4 x 4 + 4, norm 4 + 4 learnt and 4 + 4 averaged; twice, and as one row. Output 4 x 2 + 2.
    assert [(r.name, r.trainable, r.fixed, r.n_alike, r.output) for r in part.rows] == [
        ("hidden_1 to hidden_2", 56, 16, 2, ((BATCH, 5, 4),)),
        ("out", 10, 0, 1, ((BATCH, 5, 2),)),
    ]
    assert (part.trainable, part.fixed) == (66, 16)
    assert part.output_bytes == 4 * BATCH * 5 * (4 * 4 + 2)
    assert plan.memory.weights == 4 * 82 and plan.memory.gradients == 4 * 66
    # Adam: two slots and the average of each weight; its counter and its rate, if that is a variable.
    assert plan.memory.optimizer - 4 * 3 * 66 in (8, 12)
    assert plan.total_steps == 28 and plan.n_held_out_batches == 9
    assert plan.batch == (f"0/a          float32   [{BATCH}, 5, 4]", f"1            float32   [{BATCH}, 5, 2]")


def test_rates_are_the_schedules_own(settings):
    (rate,) = plan_of(settings).rates
    # 26 falling steps after the warm-up; half-way 12 of them are done. 1e-6: float32.
    wanted = [(0, 0.0), (2, 1e-2), (14, 1e-2 * 0.02 ** (12 / 26)), (28, 2e-4)]
    assert [step for step, _ in rate.points] == [step for step, _ in wanted]
    np.testing.assert_allclose([r for _, r in rate.points], [r for _, r in wanted], rtol=1e-6, atol=0)


@pytest.mark.parametrize("n", [2, STEPS], ids=["an epoch of two steps", "a longer one"])
def test_times_are_those_of_slow_batches(settings, n):
    def slow(epoch, start, share):
        def wait(x, y):
            time.sleep(0.05)
            return x, y

        def make(x, y):
            found = tf.numpy_function(wait, [x["a"], y], [tf.float32, tf.float32])
            return {"a": tf.ensure_shape(found[0], x["a"].shape)}, tf.ensure_shape(found[1], y.shape)

        return batches(epoch, start, share, n=n).map(make)

    timing = plan_training(
        small_training(settings), slow, network="small", settings=settings, steps_per_epoch=n, validation_data=None
    ).timing
    assert timing.first_step > timing.step > timing.waiting > 0.03  # the next batch is begun during a step
    assert 0.05 <= timing.reading < 0.5  # ten times that: a loaded machine
    assert timing.held_out == 0.0


def test_report_says_it_all(settings):
    plan = replace(
        plan_of(settings),
        n_held_out_batches=9,
        memory=Memory(2**20, 3 * 2**20, 5 * 2**20, 2**30, 2**30, 3 * 2**30, None),
        timing=Timing(first_step=8.0, step=0.5, waiting=0.01, reading=0.05, held_out=2.0),
    )
    text = plan_text(plan)
    assert "7 of 3 examples each an epoch; 4 epochs, 28 steps" in text
    assert "hidden_1 to hidden_2 (2 alike)" in text and "parameters: 82, of them trainable 66, fixed 16" in text
    assert "learning rate, exponential: 0 at step 0, 0.01 at step 2" in text
    assert f"  {'together, counted':38}   1.01 GiB" in text and "GPU" not in text
    assert "a warm step: 500 ms, of which 2.0 % is waiting" in text and "not 3)" in text
    assert "about 30 s on this machine (5.5 s an epoch" in text  # 8 + 4 * (7 * 0.5 + 2)


def test_durations_and_sizes_in_words():
    assert [seconds_text(s) for s in (0.0034, 1.2, 425, 7800, 273_600)] == [
        "3.4 ms",
        "1.2 s",
        "7 min 5 s",
        "2 h 10 min",
        "3 days 4 h",
    ]
    assert [bytes_text(n) for n in (2**19, 3 * 2**29)] == ["0.5 MiB", "1.50 GiB"]


@pytest.mark.parametrize("train", [train_conversion, train_image, train_wavenet])
def test_every_network_runs_dry_and_leaves_no_trace(train, tiny_config, tiny_records, tmp_path, capsys):
    run = tmp_path / "run"
    _, history = train(tiny_config, tiny_records, run, dry_run=True)
    assert history == [] and not run.exists()
    shown = capsys.readouterr().out
    network = train.__name__.removeprefix("train_")
    assert shown.startswith(f"{network}: a dry run") and "the whole training: about" in shown
    assert shown.count("parameters:") == (2 if network == "image" else 1)


@pytest.mark.parametrize("name", ["paper", "demo"])
def test_tables_of_shipped_configs_count_every_parameter(name):
    config = load_config(CONFIGS / f"{name}.yaml")
    mel, facial = (np.zeros((2, 8 * k, config.acoustic.n_mels), np.float32) for k in (3, 1)), config.face.n_facial
    pair = {"mel": next(mel), "facial": np.zeros((2, 3, facial), np.float32)}
    one = {"mel": next(mel), "facial": pair["facial"][:, 0]}
    gan = build_gan(config, build_image_generator(config), total_steps=1)
    speech = build_wavenet(config)
    hop = speech.hop_samples
    samples = {x.name: np.zeros((2, *(_length(x, hop), *x.shape[2:])), np.float32) for x in speech.inputs}
    conversion = build_conversion_net(config)
    for training, batch, n_last in (
        (Supervised(conversion, mean_error), (pair,), None),
        (gan, (one, np.zeros((2, config.image.size_px, config.image.size_px, 3), np.float32)), 1),
        (Supervised(speech, mean_error), (samples,), None),
    ):
        if isinstance(training, Supervised):
            training.compile(keras.optimizers.Adam())
        for part in parts_of(training, batch):
            assert sum(row.trainable + row.fixed for row in part.rows) == part.network.count_params()
            assert all(shape[0] == 2 for row in part.rows for shape in row.output)
        assert n_last is None or part.rows[-1].output == ((2, n_last),)


def _length(tensor, hop: int) -> int:
    """Of 8 mel frames: of the inputs of each rate."""
    return {"mel": 8, "pitch": 8, "facial": 1}.get(tensor.name, 8 * hop)
