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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np

from avsc_tf.config import Config, WaveNetConfig
from avsc_tf.errors import ConfigError
from avsc_tf.features.pitch import LAG_OFFSETS, PACKAGED_PITCH, PITCH_CHANNELS
from avsc_tf.models.wavenet import WaveNet, build_wavenet
from avsc_tf.training.checkpoints import load_weights

PACKAGED_WEIGHTS = PACKAGED_PITCH.with_name("wavenet_small.weights.h5")
FACIAL_KERNEL = "layers/facial_at_mel_rate/projection/vars/0"  # where Keras stores it, [n_facial, facial_channels]
FACIAL_LAYER = "facial_projection"
CONDITION_LAYERS = ("condition_rnn", "condition_conv")  # the first that exists reads the condition features
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
    before = model.get_weights()
    try:
        _load_whole(model, path)
    except ConfigError as error:
        model.set_weights(before)  # part of them may have been read
        donor = _donor(path, config) if config is not None else None
        if donor is None or config is None:
            raise error
        _widen(model, config, *donor)


def _load_whole(model: WaveNet, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # Keras leaves what it cannot match at random, with a warning only
        try:
            load_weights(model, path)
        except UserWarning as warning:
            raise ConfigError(f"{path}: holds another network than these settings make ({warning}).") from warning


def _donor(path: Path, config: Config) -> tuple[WaveNet, WaveNetConfig] | None:
    """The network of the file, where it differs from the settings' by missing inputs alone."""
    for net in _with_fewer_inputs(config.wavenet, _facial_channels(path)):
        donor = build_wavenet(dataclasses.replace(config, wavenet=net))
        try:
            _load_whole(donor, path)
        except ConfigError:
            continue
        return donor, net
    return None


def _facial_channels(path: Path) -> int:
    with h5py.File(path) as file:
        return int(file[FACIAL_KERNEL].shape[1]) if FACIAL_KERNEL in file else 0


def _with_fewer_inputs(net: WaveNetConfig, facial_channels: int) -> Iterator[WaveNetConfig]:
    pitch_inputs = PITCH_INPUTS[: PITCH_INPUTS.index(net.pitch_input) + 1]
    if facial_channels <= net.facial_channels:
        for pitch_input in reversed(pitch_inputs):
            yield dataclasses.replace(net, facial_channels=facial_channels, pitch_input=pitch_input)


def _widen(model: WaveNet, config: Config, donor: WaveNet, old: WaveNetConfig) -> None:
    """Copy the donor's weights; rows and columns of inputs it has not got stay as the module's docstring says."""
    new, n_mels = config.wavenet, config.acoustic.n_mels
    condition = next(name for name in CONDITION_LAYERS if _has_layer(model, name))
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


def _has_layer(model: Any, name: str) -> bool:
    return name in _names(model.layers)


def _names(layers: Sequence[Any]) -> list[str]:
    return [layer.name for layer in layers]
