"""A small real records folder in several shards, every value of which says where it is from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from avsc_tf.core.config import Config, load_config
from avsc_tf.core.schema import CLIP, PAIR
from avsc_tf.corpus.manifest import Manifest, count_records, write_manifest
from avsc_tf.corpus.reader import Records, open_records
from avsc_tf.corpus.writer import ShardWriter
from avsc_tf.features.clip import encode_frames
from avsc_tf.features.statistics import Statistics

N_MELS, N_VGG, SIZE_PX, CROP_PX = 3, 4, 16, 64
OVERRIDES = [f"acoustic.n_mels={N_MELS}", f"face.n_vgg={N_VGG}", f"face.crop_px={CROP_PX}"]
OVERRIDES += [f"image.size_px={SIZE_PX}", "image.batch_size=5", "records.shard_mb=0.02"]
OVERRIDES += ["conversion.window_seconds=0.8", "conversion.batch_size=2"]
MEL_MEAN, MEL_STD = 2.0, 4.0

MakeRecords = Callable[..., Records]


@pytest.fixture(scope="session")
def make_records(root: Path, tmp_path_factory: pytest.TempPathFactory) -> MakeRecords:
    """`make_records(lengths, *overrides)`: training pairs and target clips of these lengths in video frames."""

    def make(lengths: tuple[int, ...], *overrides: str) -> Records:
        config = load_config(root / "configs" / "demo.yaml", [*OVERRIDES, *overrides])
        folder = tmp_path_factory.mktemp("records")
        shards = []
        for stem, schema, example in (("pairs-train", PAIR, numbered_pair), ("target-train", CLIP, numbered_clip)):
            with ShardWriter(folder, stem, schema, config=config) as writer:
                for k, n in enumerate(lengths):
                    writer.write(example(k, n, sum(lengths[:k]), config.acoustic.n_mels), video_frames=n)
                shards += writer.finish()
            with ShardWriter(folder, stem.replace("train", "test"), schema, config=config) as writer:
                shards += writer.finish()
        statistics(config.acoustic.n_mels).save(folder / "statistics.npz")
        manifest = Manifest(
            config.fingerprint, config.record_settings, "made by a test", tuple(shards), count_records(shards)
        )
        write_manifest(folder, manifest)
        return open_records(folder, config)

    return make


def labels(k: int) -> dict[str, str]:
    return {"utterance": f"u{k}", "emotion": "", "sentence": f"s{k}", "split": "train"}


def numbered_pair(k: int, n: int, _: int, n_mels: int) -> dict[str, object]:
    """Mel: 1000 * pair + frame; facial: frame; the target's are the negative."""
    mel = np.repeat((1000.0 * k + np.arange(8 * n) / 8)[:, None], n_mels, axis=1).astype(np.float32)
    facial = np.repeat(np.arange(n, dtype=np.float16)[:, None], N_VGG + 140, axis=1)
    sides = {"source_mel": mel, "source_facial": facial, "target_mel": -mel, "target_facial": -facial}
    return {**labels(k), **sides, "path": np.zeros((n + k, 2), np.int32), "cost": np.float32(0.5)}


def numbered_clip(k: int, n: int, first: int, n_mels: int) -> dict[str, object]:
    """Mel, VGG and grey level of frame i of the corpus all say i; the waveform is noise of the clip's own."""
    number = first + np.arange(n)
    keypoints = np.full((n, 70, 2), 5.0, np.float32)
    keypoints[:, 48], keypoints[:, 54] = (16, 32), (48, 40)  # the lips' corners, crop pixels
    keypoints[:, 49:54] = keypoints[:, 55:68] = (32, 36)
    grey = np.zeros((n, SIZE_PX, SIZE_PX, 3), np.uint8) + (number % 25 * 10).astype(np.uint8)[:, None, None, None]
    return {
        **labels(k),
        "speaker": "target",
        "mel": (np.repeat(number, 8)[:, None] * np.ones((1, n_mels))).astype(np.float32),
        "keypoints": keypoints,
        "vgg": (number[:, None] * np.ones((1, N_VGG))).astype(np.float16),
        "crop_centres": np.full((len(number), 2), 90.5, np.float32),
        "crop_side": np.float32(123.5),
        "frame_size": np.array([360, 288], np.int32),
        "frames": encode_frames(grey, size_px=SIZE_PX),
        "waveform": np.random.default_rng(k).integers(-9000, 9000, 1920 * n).astype(np.int16),
    }


def statistics(n_mels: int) -> Statistics:
    mel = (np.full(n_mels, MEL_MEAN, np.float32), np.full(n_mels, MEL_STD, np.float32))
    plain = [(np.zeros(n, np.float32), np.ones(n, np.float32)) for n in (N_VGG, 140)]
    target = {"mel": mel, "vgg": plain[0], "keypoints": plain[1]}
    unused = {name: (pair[0] + 99, pair[1]) for name, pair in target.items()}
    return Statistics({"source": unused, "target": target})


@pytest.fixture(scope="session")
def with_settings(root: Path) -> Callable[..., Config]:
    """`with_settings(*overrides)`: the settings of `make_records` and further ones."""
    return lambda *overrides: load_config(root / "configs" / "demo.yaml", [*OVERRIDES, *overrides])
