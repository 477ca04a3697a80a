"""Side by side: who plays is bright, lengths add up, each sound comes in its own section."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avsc_tf.media import panels
from avsc_tf.media.audio import read_audio
from avsc_tf.media.mux import write_video
from avsc_tf.media.panels import Row, draw_row, square_panel, write_panels, write_sheet
from avsc_tf.media.video import read_frames

FPS, RATE_HZ = 25, 48000
PAUSE_FRAMES = 10


def clip(path: Path, n_frames: int, level: int, pitch_hz: float, size: tuple[int, int] = (48, 64)) -> Path:
    """A grey clip with a tone."""
    frames = [np.full((*size, 3), level, np.uint8)] * n_frames
    tone = 0.5 * np.sin(2 * np.pi * pitch_hz * np.arange(n_frames * RATE_HZ // FPS) / RATE_HZ)
    write_video(path, frames, tone, fps=FPS, sample_rate_hz=RATE_HZ)
    return path


@pytest.fixture
def row(tmp_path: Path) -> Row:
    first, second = clip(tmp_path / "a.mp4", 15, 200, 300.0), clip(tmp_path / "b.mp4", 20, 100, 700.0, (64, 32))
    return Row("title", (("one", first), ("two", second)))


def panel_levels(frame: np.ndarray) -> list[float]:
    """Grey level in the middle of each panel."""
    middle = panels.HEADER_PX + panels.PANEL_PX // 2
    step = panels.PANEL_PX + panels.BORDER_PX
    return [float(frame[middle, panels.BORDER_PX + i * step + panels.PANEL_PX // 2].mean()) for i in range(2)]


def test_each_clip_plays_in_turn_with_its_sound(row: Row, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write_panels(path, [row], fps=FPS, sample_rate_hz=RATE_HZ)
    frames = list(read_frames(path, fps=FPS))
    first, second = 15 + PAUSE_FRAMES, 20 + PAUSE_FRAMES
    assert len(frames) == first + second
    for frame in (frames[0], frames[first - 1]):
        assert panel_levels(frame) == pytest.approx([200, 100 * panels.DIM], abs=4)  # H.264
    for frame in (frames[first], frames[-1]):
        assert panel_levels(frame) == pytest.approx([200 * panels.DIM, 100], abs=4)
    sound = read_audio(path, sample_rate_hz=RATE_HZ)
    for start, n_frames, pitch_hz in ((0, 15, 300), (first, 20, 700)):
        begin, n = start * RATE_HZ // FPS, n_frames * RATE_HZ // FPS
        assert np.argmax(np.abs(np.fft.rfft(sound[begin : begin + n]))) * RATE_HZ / n == pytest.approx(pitch_hz, abs=2)
        pause = sound[begin + n + 2400 : begin + n + 14400]  # AAC smears up to 2048 samples
        assert np.abs(pause).max() < 0.01


def test_a_sheet_shows_all_panels_bright(row: Row, tmp_path: Path) -> None:
    import cv2

    write_sheet(tmp_path / "sheet.png", [row, row], fps=FPS)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    height = len(sheet) // 2
    assert panel_levels(sheet[:height]) == pytest.approx([200, 100], abs=4)
    np.testing.assert_array_equal(sheet[:height], sheet[height:])


def test_whole_picture_inside_the_square() -> None:
    panel = square_panel(np.full((30, 120, 3), 255, np.uint8))
    assert panel.shape == (panels.PANEL_PX, panels.PANEL_PX, 3)
    bright = np.flatnonzero((panel == 255).all(axis=2).any(axis=1))
    assert len(bright) == panels.PANEL_PX // 4
    assert bright[0] == (panels.PANEL_PX - len(bright)) // 2


def test_a_long_title_stays_inside_and_sides_are_even() -> None:
    picture = np.zeros((panels.PANEL_PX, panels.PANEL_PX, 3), np.uint8)
    labels = (("one", Path("a")), ("two", Path("b")), ("three", Path("c")))
    drawn = draw_row(Row("long words " * 30, labels), [picture] * 3, 1)
    assert drawn.shape[0] % 2 == drawn.shape[1] % 2 == 0
    header = drawn[: panels.HEADER_PX - panels.BORDER_PX]
    assert (header != panels.BACKGROUND).any()
    assert (header[:, :3] == panels.BACKGROUND).all()
    assert (header[:, -3:] == panels.BACKGROUND).all()
