"""The weights that a WaveNet starts from: the packaged ones, a file, or a file of a network with fewer inputs.

The paper fine-tunes a network that was pretrained on speech alone. Its weights go into the wider network such that the
new inputs change nothing at first and yet learn: of the two factors between the face and the voice the projection is
zero and the rows that read it keep their random start (were both zero, neither would ever get a gradient). Rows that
read the pitch are zero; the pitch itself is not.
"""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from keras.src.utils.naming import to_snake_case

from avsc_tf.core.config import Config, WaveNetConfig
from avsc_tf.core.errors import ConfigError
from avsc_tf.features.pitch import LAG_OFFSETS, PACKAGED_PITCH, PITCH_CHANNELS
from avsc_tf.models.wavenet import WaveNet, build_wavenet
from avsc_tf.training.engine.checkpoints import load_weights

PACKAGED_WEIGHTS = PACKAGED_PITCH.with_name("wavenet_small.weights.h5")
FACIAL_KERNEL = "layers/facial_at_mel_rate/projection/vars/0"  # where Keras stores it, [n_facial, facial_channels]
FACIAL_LAYER = "facial_projection"
CONDITION_LAYERS = ("condition_rnn", "condition_conv")  # what reads the condition features, with and without BLSTM
SAMPLE_LAYER = "input_projection"
PITCH_INPUTS: tuple[Literal["none", "f0", "lag"], ...] = ("none", "f0", "lag")  # each has the inputs of those before it

Labels = list[tuple[str, int]]  # which input a row of a kernel reads


def load_initial_weights(model: WaveNet, init_from: str | Path, config: Config | None = None) -> None:
    """Start `model` from "" (nothing), "pretrained" (the packaged weights) or a file.

    Args:
        config: the model's own; with it the file may be of a network without the facial or the pitch inputs, or with
            fewer facial channels.

    Raises:
        ConfigError: the file is missing or belongs to another network.
    """
    if not init_from:
        return
    path = PACKAGED_WEIGHTS if str(init_from) == "pretrained" else Path(init_from)
    if not path.is_file():
        raise ConfigError(f"wavenet.init_from: {path} does not exist. Name a weights file, `pretrained`, or nothing.")
    differs = _difference(model, path)
    if not differs:
        _load_whole(model, path)
        return
    if config is not None and _facial_channels(path) <= config.wavenet.facial_channels:
        differs = _load_narrower(model, path, config)
    if differs:
        raise ConfigError(f"{path}: holds another network than these settings make ({differs}).")


def _load_whole(model: WaveNet, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # Keras leaves what it cannot match at random, with a warning only
        try:
            load_weights(model, path)
        except UserWarning as warning:
            raise ConfigError(f"{path}: holds another network than these settings make ({warning}).") from warning


def _load_narrower(model: WaveNet, path: Path, config: Config) -> str:
    """Load the weights of a network with fewer inputs; "" or how the file differs from the nearest such network."""
    differences = []
    for net in _with_fewer_inputs(config.wavenet, _facial_channels(path)):
        donor = build_wavenet(dataclasses.replace(config, wavenet=net))
        differences.append(_difference(donor, path))
        if not differences[-1]:
            _load_whole(donor, path)
            _widen(model, config, donor, net)
            return ""
    return differences[0]


def _difference(model: WaveNet, path: Path) -> str:
    """The first layer whose weights in the file have other shapes than the model's; "" where all fit.

    Keras names the stored layers by their class and their order among those of the class.
    """
    counts: Counter[str] = Counter()
    with h5py.File(path) as file:
        stored = file.get("layers", {})
        for layer in model.layers:
            name = to_snake_case(type(layer).__name__)
            key = f"{name}_{counts[name]}" if counts[name] else name
            counts[name] += 1
            here, there = _shapes(layer), _stored_shapes(stored[key]) if key in stored else []
            if here != there:
                return f"layer {layer.name}: weights {there or 'missing'} in the file, {here or 'none'} by the settings"
        known = {f"{name}_{k}" if k else name for name, n in counts.items() for k in range(n)}
        further = [key for key in stored if key not in known and _stored_shapes(stored[key])]
    return f"further layer {further[0]} in the file" if further else ""


def _shapes(layer: Any) -> list[tuple[int, ...]]:
    return sorted(tuple(weight.shape) for weight in layer.weights)


def _stored_shapes(group: Any) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []

    def collect(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and "seed_generator" not in name:
            found.append(item.shape)

    group.visititems(collect)
    return sorted(found)


def _facial_channels(path: Path) -> int:
    with h5py.File(path) as file:
        return int(file[FACIAL_KERNEL].shape[1]) if FACIAL_KERNEL in file else 0


def _with_fewer_inputs(net: WaveNetConfig, facial_channels: int) -> Iterator[WaveNetConfig]:
    """Settings with so many facial channels and with each pitch input that this one contains, the own one first."""
    for pitch_input in reversed(PITCH_INPUTS[: PITCH_INPUTS.index(net.pitch_input) + 1]):
        yield dataclasses.replace(net, facial_channels=facial_channels, pitch_input=pitch_input)


def _widen(model: WaveNet, config: Config, donor: WaveNet, old: WaveNetConfig) -> None:
    """Copy the donor's weights; rows and columns of inputs it has not got stay as the module's docstring says."""
    new, n_mels = config.wavenet, config.acoustic.n_mels
    condition = CONDITION_LAYERS[0] if new.condition_rnn_units else CONDITION_LAYERS[1]
    rows = {
        condition: (_condition_labels(old, n_mels), _condition_labels(new, n_mels)),
        SAMPLE_LAYER: (_sample_labels(old), _sample_labels(new)),
    }
    for layer in donor.layers:
        target, weights = model.get_layer(layer.name), layer.get_weights()
        if layer.name == FACIAL_LAYER:
            weights = [_first_columns(a, b) for a, b in zip(weights, target.get_weights(), strict=True)]
        elif layer.name in rows:
            labels = rows[layer.name]
            weights = [_rows_by_label(a, b, *labels) for a, b in zip(weights, target.get_weights(), strict=True)]
        target.set_weights(weights)


def _first_columns(old: np.ndarray, fresh: np.ndarray) -> np.ndarray:
    """The old projection; further channels keep their start at zero."""
    widened = np.zeros_like(fresh)
    widened[..., : old.shape[-1]] = old
    return widened


def _rows_by_label(old: np.ndarray, fresh: np.ndarray, old_labels: Labels, new_labels: Labels) -> np.ndarray:
    """Kernel [..., in, out] with the old row of each input; other weights as they are."""
    if old.ndim < 2 or old.shape[-2] != len(old_labels):
        return old
    widened = np.empty_like(fresh)
    for row, label in enumerate(new_labels):
        if label in old_labels:
            widened[..., row, :] = old[..., old_labels.index(label), :]
        else:
            widened[..., row, :] = fresh[..., row, :] if label[0] == "facial" else 0.0
    return widened


def _condition_labels(net: WaveNetConfig, n_mels: int) -> Labels:
    """What the condition module's input holds, in the order of `models.wavenet`."""
    pitch = PITCH_CHANNELS if net.pitch_input != "none" else 0
    return _labels(("mel", n_mels), ("facial", net.facial_channels), ("pitch", pitch))


def _sample_labels(net: WaveNetConfig) -> Labels:
    """What the sample-level input holds, in the order of `layers.sample_inputs`."""
    linear = net.input_features == "companded_and_linear"
    taps = len(LAG_OFFSETS) if net.pitch_input == "lag" else 0
    forms = 2 if linear else 1
    parts = [("waveform", 4 if linear else 1), ("lag", forms * taps)]
    if net.prediction_order:
        parts += [("prediction", forms), ("residual", 1 + taps)]
    return _labels(*parts)


def _labels(*parts: tuple[str, int]) -> Labels:
    return list(itertools.chain.from_iterable([(name, k) for k in range(n)] for name, n in parts))
