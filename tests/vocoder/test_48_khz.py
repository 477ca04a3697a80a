"""configs/paper48.yaml from records to a spoken clip, at the paper's full size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from avsc_tf.core.config import Config, load_config
from avsc_tf.core.runs import weights_path
from avsc_tf.core.schema import CLIP
from avsc_tf.corpus.manifest import Manifest, count_records, write_manifest
from avsc_tf.corpus.reader import Records, open_records
from avsc_tf.corpus.writer import ShardWriter
from avsc_tf.datasets.target_clips import recordings_of_records
from avsc_tf.datasets.waveform import crop_inputs
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.statistics import StatisticsFitter
from avsc_tf.models.wavenet import build_wavenet
from avsc_tf.training.engine.checkpoints import load_weights
from avsc_tf.training.wavenet.train import train_wavenet
from avsc_tf.vocoder.sampler import WaveNetSampler

N_VIDEO = (9, 12)
SPOKEN_VIDEO = 5  # 0.2 s
BRIEF = [
    "wavenet.crop_seconds=0.04",
    "wavenet.batch_size=1",
    "wavenet.epochs=1",
    "wavenet.steps_per_epoch=2",
    "image.size_px=32",
    "face.crop_px=128",
]


def clip(rng: np.random.Generator, n_video: int, config: Config) -> dict[str, object]:
    """A buzz with harmonics up to 20 kHz, and random features of a face."""
    timebase = config.timebase
    t = np.arange(timebase.samples_in(n_video)) / timebase.sample_rate_hz
    buzz = sum(np.cos(2 * np.pi * 200 * k * t + k * k) / k for k in range(1, 100))
    waveform = (0.1 * buzz + 0.003 * rng.normal(size=len(t))).astype(np.float32)
    frame = np.full((config.image.size_px, config.image.size_px, 3), 128, np.uint8)
    return {
        "speaker": "target",
        "mel": mel_spectrogram(waveform, config.acoustic, timebase),
        "keypoints": (60 + rng.normal(size=(n_video, config.face.n_keypoints, 2))).astype(np.float32),
        "vgg": rng.random((n_video, config.face.n_vgg)).astype(np.float16),
        "crop_centres": np.full((n_video, 2), 64.0, np.float32),
        "crop_side": np.float32(128.0),
        "frame_size": np.array([360, 288], np.int32),
        "frames": [cv2.imencode(".png", frame)[1].tobytes()] * n_video,
        "waveform": np.round(32767 * waveform).astype(np.int16),
    }


@pytest.fixture(scope="module")
def config(root) -> Config:
    return load_config(root / "configs" / "paper48.yaml", BRIEF)


@pytest.fixture(scope="module")
def records(config, tmp_path_factory) -> Records:
    """Two clips of the target, to train on."""
    folder, rng = tmp_path_factory.mktemp("records"), np.random.default_rng(3)
    fitter, shards = StatisticsFitter(), []
    for split, lengths in (("train", N_VIDEO), ("test", ())):
        with ShardWriter(folder, f"target-{split}", CLIP, config=config) as writer:
            for k, n_video in enumerate(lengths):
                features = clip(rng, n_video, config)
                fitter.add("target", **{name: features[name] for name in ("mel", "vgg", "keypoints")})
                labels = {"utterance": f"u{k}", "emotion": "neutral", "sentence": f"s{k}", "split": split}
                writer.write({**labels, **features}, video_frames=n_video)
            shards += writer.finish()
    fitter.finish().save(folder / "statistics.npz")
    settings = (config.fingerprint, config.record_settings, "made by a test")
    write_manifest(folder, Manifest(*settings, tuple(shards), count_records(shards)))
    return open_records(folder, config)


def test_size_and_reach(config, root):
    """The paper's size; the past it hears is as long as at 16 kHz, to a millisecond."""
    net, paper = config.wavenet, load_config(root / "configs" / "paper.yaml").wavenet
    for name in ("n_layers", "residual_channels", "skip_channels", "post_channels", "n_classes"):
        assert getattr(net, name) == getattr(paper, name)
    assert (net.receptive_field_samples, paper.receptive_field_samples) == (12301, 4093)
    assert abs(12301 / 48000 - 4093 / 16000) < 1e-3
    assert config.timebase.at_rate(48000).hop_samples == 240


@pytest.mark.slow
def test_full_size_trains_is_loaded_and_speaks(config, records, tmp_path):
    _, history = train_wavenet(config, records, tmp_path)
    assert np.isfinite(history[-1]["loss"])
    model = build_wavenet(config)
    load_weights(model, weights_path(tmp_path, "wavenet"))
    recording = recordings_of_records(records, "train", config, None)[1]
    mean, std = records.statistics.get("target", "mel")

    def standardise(mel):
        return ((mel - mean) / std).astype(np.float32)

    sampler = WaveNetSampler(model, config)
    assert sampler.hop_samples == 240
    mel, facial = standardise(recording.mel[: 8 * SPOKEN_VIDEO]), recording.facial[:SPOKEN_VIDEO]
    (spoken,) = sampler.generate([mel], [facial], seed=1)
    assert spoken.shape == (9600,) and spoken.dtype == np.float32  # 0.2 s
    assert np.isfinite(spoken).all() and 0 < np.abs(spoken).max() <= 1.0

    inputs, classes = crop_inputs(recording, config, 0, SPOKEN_VIDEO, standardise=standardise)
    assert len(np.unique(classes)) > 100  # or the network would only hear silence
    expected = np.asarray(model({name: value[None] for name, value in inputs.items()}))[0]
    found = sampler.logits(classes, mel, facial)
    np.testing.assert_allclose(found, expected, atol=1e-4)  # float32, sums in another order
