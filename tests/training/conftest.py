"""Small real records: a known linear relation between the speakers, and frames whose mouth follows a keypoint."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from avsc_tf.core.config import Config, load_config
from avsc_tf.core.consent import Consent, write_consent
from avsc_tf.core.runs import consent_path
from avsc_tf.core.schema import CLIP, PAIR, SPEAKERS
from avsc_tf.corpus.manifest import Manifest, write_manifest
from avsc_tf.corpus.reader import Records, open_records
from avsc_tf.corpus.writer import ShardWriter
from avsc_tf.features.statistics import StatisticsFitter, join_facial

N_FRAMES = (61, 75, 58, 67)
SPLITS = {"train": (0, 1, 2), "test": (3,)}


def small_config(root: Path, *overrides: str) -> Config:
    """tests/end_to_end/tiny.yaml with a VGG feature of 24 dimensions; no window loses a stream: losses compare."""
    changes = ["face.n_vgg=24", "image.size_px=32", "conversion.modality_dropout=0"]
    return load_config(root / "tests" / "end_to_end" / "tiny.yaml", [*changes, *overrides])


@pytest.fixture(scope="session")
def tiny_config() -> Config:
    return small_config(Path(__file__).resolve().parents[2])


@pytest.fixture(scope="session")
def tiny_records(tiny_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Records:
    folder = tmp_path_factory.mktemp("records")
    rng = np.random.default_rng(5)
    clips = {speaker: [_clip(rng, n, tiny_config, speaker) for n in N_FRAMES] for speaker in SPEAKERS}
    fitter = StatisticsFitter()
    for speaker in SPEAKERS:
        for i in SPLITS["train"]:
            fitter.add(speaker, **{name: clips[speaker][i][name] for name in ("mel", "vgg", "keypoints")})
    statistics = fitter.finish()
    statistics.save(folder / "statistics.npz")
    write_consent(consent_path(folder), Consent(who="a speaker of noise", what_for=("tests",)))
    shards = []
    for split, chosen in SPLITS.items():
        for speaker in SPEAKERS:
            with ShardWriter(folder, f"{speaker}-{split}", CLIP, config=tiny_config) as writer:
                for i in chosen:
                    writer.write({**_labels(i, split), **clips[speaker][i]}, video_frames=N_FRAMES[i])
                shards += writer.finish()
        with ShardWriter(folder, f"pairs-{split}", PAIR, config=tiny_config) as writer:
            for i in chosen:
                writer.write(_pair(rng, i, split, clips, statistics), video_frames=N_FRAMES[i])
            shards += writer.finish()
    counts = {shard.name: len(shard.utterances) for shard in shards}
    write_manifest(
        folder, Manifest(tiny_config.fingerprint, tiny_config.record_settings, "made by a test", tuple(shards), counts)
    )
    return open_records(folder, tiny_config)


def _labels(i: int, split: str) -> dict[str, str]:
    return {"utterance": f"u{i}", "emotion": "neutral", "sentence": f"s{i}", "split": split}


def _clip(rng: np.random.Generator, n: int, config: Config, speaker: str) -> dict[str, object]:
    """Slow random features; the frame is grey with a dark mouth, as high as the lower lip is low."""
    slow = np.cumsum(rng.normal(size=(n, config.face.n_keypoints, 2)), axis=0) * 0.1
    keypoints = (40 + 40 * rng.random((1, config.face.n_keypoints, 2)) + slow).astype(np.float32)
    keypoints[:, 48:68] = np.array([64.0, 90.0]) + 0.05 * slow[:, 48:68]
    opening = 6 + 5 * np.sin(np.arange(n) / 3 + rng.uniform(0, 6))
    for point in (*range(55, 60), *range(65, 68)):  # the lower lip
        keypoints[:, point, 1] = 90 + opening
    size_px = config.image.size_px
    frames = []
    for value in opening * size_px / config.face.crop_px:
        frame = np.full((size_px, size_px, 3), (180, 150, 120), np.uint8)
        cv2.rectangle(frame, (12, 20), (20, 20 + round(float(value) * 2)), (30, 20, 90), -1)
        frames.append(cv2.imencode(".png", frame[..., ::-1])[1].tobytes())
    return {
        "speaker": speaker,
        "mel": rng.normal(-5, 2, (8 * n, config.acoustic.n_mels)).astype(np.float32),
        "keypoints": keypoints,
        "vgg": rng.random((n, config.face.n_vgg)).astype(np.float16),
        "crop_centres": np.full((n, 2), 48.5, np.float32),
        "crop_side": np.float32(123.5),
        "frame_size": np.array([360, 288], np.int32),
        "frames": frames,
        "waveform": np.zeros(1920 * n, np.int16),
    }


def _pair(rng, i: int, split: str, clips, statistics) -> dict[str, object]:
    """Target features are 0.7 of the source's standardised ones."""
    source = clips["source"][i]
    mel = statistics.standardise("source", "mel", source["mel"])
    facial = statistics.standardise("source", "facial", join_facial(source["vgg"], source["keypoints"]))
    return {
        **_labels(i, split),
        "source_mel": mel,
        "source_facial": facial.astype(np.float16),
        "target_mel": 0.7 * mel,
        "target_facial": (0.7 * facial).astype(np.float16),
        "path": np.repeat(np.arange(N_FRAMES[i], dtype=np.int32)[:, None], 2, axis=1),
        "cost": np.float32(0.5),
    }
