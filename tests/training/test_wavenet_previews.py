"""The picture of what speech lacks: right size, right place, right sign."""

from __future__ import annotations

import numpy as np

from avsc_tf.training.wavenet.previews import mel_comparison


def test_picture_shows_where_speech_differs(tiny_config):
    rng = np.random.default_rng(0)
    asked = rng.normal(-5, 1, (130, 80)).astype(np.float32)
    spoken = asked.copy()
    spoken[:65, :40] += 3.0  # too loud in the low bands of the first half
    spoken[65:, 40:] -= 3.0  # too quiet in the high bands of the second
    picture = mel_comparison(asked, spoken, tiny_config)
    assert picture.shape == (750, 900, 3) and picture.dtype == np.uint8
    lowest = picture[500:].astype(int)  # the third panel
    red = (lowest[..., 0] > 90) & (lowest[..., 2] < 60)
    blue = (lowest[..., 2] > 90) & (lowest[..., 0] < 60)
    inside = slice(80, 760)  # without the colour bar
    red_y, red_x = np.nonzero(red[:, inside])
    blue_y, blue_x = np.nonzero(blue[:, inside])
    assert len(red_y) > 5000 and len(blue_y) > 5000
    assert np.median(red_x) < np.median(blue_x) and np.median(red_y) > np.median(blue_y)  # rows count from the top


def test_lengths_may_differ_by_a_frame(tiny_config):
    asked, spoken = np.full((17, 80), -4.0, np.float32), np.full((16, 80), -4.0, np.float32)
    assert mel_comparison(asked, spoken, tiny_config).shape == (750, 900, 3)
