"""Training of the pitch estimator: mel in, F0 bins and voicing out (see `avsc_tf.features.pitch`)."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from avsc_tf.features.pitch import (
    BIN_CENTS,
    CHANNELS,
    KERNEL_SIZE,
    LOWEST_F0_HZ,
    N_BINS,
    N_CONVOLUTIONS,
    PitchEstimator,
)

Floats = NDArray[np.float32]

CROP_FRAMES = 64
BATCH_SIZE = 32
TARGET_WIDTH_CENTS = 25.0  # standard deviation of the soft label (CREPE)
LEARNING_RATE = 2e-3


def train_pitch_estimator(mels: Sequence[Floats], f0s_hz: Sequence[Floats], *, steps: int, seed: int) -> PitchEstimator:
    """Fit on natural-log mel [frames, n_mels] and F0 [frames] in Hz, 0 where unvoiced.

    Half of the crops are blurred over time or bands, shifted in level and noised: converted mel is smoother than
    natural mel, and its level is another one.
    """
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng([seed, 77])
    everything = np.concatenate(mels)
    mean, std = everything.mean(0), everything.std(0) + 0.1
    network = _network(mels[0].shape[1])
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps, alpha=0.02)
    network.compile(optimizer=keras.optimizers.Adam(schedule, global_clipnorm=1.0), loss=_loss, jit_compile=False)
    lengths = np.array([max(0, len(mel) - CROP_FRAMES) for mel in mels], float)
    for _ in range(steps):
        picks = rng.choice(len(mels), BATCH_SIZE, p=lengths / lengths.sum())
        starts = [rng.integers(len(mels[i]) - CROP_FRAMES + 1) for i in picks]
        x = np.stack([mels[i][s : s + CROP_FRAMES] for i, s in zip(picks, starts, strict=True)])
        y = np.stack([f0s_hz[i][s : s + CROP_FRAMES] for i, s in zip(picks, starts, strict=True)])
        x = np.stack([_augmented(crop, rng) for crop in x])
        network.train_on_batch((x - mean) / std, pitch_labels(y))
    return _exported(network, mean, std)


def pitch_labels(f0_hz: Floats) -> Floats:
    """Soft bins and voicing, [..., N_BINS + 1]; the bins of unvoiced frames are 0."""
    voiced = f0_hz > 0
    position = 1200.0 * np.log2(np.where(voiced, f0_hz, LOWEST_F0_HZ) / LOWEST_F0_HZ) / BIN_CENTS
    distance_cents = BIN_CENTS * (np.arange(N_BINS) - position[..., None])
    bins = np.exp(-0.5 * (distance_cents / TARGET_WIDTH_CENTS) ** 2)
    bins /= bins.sum(-1, keepdims=True) + 1e-9
    return np.concatenate([bins * voiced[..., None], voiced[..., None]], axis=-1).astype(np.float32)


def _network(n_mels: int) -> keras.Model:
    mel = hidden = keras.Input((None, n_mels))
    for i in range(N_CONVOLUTIONS):
        hidden = keras.layers.Conv1D(CHANNELS, KERNEL_SIZE, padding="same", activation="relu", name=f"conv{i}")(hidden)
    return keras.Model(mel, keras.layers.Dense(N_BINS + 1, name="out")(hidden))


def _loss(labels, logits):
    # the fused TensorFlow loss has a wrong gradient where the labels are all 0 (unvoiced)
    bins = -tf.reduce_sum(labels[..., :-1] * tf.nn.log_softmax(logits[..., :-1]), axis=-1)
    voicing = tf.nn.sigmoid_cross_entropy_with_logits(labels[..., -1], logits[..., -1])
    return bins + 2.0 * voicing


def _augmented(mel: Floats, rng: np.random.Generator) -> Floats:
    mel = np.maximum(mel + rng.uniform(-2.0, 0.7), np.log(1e-4))
    if rng.random() < 0.5:
        return mel
    kind = rng.integers(3)
    if kind == 0:
        mel = mel + rng.normal(0.0, rng.uniform(0.0, 0.3), mel.shape)
    else:
        width = 2 * rng.integers(1, 4) + 1 if kind == 1 else 3
        window = np.hanning(width + 2)[1:-1]
        axis = 0 if kind == 1 else 1
        blurred = np.apply_along_axis(np.convolve, axis, mel, window / window.sum(), "same")
        mel = blurred if kind == 1 else 0.5 * (mel + blurred)
    return mel


def _exported(network: keras.Model, mean: Floats, std: Floats) -> PitchEstimator:
    weights = {"mel_mean": mean, "mel_std": std}
    for layer in network.layers[1:]:
        kernel, bias = layer.get_weights()
        weights |= {f"{layer.name}_kernel": kernel, f"{layer.name}_bias": bias}
    return PitchEstimator(weights)
