"""From a moment of the source to the same moment of another take: by true label times, or by the DTW path."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from avsc_tf.alignment.pairs import VIDEO_CENTRE, interpolate, smooth_warp
from avsc_tf.core.errors import AlignmentError
from avsc_tf.core.timebase import Timebase
from avsc_tf.signal.speech import audible_frames

PAUSES = frozenset({"_", "sil", "sp", "pau", ""})
ALIGN_UNITS_A_SECOND = 25_000  # GRID's .align files


@dataclass(frozen=True)
class Label:
    """A phone or a word, and when it was said."""

    symbol: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class TimeMap:
    """Source seconds to the other take's seconds, straight between knots; beyond the last knot at equal speed."""

    source_s: np.ndarray  # [knots], rising
    other_s: np.ndarray  # [knots]
    speech_s: tuple[float, float]  # in the source, without the pauses before and after
    origin: str  # "phone times", "word times" or "DTW path"

    def __call__(self, source_s: np.ndarray) -> np.ndarray:
        after = np.maximum(np.asarray(source_s) - self.source_s[-1], 0.0)
        return np.interp(source_s, self.source_s, self.other_s) + after

    def spoken(self, source_s: np.ndarray) -> np.ndarray:
        """Which of the moments lie in the speech: bool, of the same shape."""
        return (source_s > self.speech_s[0]) & (source_s < self.speech_s[1])


def read_labels(folder: Path, utterance: str, *, align_dir: Path | None = None) -> dict[str, list[Label]]:
    """What is known of a clip's times: "phone times" from `NAME.phones.csv`, "word times" from `NAME.words.csv` beside
    it or from `align_dir/NAME.align` (GRID's form). Empty where there is nothing.

    Raises:
        AlignmentError: a file is there and cannot be read.
    """
    found = {}
    for kind, origin in (("phones", "phone times"), ("words", "word times")):
        path = folder / f"{utterance}.{kind}.csv"
        if path.is_file():
            found[origin] = _read_csv(path)
    aligned = align_dir / f"{utterance}.align" if align_dir else None
    if aligned and aligned.is_file():
        found.setdefault("word times", _read_align(aligned))
    return found


def map_from_labels(source: list[Label], other: list[Label], *, origin: str, name: str) -> TimeMap:
    """Start and end of every label, pauses apart, are the knots.

    Raises:
        AlignmentError: the two do not say the same.
    """
    said, heard = ([label for label in labels if label.symbol not in PAUSES] for labels in (source, other))
    if not said or [x.symbol for x in said] != [x.symbol for x in heard]:
        raise AlignmentError(
            f"{name}: the labels of the two clips differ ({len(said)} against {len(heard)} without pauses). "
            "Clips of one name must say the same sentence; correct the label files, or take them away to use DTW."
        )
    source_s = np.array([[0.0, 0.0], *([x.start_s, x.end_s] for x in said)]).ravel()[1:]
    other_s = np.array([[0.0, 0.0], *([x.start_s, x.end_s] for x in heard)]).ravel()[1:]
    source_s, keep = np.unique(source_s, return_index=True)
    return TimeMap(source_s, other_s[keep], (said[0].start_s, said[-1].end_s), origin)


def map_from_path(path: np.ndarray, source_mel: np.ndarray, *, smooth_frames: int, timebase: Timebase) -> TimeMap:
    """The smoothed warping path ([steps, 2] video frames) as a map; speech by the loudness of the source's mel."""
    n_frames = len(source_mel) // timebase.mel_per_video
    centres = np.arange(n_frames) + VIDEO_CENTRE
    positions = smooth_warp(path, n_frames, axis=0, smooth_frames=smooth_frames)
    loud = np.flatnonzero(audible_frames(source_mel))
    ends = (loud[0], loud[-1] + 1) if len(loud) else (0, len(source_mel))
    speech_s = (ends[0] / timebase.mel_fps, ends[1] / timebase.mel_fps)
    return TimeMap(centres / timebase.video_fps, positions / timebase.video_fps, speech_s, "DTW path")


def mel_seconds(n_video_frames: int, timebase: Timebase) -> np.ndarray:
    """Centres of the mel frames of a clip."""
    return np.arange(timebase.mel_frames_in(n_video_frames)) / timebase.mel_fps


def picture_seconds(n_video_frames: int, timebase: Timebase) -> np.ndarray:
    """Centres of the video frames of a clip."""
    return (np.arange(n_video_frames) + VIDEO_CENTRE) / timebase.video_fps


def warp_mel(mel: np.ndarray, seconds: np.ndarray, timebase: Timebase) -> np.ndarray:
    """Mel frames of a clip at moments of its own time, by linear interpolation: [len(seconds), n_mels]."""
    return interpolate(mel, seconds * timebase.mel_fps)


def warp_keypoints(keypoints: np.ndarray, seconds: np.ndarray, timebase: Timebase) -> np.ndarray:
    """Keypoints [T, 70, 2] of a clip at moments of its own time: [len(seconds), 70, 2]."""
    flat = keypoints.reshape(len(keypoints), -1)
    return interpolate(flat, seconds * timebase.video_fps - VIDEO_CENTRE).reshape(-1, *keypoints.shape[1:])


def warp_frames(frames: np.ndarray, seconds: np.ndarray, timebase: Timebase) -> np.ndarray:
    """Pictures [T, H, W, 3] shown at moments of a clip's own time: [len(seconds), H, W, 3]."""
    return frames[np.clip((seconds * timebase.video_fps).astype(int), 0, len(frames) - 1)]


def _read_csv(path: Path) -> list[Label]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    try:
        symbol = next(name for name in ("symbol", "phone", "word", "label") if name in rows[0])
        return [Label(row[symbol], float(row["start_s"]), float(row["end_s"])) for row in rows]
    except (StopIteration, IndexError, KeyError, TypeError, ValueError) as error:
        raise AlignmentError(
            f"{path}: label times must be rows of symbol,start_s,end_s below that heading ({error!r}). Write it again."
        ) from error


def _read_align(path: Path) -> list[Label]:
    try:
        rows = [line.split() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
        return [Label(word, int(a) / ALIGN_UNITS_A_SECOND, int(b) / ALIGN_UNITS_A_SECOND) for a, b, word in rows]
    except ValueError as error:
        raise AlignmentError(
            f"{path}: each line must read `start end word`, in 1/25000 s ({error}). Write it again."
        ) from error
