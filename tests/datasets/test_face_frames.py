"""Frames of the target: features and picture of the same moment, all of them, in an order of (seed, epoch)."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.core.errors import RecordError
from avsc_tf.datasets.faces import batches_per_epoch, box_mask, frames, mouth_boxes

LENGTHS = (7, 5)
SIZE_PX, N_MELS, N_VGG = 16, 3, 4


@pytest.fixture(scope="module")
def records(make_records):
    found = make_records(LENGTHS)
    assert len(found.manifest.shards_of("target-train")) == 2
    return found


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
    boxes = np.array([[4, 4, 4, 9], [0, 2, 3, 4]], np.float32)
    assert np.sum(box_mask(boxes, 16), axis=(1, 2, 3)).tolist() == [0, 6]


def test_too_few_frames_are_said(records, with_settings):
    config = with_settings("image.batch_size=13")
    with pytest.raises(RecordError, match=r"12 target frames in split 'train', image.batch_size is 13"):
        frames(records, "train", config, epoch=0, seed=0)
