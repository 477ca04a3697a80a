"""Training of the audiovisual transformation network on aligned pairs (paper sections 3.1, 4.3)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avsc_tf.core.config import Config
from avsc_tf.corpus.reader import Records
from avsc_tf.datasets.conversion import batches_per_epoch, windows
from avsc_tf.losses.regression import ConversionLoss
from avsc_tf.models.conversion_net import ConversionNet, alone_map, build_conversion_net
from avsc_tf.training.conversion.balanced_model import BALANCES
from avsc_tf.training.conversion.closed_form import LinearPath, fit_linear_path
from avsc_tf.training.conversion.previews import Vocode, conversion_preview
from avsc_tf.training.engine.checkpoints import load_weights
from avsc_tf.training.engine.devices import ONE_DEVICE, Devices
from avsc_tf.training.engine.loop import History, fit
from avsc_tf.training.engine.mixed_precision import CONVERSION_FLOAT32_LAYERS, for_training
from avsc_tf.training.engine.model import Supervised
from avsc_tf.training.engine.optimizers import adam
from avsc_tf.training.engine.run_folder import keep_statistics

NETWORK = "conversion"


def train_conversion(
    config: Config,
    records: Records,
    run: Path,
    *,
    resume: bool = False,
    init_from: Path | None = None,
    vocode: Vocode | None = None,
    dry_run: bool = False,
    devices: Devices = ONE_DEVICE,
) -> tuple[ConversionNet, History]:
    """Train the network of `config.conversion` into RUN/conversion.

    Args:
        init_from: weights of the same network to start from.
        vocode: natural-log mel -> waveform, to hear a held-out sentence in TensorBoard.
        dry_run: print what the training would be and write nothing (`training.engine.dry_run`).
        devices: to train on; every process of them makes the same call.

    Returns:
        The trained network and its history (empty where it had been trained before).
    """
    devices.check(config.conversion, NETWORK)
    if not dry_run:
        devices.decide(lambda: keep_statistics(records.folder, run))
    keras.utils.set_random_seed(config.seed)
    steps = batches_per_epoch(records, "train", config)
    with devices.building():
        model = build_conversion_net(config)
        if init_from is not None:
            load_weights(model, init_from)
        elif config.conversion.linear_path and not dry_run:
            set_linear_path(model, linear_path_of(config, records))
        training = conversion_training(model, config, total_steps=steps * config.conversion.epochs)
    history = fit(
        training,
        lambda epoch, step, share: windows(
            records, "train", config, epoch=epoch, seed=config.seed, start_batch=step, share=share
        ),
        run=run,
        network=NETWORK,
        config=config,
        steps_per_epoch=steps,
        validation_data=whole_utterances(records, "test") if records.n_pairs("test") else None,
        resume=resume,
        preview=conversion_preview(training.network, records, vocode),
        dry_run=dry_run,
        devices=devices,
    )
    model.set_weights(training.network.get_weights())
    return model, history


def conversion_training(model: ConversionNet, config: Config, *, total_steps: int) -> Supervised:
    """The network with its losses and Adam, computing as `conversion.compute_dtype` says."""
    net = config.conversion
    trained = for_training(model, net.compute_dtype, lambda: build_conversion_net(config), CONVERSION_FLOAT32_LAYERS)
    common: dict[str, Any] = {"clip_norm": net.clip_norm, "name": "conversion_training"}
    training = (
        Supervised(trained, ConversionLoss(config), **common)
        if net.loss_balance == "fixed"
        else BALANCES[net.loss_balance](trained, config, **common)
    )
    training.compile(adam(net, net.learning_rate, total_steps=total_steps))
    return training


def linear_path_of(config: Config, records: Records) -> LinearPath:
    """The ridge regression that the linear path starts from, over all training pairs."""
    names = ("source_mel", "source_facial", "target_mel", "target_facial")
    net = config.conversion
    return fit_linear_path(
        records.pairs("train", only=names),
        n_keypoint_values=2 * config.face.n_keypoints,
        mel_per_video=config.timebase.mel_per_video,
        context=net.linear_path_context,
        penalty=net.linear_path_ridge,
        rank=net.linear_path_rank,
        seed=config.seed,
        modalities=net.modalities,
        alone=net.modality_dropout > 0,
    )


def set_linear_path(model: ConversionNet, path: LinearPath) -> None:
    """Write the ridge regression into the network, whose own outputs are zero until the first step."""
    model.get_layer("linear_map").set_weights([path.map_kernel, path.map_bias])
    if path.vgg_kernel.size:
        model.get_layer("linear_vgg").set_weights([path.vgg_kernel, path.vgg_bias])
    for name, weights in path.alone.items():
        model.get_layer(alone_map(name)).set_weights(weights)


def whole_utterances(records: Records, split: str) -> tf.data.Dataset:
    """Each pair whole, in batches of one, as conversion meets them."""

    def examples() -> Any:
        for pair in records.pairs(split):
            features = {
                name: np.asarray(pair[name], np.float32)[None] for name in pair if name.endswith(("mel", "facial"))
            }
            yield tuple(
                {kind: features[f"{side}_{kind}"] for kind in ("mel", "facial")} for side in ("source", "target")
            )

    face, mel = records.config.face, records.config.acoustic
    one = {
        "mel": tf.TensorSpec((1, None, mel.n_mels), tf.float32),
        "facial": tf.TensorSpec((1, None, face.n_facial), tf.float32),
    }
    return tf.data.Dataset.from_generator(examples, output_signature=(one, one))
