from __future__ import annotations

import numpy as np
import pytest

from avsc_tf.media.video import read_frames
from avsc_tf.provenance.code import PUBLIC_KEY
from avsc_tf.provenance.picture_mark import FULL_SIZE_PX, MOST_GAIN, PEAK_LEVELS, colour_change, mark_frames
from avsc_tf.provenance.picture_search import PictureSearch, detect_picture, scores_in_place

from .conftest import FPS, moving_pictures

PAYLOAD = 0x1DEA


@pytest.mark.parametrize("size", [(128, 128), (256, 256), (144, 176), (288, 360)])
def test_what_is_marked_is_found_at_every_size(size) -> None:
    frames = moving_pictures(25, size)
    found = detect_picture(mark_frames(frames, payload=PAYLOAD), fps=FPS)
    assert found.found and found.payload == PAYLOAD >> 8 and found.place == "" and found.seconds == pytest.approx(1.0)
    assert not detect_picture(frames, fps=FPS).found


def test_the_mark_is_faint_never_moves_and_leaves_luma() -> None:
    change = colour_change(PAYLOAD, PUBLIC_KEY, 128, 160)
    luma = change @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(luma, 0, atol=1e-4)  # rounded matrices
    assert np.abs(change[..., 2]).max() <= PEAK_LEVELS * MOST_GAIN * 1.772
    large = colour_change(PAYLOAD, PUBLIC_KEY, FULL_SIZE_PX, 2 * FULL_SIZE_PX)
    assert np.abs(large[..., 2]).max() <= PEAK_LEVELS * 1.772
    grey = [np.full((128, 160, 3), 127, np.uint8)] * 3
    first, *others = mark_frames(grey, payload=PAYLOAD)
    for other in others:
        np.testing.assert_array_equal(other, first)
    np.testing.assert_allclose(first - 127.0, change, atol=0.501)  # whole levels


def test_frames_are_marked_one_at_a_time() -> None:
    taken = []

    def frames():
        for frame in moving_pictures(3):
            taken.append(1)
            yield frame

    marked = mark_frames(frames(), payload=PAYLOAD)
    assert not taken
    next(marked)
    assert len(taken) == 1


@pytest.mark.parametrize(
    "name",
    [
        "H.264 crf 28",
        "resized to 75 %",
        "resized to 50 %, crf 23",
        "cropped to 85 %",
        "25 to 30 fps, crf 23",
        "noise (20 dB, 8 levels)",
    ],
)
def test_codecs_sizes_and_crops_are_survived(attacks, rng, name) -> None:
    marked = attacks.Clip(list(mark_frames(moving_pictures(60), payload=PAYLOAD)), None, FPS, 16_000)
    after = attacks.ATTACKS[name][0](attacks.through_h264(marked, 16, preset="veryfast"), rng)
    found = detect_picture(after.frames, fps=after.fps)
    assert found.found and found.payload == PAYLOAD >> 8
    assert ("cropped" in found.place) == ("crop" in name)


def test_another_key_finds_nothing_and_a_mirror_image_is_recognised() -> None:
    marked = list(mark_frames(moving_pictures(10), payload=PAYLOAD, key="a secret"))
    assert not detect_picture(marked, fps=FPS).found
    assert detect_picture(marked, fps=FPS, key="a secret").payload == PAYLOAD >> 8
    mirrored = detect_picture([frame[:, ::-1] for frame in marked], fps=FPS, key="a secret")
    assert mirrored.found and mirrored.payload == PAYLOAD >> 8 and "mirrored" in mirrored.place


def test_a_marked_excerpt_in_a_long_film_is_found() -> None:
    search = PictureSearch()
    marked = list(mark_frames(moving_pictures(40, seed=1), payload=PAYLOAD))
    for number in range(4 * 60):  # four frames a second
        frame = marked[number - 100] if 100 <= number < 140 else moving_pictures(1, seed=2)[0]
        search.add(frame, number / 4)
    found = search.detect(seconds=60.0)
    assert found.found and found.payload == PAYLOAD >> 8 and found.place == "from 25 s"


def test_nothing_to_see_is_no_finding() -> None:
    assert not detect_picture([], fps=FPS).found
    assert not detect_picture([np.zeros((64, 64, 3), np.uint8)], fps=FPS).found
    assert not detect_picture([np.full((2, 2, 3), 200, np.uint8)] * 3, fps=FPS).found


def test_scores_of_chance_have_mean_0_and_deviation_1() -> None:
    """Over keys: 24 x 256 independent values; their mean errs by about 0.013, that of their squares by 0.02."""
    frames, squares, means = moving_pictures(5), [], []
    for number in range(24):
        (scores,) = scores_in_place(frames, key=f"key {number}")
        squares.append(np.mean(scores**2))
        means.append(scores.mean())
    assert np.mean(means) == pytest.approx(0.0, abs=0.06)
    assert np.mean(squares) == pytest.approx(1.0, abs=0.08)


def test_real_pictures_are_marked_and_unmarked_ones_are_not_suspected(shared_data) -> None:
    for path in sorted((shared_data / "grid" / "other_speakers").glob("*.mpg"))[::5]:
        frames = list(read_frames(path, fps=FPS, n_frames=25))
        assert not detect_picture(frames, fps=FPS).found
        assert detect_picture(mark_frames(frames, payload=PAYLOAD), fps=FPS).payload == PAYLOAD >> 8
