"""A streamed training that is stopped and goes on equals a held one that never stopped; damage ends it by name."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from avsc_tf.core.config import Config
from avsc_tf.core.errors import RecordError
from avsc_tf.corpus.reader import Records
from avsc_tf.datasets.batches import Share
from avsc_tf.datasets.conversion import batches_per_epoch, windows
from avsc_tf.losses.regression import ConversionLoss
from avsc_tf.training.engine.loop import fit
from avsc_tf.training.engine.model import Supervised

EPOCHS = 3


def settings(config: Config, *, memory_mb: int) -> Config:
    net = replace(config.conversion, batch_size=2, window_seconds=0.4, epochs=EPOCHS, checkpoint_seconds=0.0)
    return replace(config, conversion=net, records=replace(config.records, memory_mb=memory_mb))


def small_model(config: Config) -> Supervised:
    """A linear map of each feature: what it learns depends on the order of the batches as much as a network would."""
    keras.utils.set_random_seed(1)
    sizes = {"mel": config.acoustic.n_mels, "facial": config.face.n_facial}
    inputs = {name: keras.Input((None, size), name=name) for name, size in sizes.items()}
    model = keras.Model(
        inputs, {name: keras.layers.Dense(sizes[name], name=f"{name}_map")(x) for name, x in inputs.items()}
    )
    training = Supervised(model, ConversionLoss(config))
    training.compile(keras.optimizers.Adam(1e-2))
    return training


def train(
    config: Config, records: Records, run: Path, *, stop_at: int | None = None, resume: bool = False
) -> list[np.ndarray]:
    training = small_model(config)
    steps = batches_per_epoch(records, "train", config)

    def dataset(epoch: int, start: int, share: Share):
        if epoch == stop_at:
            raise KeyboardInterrupt
        return windows(records, "train", config, epoch=epoch, seed=7, start_batch=start, share=share)

    arguments = {"run": run, "network": "conversion", "config": config, "steps_per_epoch": steps}
    fit(training, dataset, resume=resume, **arguments)
    return training.network.get_weights()


def test_stopped_and_streamed_equals_held_and_uninterrupted(tiny_config, tiny_records, tmp_path):
    whole = train(settings(tiny_config, memory_mb=100), tiny_records, tmp_path / "held")
    streamed = settings(tiny_config, memory_mb=0)
    with pytest.raises(KeyboardInterrupt):
        train(streamed, tiny_records, tmp_path / "streamed", stop_at=2)
    resumed = train(streamed, tiny_records, tmp_path / "streamed", resume=True)
    for a, b in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(a, b)


def test_damage_ends_the_training_by_name(tiny_config, tiny_records, tmp_path):
    shutil.copytree(tiny_records.folder, tmp_path / "records")
    (shard,) = tiny_records.manifest.shards_of("pairs-train")
    with (tmp_path / "records" / shard.name).open("r+b") as file:
        file.seek(shard.frame_bytes[0] + 5000)
        file.write(b"\0wrong\0")
    own = replace(tiny_records, folder=tmp_path / "records")
    with pytest.raises(RecordError, match=f"{shard.name}: record 1, utterance 'u1' .*damaged"):
        train(settings(tiny_config, memory_mb=0), own, tmp_path / "run")
