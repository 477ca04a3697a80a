"""A WaveNet's training that was stopped and goes on equals one that never stopped, to the last bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from avsc_tf.core.config import config_from_dict
from avsc_tf.training.wavenet import train as wavenet
from avsc_tf.training.wavenet.train import train_wavenet

EPOCHS = 3


def settings(config, **net):
    schedule = {"lr_schedule": "cosine", "warmup_steps": 3, "ema_decay": 0.9, "clip_norm": 1.0, "input_noise": 0.04}
    schedule["checkpoint_seconds"] = 0.0
    changed = dataclasses.replace(config.wavenet, epochs=EPOCHS, steps_per_epoch=3, **schedule, **net)
    return config_from_dict(dataclasses.replace(config, wavenet=changed).as_dict())


def stop_in_epoch(monkeypatch, epoch: int) -> None:
    original = wavenet.as_dataset

    def dataset(sampler, asked, steps, **options):
        if asked == epoch and sampler.noisy:
            raise KeyboardInterrupt
        return original(sampler, asked, steps, **options)

    monkeypatch.setattr(wavenet, "as_dataset", dataset)


@pytest.mark.parametrize(
    "net",
    [
        pytest.param({}, id="float32"),
        pytest.param({"compute_dtype": "bfloat16", "early_stop_epochs": 9}, id="bfloat16, early stop"),
        pytest.param({"compute_dtype": "float16"}, id="float16", marks=pytest.mark.slow),
    ],
)
def test_stopped_and_resumed_equals_uninterrupted(net, tiny_config, tiny_records, tmp_path, monkeypatch):
    config = settings(tiny_config, **net)
    monkeypatch.setattr(wavenet, "VALIDATION_CROPS", 4)
    whole, history = train_wavenet(config, tiny_records, tmp_path / "a")
    with monkeypatch.context() as stopping:
        stop_in_epoch(stopping, 2)
        with pytest.raises(KeyboardInterrupt):
            train_wavenet(config, tiny_records, tmp_path / "b")
    resumed, again = train_wavenet(config, tiny_records, tmp_path / "b", resume=True)
    for a, b in zip(whole.get_weights(), resumed.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    figures = [[{k: v for k, v in row.items() if k != "seconds"} for row in rows] for rows in (history, again)]
    assert figures[0] == figures[1] and len(figures[0]) == EPOCHS
