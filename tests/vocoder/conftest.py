"""Small WaveNets with random weights, and something for them to say."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from avsc_tf.core.config import load_config
from avsc_tf.datasets.recordings import Recording, resample_for_wavenet, with_side_information
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.pitch import PACKAGED_PITCH, PitchEstimator
from avsc_tf.models.wavenet import build_wavenet
from avsc_tf.vocoder.sampler import WaveNetSampler

TINY = [
    "wavenet.n_classes=32",
    "wavenet.n_layers=5",
    "wavenet.dilation_cycle=4",
    "wavenet.residual_channels=6",
    "wavenet.skip_channels=10",
    "wavenet.post_channels=14",
    "wavenet.condition_channels=7",
    "wavenet.facial_channels=3",
    "wavenet.mel_matching_passes=0",
    "face.n_vgg=9",
]


@pytest.fixture(scope="session")
def make(root):
    """`make(*overrides)`: see `_make`."""
    return lambda *overrides: _make(root, *overrides)


@pytest.fixture(scope="session")
def utterance():
    return _utterance


def _make(root, *overrides: str):
    """A network with random weights, its settings and its sampler."""
    config = load_config(root / "configs" / "demo.yaml", [*TINY, *overrides])
    keras.utils.set_random_seed(8)
    model, rng = build_wavenet(config), np.random.default_rng(9)
    for weight in model.trainable_weights:
        fan_in = weight.shape[-2] if len(weight.shape) > 1 else 1
        scale = 0.03 if "peak" in weight.path else min(0.3, 1.2 / np.sqrt(fan_in))  # logits stay where float32 has 1e-5
        weight.assign(weight.numpy() + scale * rng.normal(size=weight.shape))
    model.mel_normalisation.set_statistics(np.full(80, -5.0), np.full(80, 2.0))
    return config, model, WaveNetSampler(model, config)


def _utterance(config, n_video: int, seed: int = 0) -> Recording:
    """A buzz in noise, so that pitch is found in some frames."""
    rng, timebase = np.random.default_rng(seed), config.timebase
    t = np.arange(timebase.samples_in(n_video)) / timebase.sample_rate_hz
    buzz = sum(np.cos(2 * np.pi * 150 * k * t + k) / k for k in range(1, 40)) * (t > t[-1] / 3)
    waveform = (0.1 * buzz + 0.001 * rng.normal(size=len(t))).astype(np.float32)
    mel = mel_spectrogram(waveform, config.acoustic, timebase)
    facial = rng.normal(size=(n_video, config.face.n_facial)).astype(np.float32)
    estimator = PitchEstimator.load(PACKAGED_PITCH) if config.wavenet.pitch_input != "none" else None
    recording = Recording("buzz", resample_for_wavenet(waveform, config), mel, facial)
    return with_side_information([recording], config, estimator)[0]
