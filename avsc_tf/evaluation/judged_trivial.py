"""Trivial answers for folders of videos: what mean, ridge and alignment give where there are no records.

Sentences are split into `N_FOLDS` parts; each part's answers are fitted on the others, so none has seen its own
sentence.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from avsc_tf.evaluation.row_folder import RowFolder
from avsc_tf.evaluation.rows import Ridge
from avsc_tf.evaluation.timeline import TimeMap, mel_seconds, picture_seconds, warp_frames, warp_keypoints, warp_mel
from avsc_tf.evaluation.videos.material import MEAN, RIDGE, THROUGH_ALIGNMENT
from avsc_tf.evaluation.videos.watched import FPS, MEL, SAMPLE_RATE_HZ, TIMEBASE, Watched
from avsc_tf.media.mux import write_video
from avsc_tf.vocoder.griffin_lim import griffin_lim

N_FOLDS = 5
SIZE_PX = 128  # of the answers' pictures
PICTURE_EVERY = 2  # training frames taken for the pictures' ridge and mean


@dataclass(frozen=True)
class Take:
    """A recording in small: what trivial answers are fitted on and made of."""

    log_mel: np.ndarray  # [8T, 80]
    keypoints: np.ndarray  # [T, 70, 2], pixels of the crop
    pictures: np.ndarray  # uint8 [T, SIZE_PX, SIZE_PX, 3]

    @classmethod
    def of(cls, video: Watched) -> Take | None:
        """None of a silent video, or of one without a face."""
        if video.waveform is None or not video.has_face:
            return None
        small = [cv2.resize(crop, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA) for crop in video.crops]
        return cls(video.log_mel, video.keypoints, np.stack(small))

    @property
    def n_frames(self) -> int:
        return len(self.keypoints)

    @property
    def features(self) -> np.ndarray:
        """[T, 8 * 80 + 140]: mel frames and keypoints of each video frame."""
        return np.concatenate(
            [self.log_mel.reshape(self.n_frames, -1), self.keypoints.reshape(self.n_frames, -1)], axis=1
        )

    def on(self, times: TimeMap, n_frames: int) -> Take:
        """This take on another timeline of `n_frames` pictures."""
        pictures = times(picture_seconds(n_frames, TIMEBASE))
        return Take(
            warp_mel(self.log_mel, times(mel_seconds(n_frames, TIMEBASE)), TIMEBASE),
            warp_keypoints(self.keypoints, pictures, TIMEBASE),
            warp_frames(self.pictures, pictures, TIMEBASE),
        )


@dataclass(frozen=True)
class Pair:
    """A sentence of both speakers. `source` is None where only the target is known."""

    utterance: str
    target: Take | None
    source: Take | None  # None, too, where it is not known
    times: TimeMap | None


def write_answers(pairs: Sequence[Pair], videos: Path, *, origin: str) -> dict[str, dict[str, Path]]:
    """Write the answers' videos into VIDEOS/ROW/NAME.mp4; empty where there are fewer than two sentences.

    Args:
        origin: digest of the recordings; videos of another origin are made again.
    """
    pairs = [pair for pair in pairs if pair.target is not None]
    if len(pairs) < 2:
        return {}
    rows = (
        (MEAN, RIDGE, THROUGH_ALIGNMENT)
        if all(p.source is not None and p.times is not None for p in pairs)
        else (MEAN,)
    )
    names = [pair.utterance for pair in pairs]
    key = hashlib.sha256(" ".join([origin, *names]).encode()).hexdigest()
    folders = {row: RowFolder(videos / row, key) for row in rows}
    if any(folder.missing(names) for folder in folders.values()):
        with tqdm(total=len(pairs), desc="trivial answers", unit="sentence", dynamic_ncols=True) as bar:
            for pair, answers in _answers(pairs, with_source=RIDGE in rows):
                for row, answer in answers.items():
                    _write(folders[row].path(pair.utterance), answer)
                bar.update()
    return {row: folder.files(names) for row, folder in folders.items()}


# log mel [8T, 80] and pictures [T, SIZE_PX, SIZE_PX, 3]
_Answer = tuple[np.ndarray, np.ndarray]


def _answers(pairs: Sequence[Pair], *, with_source: bool) -> Iterator[tuple[Pair, dict[str, _Answer]]]:
    n_folds = min(N_FOLDS, len(pairs))
    for fold in range(n_folds):
        taught = [pair for i, pair in enumerate(pairs) if i % n_folds != fold]
        teacher = _Teacher(taught, with_source=with_source)
        for pair in pairs[fold::n_folds]:
            yield pair, teacher.answers(pair)


class _Teacher:
    """Mean and ridge of some sentences."""

    def __init__(self, pairs: Sequence[Pair], *, with_source: bool) -> None:
        targets = [pair.target for pair in pairs if pair.target]
        self.mean_mel = np.concatenate([t.log_mel for t in targets]).mean(axis=0)
        chosen = np.concatenate([t.pictures[::PICTURE_EVERY] for t in targets])
        self.mean_picture = np.rint(chosen.mean(axis=0)).astype(np.uint8)
        self.with_source = with_source
        if not with_source:
            return
        aligned = [
            (p.source, p.target.on(p.times, p.source.n_frames)) for p in pairs if p.source and p.target and p.times
        ]
        self.of_source = _Scale(np.concatenate([s.features for s, _ in aligned]))
        self.of_target = _Scale(np.concatenate([t.features for t in targets]))
        self.features, self.pictures = Ridge(), Ridge()
        for source, target in aligned:
            self.features.add(self.of_source(source.features), self.of_target(target.features))
        for target in targets:
            some = slice(None, None, PICTURE_EVERY)
            flat = target.pictures[some].reshape(len(target.pictures[some]), -1).astype(np.float32)
            self.pictures.add(self.of_target(target.features)[some], flat)

    def answers(self, pair: Pair) -> dict[str, _Answer]:
        assert pair.target is not None
        n_frames = (pair.source or pair.target).n_frames
        mel = np.tile(self.mean_mel, (TIMEBASE.mel_frames_in(n_frames), 1))
        found = {MEAN: (mel, np.tile(self.mean_picture, (n_frames, 1, 1, 1)))}
        if self.with_source and pair.source is not None and pair.times is not None:
            predicted = self.features.predict(self.of_source(pair.source.features))
            pixels = np.clip(np.rint(self.pictures.predict(predicted)), 0, 255).astype(np.uint8)
            mel = self.of_target.back(predicted)[:, : -2 * pair.source.keypoints.shape[1]]
            found[RIDGE] = (mel.reshape(-1, MEL.n_mels), pixels.reshape(n_frames, SIZE_PX, SIZE_PX, 3))
            through = pair.target.on(pair.times, n_frames)
            found[THROUGH_ALIGNMENT] = (through.log_mel, through.pictures)
        return found


class _Scale:
    """Standardises features of one speaker."""

    def __init__(self, values: np.ndarray) -> None:
        self.mean, self.std = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.std

    def back(self, values: np.ndarray) -> np.ndarray:
        return values * self.std + self.mean


def _write(path: Path, answer: _Answer) -> None:
    mel, pictures = answer
    waveform = griffin_lim(mel.astype(np.float32), MEL, TIMEBASE)
    write_video(path, pictures, waveform, fps=FPS, sample_rate_hz=SAMPLE_RATE_HZ)
