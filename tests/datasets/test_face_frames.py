"""Frames of the target: features and picture of the same moment, all of them, in an order of (seed, epoch)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from avsc_tf.config import Config, load_config
from avsc_tf.datasets.faces import batches_per_epoch, box_mask, frames, mouth_boxes
from avsc_tf.errors import RecordError
from avsc_tf.features.clip import encode_frames
from avsc_tf.features.statistics import Statistics

LENGTHS = (7, 5)
SIZE_PX, CROP_PX, N_MELS, N_VGG = 16, 64, 3, 4
OVERRIDES = [f"acoustic.n_mels={N_MELS}", f"face.n_vgg={N_VGG}", f"face.crop_px={CROP_PX}"]
OVERRIDES += [f"image.size_px={SIZE_PX}", "image.batch_size=5"]
MEL_MEAN, MEL_STD = 2.0, 4.0


@dataclass(eq=False)
class NumberedRecords:
    """In place of an opened folder: mel, VGG and grey level of frame k of the corpus all say k."""

    config: Config
    folder: Path = Path("numbered")

    @property
    def manifest(self):
        return SimpleNamespace(shard=lambda name: SimpleNamespace(video_frames=LENGTHS))

    @property
    def statistics(self) -> Statistics:
        mel = (np.full(N_MELS, MEL_MEAN, np.float32), np.full(N_MELS, MEL_STD, np.float32))
        plain = [(np.zeros(n, np.float32), np.ones(n, np.float32)) for n in (N_VGG, 140)]
        target = {"mel": mel, "vgg": plain[0], "keypoints": plain[1]}
        unused = {name: (pair[0] + 99, pair[1]) for name, pair in target.items()}
        return Statistics({"source": unused, "target": target})

    def clips(self, speaker: str, split: str, *, only=None):
        assert speaker == "target"
        first = 0
        for n in LENGTHS:
            number = first + np.arange(n)
            first += n
            keypoints = np.full((n, 70, 2), 5.0, np.float32)
            keypoints[:, 48], keypoints[:, 54] = (16, 32), (48, 40)  # the lips' corners, crop pixels
            keypoints[:, 49:54] = keypoints[:, 55:68] = (32, 36)
            pictures = (
                np.zeros((n, SIZE_PX, SIZE_PX, 3), np.uint8) + (10 * number).astype(np.uint8)[:, None, None, None]
            )
            yield {
                "mel": np.repeat(number, 8)[:, None] * np.ones((1, N_MELS), np.float32),
                "vgg": number[:, None] * np.ones((1, N_VGG), np.float16),
                "keypoints": keypoints,
                "frames": encode_frames(pictures, size_px=SIZE_PX),
            }


@pytest.fixture(scope="module")
def records(root) -> NumberedRecords:
    return NumberedRecords(load_config(root / "configs" / "demo.yaml", OVERRIDES))


def numbers_of(batches: list) -> list[int]:
    return [int(x) for inputs, _, _ in batches for x in inputs["facial"][:, 0]]


def epoch_of(records, epoch: int, seed: int = 1) -> list:
    return list(frames(records, "train", records.config, epoch=epoch, seed=seed).as_numpy_iterator())


def test_features_and_picture_belong_together(records):
    batches = epoch_of(records, 0)
    assert len(batches) == batches_per_epoch(records, "train", records.config) == 2  # 12 frames, batches of 5
    for inputs, image, mouth in batches:
        assert inputs["mel"].shape == (5, 8, N_MELS)
        assert inputs["facial"].shape == (5, N_VGG + 140)
        assert image.shape == (5, SIZE_PX, SIZE_PX, 3)
        assert mouth.shape == (5, SIZE_PX, SIZE_PX, 1)
        assert {x.dtype for x in (inputs["mel"], inputs["facial"], image, mouth)} == {np.dtype(np.float32)}
        number = inputs["facial"][:, 0]
        np.testing.assert_allclose(inputs["mel"], np.broadcast_to(((number - 2) / 4)[:, None, None], (5, 8, N_MELS)))
        # 1e-6: float32 of 10 k / 127.5 - 1
        np.testing.assert_allclose(
            image, np.broadcast_to((number * 10 / 127.5 - 1)[:, None, None, None], image.shape), atol=1e-6
        )


def test_no_frame_comes_twice_and_over_epochs_all_come(records):
    seen = set()
    for epoch in range(12):
        numbers = numbers_of(epoch_of(records, epoch))
        assert len(set(numbers)) == len(numbers) == 10
        seen |= set(numbers)
    assert seen == set(range(12))


def test_order_is_of_seed_and_epoch(records):
    assert numbers_of(epoch_of(records, 3)) == numbers_of(epoch_of(records, 3))
    assert numbers_of(epoch_of(records, 3)) != numbers_of(epoch_of(records, 4))
    assert numbers_of(epoch_of(records, 3)) != numbers_of(epoch_of(records, 3, seed=2))


def test_mouth_is_scaled_to_the_picture(records):
    # Lips 16..48 x 32..40 of the crop are 4..12 x 8..10 of the picture; the margin is a quarter of 8 px.
    _, _, mouth = epoch_of(records, 0)[0]
    expected = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    expected[6:12, 2:14] = 1
    for mask in mouth[..., 0]:
        np.testing.assert_array_equal(mask, expected)


def test_box_stays_inside_the_picture():
    keypoints = np.full((2, 70, 2), 30.0, np.float32)
    keypoints[0, 48], keypoints[0, 54] = (-4, 1), (31, 31)
    boxes = mouth_boxes(keypoints, size_px=32)
    assert boxes.dtype == np.float32
    assert boxes[0].tolist() == [0, 0, 32, 32]


def test_box_of_no_width_masks_nothing():
    assert float(np.sum(box_mask(np.array([4.0, 4.0, 4.0, 9.0], np.float32), 16))) == 0


def test_too_few_frames_are_said(records, root):
    config = load_config(root / "configs" / "demo.yaml", [*OVERRIDES, "image.batch_size=13"])
    with pytest.raises(RecordError, match=r"numbered: 12 target frames in split 'test', image.batch_size is 13"):
        frames(records, "test", config, epoch=0, seed=0)
