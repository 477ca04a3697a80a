"""Held-out sentences, ready to be measured: both recordings, the way in time between them, and the reference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from avsc_tf.core.config import Config
from avsc_tf.core.errors import RecordError
from avsc_tf.core.timebase import Timebase
from avsc_tf.corpus.reader import Records, decode_frames
from avsc_tf.evaluation.rows import Answer
from avsc_tf.evaluation.timeline import (
    TimeMap,
    map_from_labels,
    map_from_path,
    mel_seconds,
    picture_seconds,
    read_labels,
    warp_frames,
    warp_keypoints,
    warp_mel,
)
from avsc_tf.features.acoustic import mel_spectrogram
from avsc_tf.features.face import face_clip
from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.media.audio import read_audio
from avsc_tf.media.video import read_frames
from avsc_tf.signal.pcm import to_float32


@dataclass(frozen=True)
class Folders:
    """Where clips and label times lie. `second_take` and `align` may be absent."""

    source: Path
    target: Path
    second_take: Path | None = None
    align: Path | None = None  # GRID's word times of the target


@dataclass(frozen=True)
class Sentence:
    """One held-out sentence; the two clips are dictionaries of schema.CLIP, the reference lies on the source's time."""

    source: dict[str, Any]
    target: dict[str, Any]
    path: np.ndarray  # [steps, 2], DTW
    time_map: TimeMap  # source seconds -> target seconds
    reference: Answer  # the target, brought to the source's time
    timebase: Timebase

    @property
    def utterance(self) -> str:
        return self.source["utterance"]

    @property
    def emotion(self) -> str:
        return self.source["emotion"]

    @property
    def n_frames(self) -> int:
        return len(self.source["keypoints"])

    @property
    def spoken_mel(self) -> np.ndarray:
        """bool [mel_per_video * T]: mel frames of the source within the speech."""
        return self.time_map.spoken(mel_seconds(self.n_frames, self.timebase))

    @property
    def spoken_pictures(self) -> np.ndarray:
        """bool [T]: video frames of the source within the speech."""
        return self.time_map.spoken(picture_seconds(self.n_frames, self.timebase))

    def waveform(self, speaker: str) -> np.ndarray:
        """float32 [samples] of "source" or "target", full scale 1."""
        clip = self.source if speaker == "source" else self.target
        return to_float32(clip["waveform"])


def held_out_sentences(records: Records, folders: Folders) -> list[Sentence]:
    """All test sentences that both speakers have, in the records' order.

    Raises:
        RecordError: there are none.
        AlignmentError: label times that do not fit each other.
    """
    targets = {clip["utterance"]: clip for clip in records.clips("target", "test")}
    paths = {pair["utterance"]: pair["path"] for pair in records.pairs("test", only=("utterance", "path"))}
    sources = [clip for clip in records.clips("source", "test") if clip["utterance"] in targets.keys() & paths.keys()]
    if not sources:
        raise RecordError(
            f"{records.folder}: no held-out pair to evaluate. Raise split.test_share, or mark clips `test` in "
            "manifest.csv, and prepare the records again."
        )
    return [
        _sentence(clip, targets[clip["utterance"]], paths[clip["utterance"]], records.config, folders)
        for clip in sources
    ]


def _sentence(
    source: dict[str, Any], target: dict[str, Any], path: np.ndarray, config: Config, folders: Folders
) -> Sentence:
    timebase = config.timebase
    name = source["utterance"]
    said = read_labels(folders.source, name)
    heard = read_labels(folders.target, name, align_dir=folders.align)
    origin = next((kind for kind in ("phone times", "word times") if kind in said and kind in heard), None)
    if origin is None:
        smooth = config.alignment.smooth_frames
        time_map = map_from_path(path, source["mel"], smooth_frames=smooth, timebase=timebase)
    else:
        time_map = map_from_labels(said[origin], heard[origin], origin=origin, name=name)
    own = Answer(target["mel"], target["keypoints"], decode_frames(target["frames"]))
    reference = bring(own, time_map, len(source["keypoints"]), timebase)
    return Sentence(source, target, path, time_map, reference, timebase)


def bring(take: Answer, time_map: TimeMap, n_frames: int, timebase: Timebase) -> Answer:
    """Another take on the source's timeline of `n_frames` video frames."""
    pictures = time_map(picture_seconds(n_frames, timebase))
    return Answer(
        warp_mel(take.mel, time_map(mel_seconds(n_frames, timebase)), timebase),
        warp_keypoints(take.keypoints, pictures, timebase),
        None if take.frames is None else warp_frames(take.frames, pictures, timebase),
    )


def through_alignment(sentence: Sentence, config: Config) -> Answer:
    """The target as training pairs have it, through the smoothed DTW path: its figures are the alignment's noise."""
    timebase = sentence.timebase
    smooth = config.alignment.smooth_frames
    dtw = map_from_path(sentence.path, sentence.source["mel"], smooth_frames=smooth, timebase=timebase)
    target = sentence.target
    own = Answer(target["mel"], target["keypoints"], decode_frames(target["frames"]))
    return bring(own, dtw, sentence.n_frames, timebase)


@dataclass(frozen=True)
class SecondTake:
    """The target saying the sentence once more, on the source's timeline."""

    answer: Answer
    waveform: np.ndarray  # float32, on its own timeline
    time_map: TimeMap  # source seconds -> its own seconds


def second_take(sentence: Sentence, config: Config, folders: Folders, tracker: FaceTracker) -> SecondTake | None:
    """The target's second take of a sentence; None where there is none, or no phone times to compare it by.

    Raises:
        MediaError, FaceError: it cannot be used. AlignmentError: it says something else.
    """
    if folders.second_take is None:
        return None
    video = folders.second_take / f"{sentence.utterance}.mp4"
    said = read_labels(folders.source, sentence.utterance).get("phone times")
    heard = read_labels(folders.second_take, sentence.utterance).get("phone times")
    if not video.is_file() or said is None or heard is None:
        return None
    time_map = map_from_labels(said, heard, origin="phone times", name=str(video))
    answer, waveform = _features(video, config, tracker)
    brought = bring(answer, time_map, sentence.n_frames, sentence.timebase)
    return SecondTake(brought, waveform, time_map)


def _features(video: Path, config: Config, tracker: FaceTracker) -> tuple[Answer, np.ndarray]:
    """Mel, keypoints and frames as preparation makes them, without VGG-19."""
    import cv2

    timebase, face, size_px = config.timebase, config.face, config.image.size_px
    frames = list(read_frames(video, fps=timebase.video_fps))
    clip = face_clip(frames, tracker, face, fps=timebase.video_fps, place=str(video))
    waveform = read_audio(video, sample_rate_hz=timebase.sample_rate_hz, track=config.sync.audio_track)
    waveform = np.pad(waveform, (0, timebase.samples_in(1)))[: timebase.samples_in(len(clip.crops))]
    mel = mel_spectrogram(waveform, config.acoustic, timebase)
    small = np.stack([cv2.resize(crop, (size_px, size_px), interpolation=cv2.INTER_AREA) for crop in clip.crops])
    return Answer(mel, clip.keypoints, small), waveform
