"""Losses against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.core.config import load_config
from avsc_tf.losses.adversarial import discriminator_loss, generator_loss
from avsc_tf.losses.regression import ConversionLoss, GroupedL1, weighted_l1


def test_grouped_l1_gives_each_group_its_share():
    y, prediction = np.zeros((1, 2, 4), np.float32), np.array([[[3, 1, 1, 1], [0, 0, 0, 6]]], np.float32)
    # frame 1: groups of 1 and 3 -> (3 + 1) / 2 = 2; frame 2: (0 + 2) / 2 = 1; mean 1.5
    assert float(GroupedL1((1, 3))(y, prediction)) == 1.5
    # one group: plain mean of all: 12 / 8
    assert float(GroupedL1((4,))(y, prediction)) == 1.5
    assert float(GroupedL1((2, 2))(y[:, :1], prediction[:, :1])) == 1.5  # (2 + 1) / 2


def test_grouped_l1_round_trip():
    config = GroupedL1((2, 3), name="some").get_config()
    loss = GroupedL1.from_config(config)
    assert (loss.group_sizes, loss.name) == ((2, 3), "some")


@pytest.mark.parametrize(("kind", "expected"), [("mean", 140 / 4236), ("balanced", 0.5)])
def test_conversion_loss_weights_and_the_keypoints_share(root, kind, expected):
    config = load_config(root / "configs" / "paper.yaml", [f"conversion.facial_loss={kind}"])
    wanted = {"mel": np.zeros((1, 24, 80), np.float32), "facial": np.zeros((1, 3, 4236), np.float32)}
    given = {"mel": np.full((1, 24, 80), -0.25, np.float32), "facial": wanted["facial"].copy()}
    given["facial"][..., 4096:] = 1.0  # keypoints off by one, VGG right
    figures = {name: float(value) for name, value in ConversionLoss(config)(wanted, given).items()}
    assert figures["mel_loss"] == 0.25
    assert figures["facial_loss"] == pytest.approx(expected, rel=1e-6)  # float32
    assert figures["loss"] == pytest.approx(10 * 0.25 + expected, rel=1e-6)  # paper section 3.1


def test_weighted_l1_divides_by_pixels():
    images, generated = np.zeros((1, 2, 2, 3), np.float32), np.ones((1, 2, 2, 3), np.float32)
    weights = np.array([[[[3.0], [1.0]], [[1.0], [1.0]]]], np.float32)
    assert float(weighted_l1(images, generated, weights)) == 1.5  # (3 + 1 + 1 + 1) / 4


def test_least_squares_gan_losses():
    real, fake = np.array([[1.0], [3.0]], np.float32), np.array([[0.0], [2.0]], np.float32)
    assert float(discriminator_loss(real, fake)) == 0.5 * 2.0 + 0.5 * 2.0  # means of (0, 4) and (0, 4)
    assert float(generator_loss(fake)) == 0.5 * 1.0  # mean of (1, 1)
    assert float(discriminator_loss(np.ones((2, 1)), np.zeros((2, 1)))) == 0.0
