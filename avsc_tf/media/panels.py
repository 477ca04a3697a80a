"""Videos side by side in one mp4: each plays in turn with its sound, the others stand still and dim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from avsc_tf.core.files import write_atomically
from avsc_tf.media.audio import read_audio
from avsc_tf.media.mux import write_video
from avsc_tf.media.video import probe_video, read_frames

PANEL_PX = 256
HEADER_PX = 36
LABEL_PX = 32
BORDER_PX = 4
DIM = 0.35  # brightness of a panel that does not play
PAUSE_SECONDS = 0.4  # after each playing panel
BACKGROUND = (24, 24, 28)
PLAYING = (250, 200, 60)
TEXT = (230, 230, 230)


@dataclass(frozen=True)
class Row:
    """Clips that belong together, shown at once and played from left to right."""

    title: str
    clips: tuple[tuple[str, Path], ...]  # label and video of each panel


def write_panels(path: Path, rows: Sequence[Row], *, fps: int, sample_rate_hz: int) -> None:
    """Write all rows one after the other (H.264, AAC); frames are read and written one at a time.

    Raises:
        MediaError: a clip cannot be read.
    """
    lengths = {clip: probe_video(clip).frames_at(fps) for row in rows for _, clip in row.clips}
    pause_frames = round(PAUSE_SECONDS * fps)
    waveforms = [
        _sound_of_length(clip, (lengths[clip] + pause_frames) * sample_rate_hz // fps, sample_rate_hz)
        for row in rows
        for _, clip in row.clips
    ]
    frames = (frame for row in rows for frame in _row_frames(row, fps, pause_frames))
    write_video(path, frames, np.concatenate(waveforms), fps=fps, sample_rate_hz=sample_rate_hz, audio_codec="aac")


def write_sheet(path: Path, rows: Sequence[Row], *, fps: int, at: float = 0.5) -> None:
    """Write a PNG of all rows, each clip at the share `at` of its length (0 the first frame, 1 the last).

    Raises:
        MediaError: a clip cannot be read.
    """
    pictures = [draw_row(row, [square_panel(_frame_at(clip, fps, at)) for _, clip in row.clips], None) for row in rows]
    _, png = cv2.imencode(".png", np.vstack(pictures)[..., ::-1])
    write_atomically(path, png.tobytes())


def _sound_of_length(clip: Path, n_samples: int, sample_rate_hz: int) -> np.ndarray:
    waveform = read_audio(clip, sample_rate_hz=sample_rate_hz)[:n_samples]
    return np.pad(waveform, (0, n_samples - len(waveform)))


def _row_frames(row: Row, fps: int, pause_frames: int) -> Iterator[np.ndarray]:
    stills = [square_panel(_frame_at(clip, fps, 0.5)) for _, clip in row.clips]
    for playing, (_, clip) in enumerate(row.clips):
        panels = list(stills)
        for frame in read_frames(clip, fps=fps):
            panels[playing] = square_panel(frame)
            yield draw_row(row, panels, playing)
        for _ in range(pause_frames):
            yield draw_row(row, panels, playing)


def _frame_at(clip: Path, fps: int, share: float) -> np.ndarray:
    index = round(share * (probe_video(clip).frames_at(fps) - 1))
    return next(islice(read_frames(clip, fps=fps), index, None))


def square_panel(frame: np.ndarray) -> np.ndarray:
    """Whole picture inside a square: uint8 [height, width, 3] -> [PANEL_PX, PANEL_PX, 3]."""
    scale = PANEL_PX / max(frame.shape[:2])
    size = (max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale)))
    picture = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    panel = np.empty((PANEL_PX, PANEL_PX, 3), np.uint8)
    panel[:] = BACKGROUND
    top, left = (PANEL_PX - size[1]) // 2, (PANEL_PX - size[0]) // 2
    panel[top : top + size[1], left : left + size[0]] = picture
    return panel


def draw_row(row: Row, panels: Sequence[np.ndarray], playing: int | None) -> np.ndarray:
    """One picture of a row: title above, a label below each panel; the playing one bright and framed.

    Args:
        panels: uint8 [PANEL_PX, PANEL_PX, 3] each.
        playing: index of the playing panel; None shows all bright.
    """
    step = PANEL_PX + BORDER_PX
    height, width = HEADER_PX + PANEL_PX + LABEL_PX, step * len(panels) + BORDER_PX
    canvas = np.empty((height + height % 2, width + width % 2, 3), np.uint8)
    canvas[:] = BACKGROUND
    _write_centred(canvas, row.title, width // 2, HEADER_PX - 12, TEXT)
    for index, ((label, _), panel) in enumerate(zip(row.clips, panels, strict=True)):
        left, is_playing = BORDER_PX + index * step, index == playing
        bright = panel if is_playing or playing is None else (panel * DIM).astype(np.uint8)
        if is_playing:
            corners = (left - BORDER_PX, HEADER_PX - BORDER_PX), (left + step - 1, HEADER_PX + step - 1)
            cv2.rectangle(canvas, *corners, PLAYING, cv2.FILLED)
        canvas[HEADER_PX : HEADER_PX + PANEL_PX, left : left + PANEL_PX] = bright
        colour = PLAYING if is_playing else TEXT
        _write_centred(canvas, label, left + PANEL_PX // 2, HEADER_PX + PANEL_PX + LABEL_PX - 9, colour)
    return canvas


def _write_centred(
    canvas: np.ndarray, text: str, centre_px: int, baseline_px: int, colour: tuple[int, int, int]
) -> None:
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.55
    width = cv2.getTextSize(text, font, scale, 1)[0][0]
    if width > canvas.shape[1] - 8:
        scale *= (canvas.shape[1] - 8) / width
        width = cv2.getTextSize(text, font, scale, 1)[0][0]
    cv2.putText(canvas, text, (int(centre_px - width / 2), baseline_px), font, scale, colour, 1, cv2.LINE_AA)
