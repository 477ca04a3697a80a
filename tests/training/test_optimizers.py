"""Schedules against numbers worked out by hand; averages and loss scaling where they are asked for."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from avsc_tf.training.engine.optimizers import WarmUpThenExponential, adam, learning_rate


def rates(settings, steps, **options):
    rate = learning_rate(0.5, settings, total_steps=110)
    return [float(rate(step)) for step in steps]


@pytest.fixture
def settings(tiny_config):
    return replace(tiny_config.wavenet, warmup_steps=10)


def test_cosine_warms_up_and_falls_to_two_percent(settings):
    # 0 -> 0.5 in ten steps; half way down: 0.5 * (0.98 / 2 + 0.02); end: 2 % of 0.5 (float32 arithmetic)
    found = rates(replace(settings, lr_schedule="cosine"), (0, 5, 10, 60, 110, 500))
    np.testing.assert_allclose(found, [0, 0.25, 0.5, 0.255, 0.01, 0.01], rtol=1e-5)


def test_exponential_halves_in_equal_times(settings):
    found = rates(replace(settings, lr_schedule="exponential"), (0, 5, 10, 60, 110, 500))
    # half way down: the geometric mean of 0.5 and 0.01
    np.testing.assert_allclose(found, [0, 0.25, 0.5, np.sqrt(0.5 * 0.01), 0.01, 0.01], rtol=1e-5)


def test_constant_stays_after_its_warm_up(settings):
    assert rates(replace(settings, lr_schedule="constant"), (0, 5, 10, 109)) == [0, 0.25, 0.5, 0.5]
    without = replace(settings, lr_schedule="constant", warmup_steps=0)
    assert learning_rate(0.5, without, total_steps=9) == 0.5


def test_schedule_round_trip():
    schedule = WarmUpThenExponential(0.1, warmup_steps=3, fall_steps=7, last_share=0.5)
    again = WarmUpThenExponential.from_config(schedule.get_config())
    assert [float(again(k)) for k in range(12)] == [float(schedule(k)) for k in range(12)]


@pytest.mark.parametrize(("dtype", "kind"), [("float32", keras.optimizers.Adam), ("bfloat16", keras.optimizers.Adam)])
def test_only_float16_scales_its_loss(settings, dtype, kind):
    optimizer = adam(replace(settings, compute_dtype=dtype, ema_decay=0.0), 1e-3, total_steps=5)
    assert type(optimizer) is kind and not optimizer.use_ema
    scaled = adam(replace(settings, compute_dtype="float16", ema_decay=0.9), 1e-3, total_steps=5, beta_2=0.7)
    inner = scaled.inner_optimizer
    assert (inner.use_ema, inner.ema_momentum, inner.beta_2) == (True, 0.9, 0.7)
    assert float(scaled.scale_loss(1.0)) > 1.0
