"""Display matrices, written into the header of an mp4: each stored point must be shown where the matrix moves it."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from avsc_tf.media.remux import copy_picture
from avsc_tf.media.video import picture_notes, probe_video, read_frames

EIGHT = [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0)]
EIGHT.append((0, -1, -1, 0))
TIMES = [Fraction(k, 25) for k in range(4)]
MIRROR_NOTE = "mirrored picture shown as its display matrix asks"


def _stored() -> np.ndarray:
    """No two orientations of it are alike, and all sizes differ."""
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :48], image[:32, 48:80] = 255, 128
    return image


def _shown(image: np.ndarray, matrix: tuple[float, ...]) -> np.ndarray:
    """Slow reference: stored (p, q) is shown at (a p + c q, b p + d q), moved so that the picture begins at 0."""
    a, b, c, d = matrix
    q, p = np.mgrid[: image.shape[0], : image.shape[1]]
    x, y = a * p + c * q, b * p + d * q
    x, y = x - x.min(), y - y.min()
    shown = np.empty((y.max() + 1, x.max() + 1, 3), np.uint8)
    shown[y, x] = image
    return shown


@pytest.fixture
def write_oriented(write_clip) -> Callable[..., Path]:
    def write(matrix: tuple[float, float, float, float], **how) -> Path:
        path = write_clip("clip.mp4", TIMES, images=[_stored()] * 4, **how)
        upright, wanted = (
            b"".join(round(word * 65536).to_bytes(4, "big", signed=True) for word in (a, b, 0, c, d, 0, 0, 0))
            for a, b, c, d in (EIGHT[0], matrix)
        )
        data = path.read_bytes()
        header = data.index(b"tkhd")
        assert upright in data[header : header + 100]
        path.write_bytes(data[:header] + data[header:].replace(upright, wanted, 1))
        return path

    return write


@pytest.mark.parametrize("matrix", EIGHT)
def test_all_eight_orientations(write_oriented, tmp_path, matrix):
    path = write_oriented(matrix)
    expected = _shown(_stored(), matrix)
    info = probe_video(path)
    assert (info.height, info.width) == expected.shape[:2]
    for frame in read_frames(path, fps=25):
        assert frame.shape == expected.shape
        assert np.abs(frame.astype(int) - expected).mean() < 8  # the edges blur in the codec
    is_mirrored = matrix[0] * matrix[3] - matrix[1] * matrix[2] < 0
    assert picture_notes(path) == ((MIRROR_NOTE,) if is_mirrored else ())
    # copied packets would lose the matrix: all but the upright one are encoded anew
    assert copy_picture(path, tmp_path / "out.mp4", waveform=None, sample_rate_hz=48000) == (matrix == EIGHT[0])
    assert np.abs(next(read_frames(tmp_path / "out.mp4", fps=25)).astype(int) - expected).mean() < 8


@pytest.mark.parametrize("mirror", [1, -1])
@pytest.mark.parametrize("degrees, nearest", [(7, 0), (-40, 0), (97, 1), (173, 2), (-88, 3)])
def test_other_angles_are_taken_at_the_nearest_quarter_turn(write_oriented, degrees, nearest, mirror):
    """Clockwise, as the matrix has it; a mirrored picture is mirrored left to right first."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    path = write_oriented((mirror * cosine, mirror * sine, -sine, cosine))
    expected = np.rot90(_stored()[:, ::mirror], -nearest)
    frame = next(read_frames(path, fps=25))
    assert frame.shape == expected.shape
    assert np.abs(frame.astype(int) - expected).mean() < 8
    sense = "clockwise" if degrees > 0 else "counterclockwise"
    note = f"picture rotated by {abs(degrees)} degrees {sense}: taken at the nearest quarter turn"
    assert picture_notes(path) == ((MIRROR_NOTE, note) if mirror < 0 else (note,))


def test_pixels_become_square_before_the_turn(write_oriented):
    path = write_oriented(EIGHT[1], pixel_aspect=Fraction(4, 3))
    frame = next(read_frames(path, fps=25))
    assert frame.shape == (128, 64, 3)
    assert (probe_video(path).width, probe_video(path).height) == (64, 128)
    assert frame[10:50, 40:].min() > 240  # the stored upper left is shown upper right


def test_a_matrix_of_zeros_is_none(write_oriented):
    frame = next(read_frames(write_oriented((0, 0, 0, 0)), fps=25))
    assert np.abs(frame.astype(int) - _stored()).mean() < 8
