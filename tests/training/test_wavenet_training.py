"""Pretraining on plain recordings, fine-tuning on records, and what carries over."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import soundfile

from avsc_tf.core.config import config_from_dict
from avsc_tf.core.errors import ConfigError
from avsc_tf.core.runs import weights_path
from avsc_tf.models.wavenet import build_wavenet
from avsc_tf.training.engine.checkpoints import load_weights
from avsc_tf.training.wavenet.pretraining import pretrain_wavenet
from avsc_tf.training.wavenet.train import export_average, train_wavenet
from avsc_tf.vocoder.sampler import WaveNetSampler


def _loaded(config, path):
    model = build_wavenet(config)
    load_weights(model, path)
    return model


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """Six seconds of buzz and noise in four files, two of them of a held-out sentence."""
    folder, rng = tmp_path_factory.mktemp("speech"), np.random.default_rng(1)
    t = np.arange(72000) / 48000
    for name in ("a_one", "b_one", "a_x9", "b_x9"):
        wave = 0.2 * np.sign(np.sin(2 * np.pi * rng.uniform(100, 200) * t)) + 0.01 * rng.normal(size=len(t))
        soundfile.write(folder / f"{name}.wav", wave, 48000)
    return folder


def test_pretraining_learns_and_fine_tuning_starts_from_it(tiny_config, tiny_records, speech, tmp_path):
    run, tuned = tmp_path / "pretrained", tmp_path / "tuned"
    _, history = pretrain_wavenet(_with(tiny_config, steps_per_epoch=30, learning_rate=5e-3), [speech], run)
    assert history[-1]["loss"] < math.log(tiny_config.wavenet.n_classes) - 0.3  # better than guessing
    assert history[-1]["bits"] == pytest.approx(history[-1]["loss"] / math.log(2), rel=1e-4)

    pretrained = _loaded(tiny_config, weights_path(run, "wavenet"))
    kept = {
        name: getattr(pretrained.mel_normalisation, name).numpy() for name in ("mean", "std", "run_mean", "run_std")
    }
    assert not kept["run_mean"].any() and (kept["run_std"] == 1).all() and kept["mean"].all()

    train_wavenet(tiny_config, tiny_records, tuned, init_from=weights_path(run, "wavenet"))
    layer = _loaded(tiny_config, weights_path(tuned, "wavenet")).mel_normalisation
    mean, std = tiny_records.statistics.get("target", "mel")
    np.testing.assert_array_equal(layer.mean.numpy(), kept["mean"])  # it goes on seeing what it was trained on
    np.testing.assert_array_equal(layer.std.numpy(), kept["std"])
    np.testing.assert_allclose(layer.run_mean.numpy(), mean)
    np.testing.assert_allclose(layer.run_std.numpy(), std)


def test_training_from_scratch_uses_the_runs_own_statistics(tiny_config, tiny_records, tmp_path):
    train_wavenet(tiny_config, tiny_records, tmp_path, make_sampler=WaveNetSampler)
    events = b"".join(path.read_bytes() for path in (tmp_path / "wavenet" / "logs").rglob("events*"))
    assert all(name in events for name in (b"natural", b"wavenet", b"loss/bits", b"optimizer/learning_rate"))
    layer = _loaded(tiny_config, weights_path(tmp_path, "wavenet")).mel_normalisation
    mel = np.random.default_rng(0).normal(size=(1, 4, 80)).astype(np.float32)
    np.testing.assert_allclose(np.asarray(layer(mel)), mel, atol=1e-4)  # standardised in, standardised out
    assert train_wavenet(tiny_config, tiny_records, tmp_path)[1] == []  # finished: reused


def test_averaged_weights_of_an_unfinished_training_can_be_taken_out(tiny_config, speech, tmp_path):
    config = _with(tiny_config, epochs=1)
    pretrain_wavenet(config, [speech], tmp_path)
    assert export_average(config, tmp_path, tmp_path / "out.weights.h5") == 1
    finished = _loaded(config, weights_path(tmp_path, "wavenet"))
    taken = _loaded(config, tmp_path / "out.weights.h5")
    for a, b in zip(finished.weights, taken.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    with pytest.raises(ConfigError, match="no checkpoint"):
        export_average(config, tmp_path / "empty", tmp_path / "none.weights.h5")


def test_missing_or_foreign_initial_weights_are_named(tiny_config, tiny_records, tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        train_wavenet(tiny_config, tiny_records, tmp_path / "a", init_from=tmp_path / "none.weights.h5")
    with pytest.raises(ConfigError, match="another network"):
        train_wavenet(tiny_config, tiny_records, tmp_path / "b", init_from="pretrained")


def _with(config, **wavenet):
    changed = dataclasses.replace(config.wavenet, **wavenet)
    return config_from_dict(dataclasses.replace(config, wavenet=changed).as_dict())
