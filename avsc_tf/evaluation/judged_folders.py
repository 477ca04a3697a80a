"""Finished videos that any tool made, in folders, as material for an evaluation: files are matched by name."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from avsc_tf.core.config import FaceConfig
from avsc_tf.core.errors import MediaError
from avsc_tf.evaluation.judged_trivial import Pair, Take, write_answers
from avsc_tf.evaluation.timeline import TimeMap, map_from_labels, read_labels
from avsc_tf.evaluation.videos.material import (
    CONVERTED,
    RIDGE,
    SECOND_TAKE,
    SOURCE,
    TARGET,
    VERSUS,
    Material,
    NaturalClip,
    SentenceInfo,
    short_labels,
)
from avsc_tf.evaluation.videos.measure import map_by_cepstra
from avsc_tf.evaluation.videos.watched import FPS, SAMPLE_RATE_HZ, Watched, watch
from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.media.clip_files import files_of_clip, separate_sound
from avsc_tf.media.clips import ClipSource, find_clips
from avsc_tf.media.sources import MANIFEST_NAME

NUMBERED = re.compile(r"(?P<emotion>.*[A-Za-z].*)_\d+")


@dataclass(frozen=True)
class JudgedFolders:
    """Folders of videos named alike; all but the first two may be absent."""

    videos: Path
    reference: Path  # the target saying the same sentences
    source: Path | None = None  # what was converted
    versus: Path | None = None  # a second system's videos
    second_take: Path | None = None
    align: Path | None = None  # word times of the target, GRID's form
    training: Path | None = None  # further recordings of the target, none of the judged sentences


def folder_material(folders: JudgedFolders, face: FaceConfig, out: Path) -> Material:
    """Match the folders by name, and make the trivial answers' videos in OUT/videos.

    Sentences are those that have a reference.

    Raises:
        MediaError: a folder is missing or holds no clips, or a training clip is one of the judged sentences.
    """
    clips = {
        row: {clip.utterance: clip for clip in _clips(folder)}
        for row, folder in (
            (CONVERTED, folders.videos),
            (VERSUS, folders.versus),
            (SOURCE, folders.source),
            (SECOND_TAKE, folders.second_take),
            (TARGET, folders.reference),
        )
        if folder is not None
    }
    names = [name for name in clips[TARGET] if name in clips[CONVERTED]]
    if not names:
        raise MediaError(
            f"{folders.videos}: no video has a recording of the target in {folders.reference}. Files are matched by "
            f"name: the videos are {_some(clips[CONVERTED])}, the recordings {_some(clips[TARGET])}. Rename them."
        )
    training = _training(folders, names)
    pairs = _pairs(names, clips, folders.align, face)
    sentences = [
        SentenceInfo(name, _emotion(clips[TARGET][name]), clips[TARGET][name].sentence, pairs[name].times)
        for name in names
    ]
    rows = {row: {name: by[name].video for name in names if name in by} for row, by in clips.items()}
    answers = write_answers([pairs[name] for name in names], out / "videos", origin=_origin(rows))
    systems = {CONVERTED: [folders.videos], **({VERSUS: [folders.versus]} if folders.versus else {})}
    return Material(
        rows | answers,
        sentences,
        WatchedClips(training, face),
        folders.training is None,
        short_labels(systems),
        _notes(folders, clips, names, answers),
    )


def _some(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:3]) + (", ..." if len(listed) > 3 else "")


def _pairs(
    names: Sequence[str], clips: Mapping[str, Mapping[str, ClipSource]], align: Path | None, face: FaceConfig
) -> dict[str, Pair]:
    """Each sentence's recordings in small, and the way in time between them."""
    pairs = {}
    with FaceTracker(face.min_detection_confidence) as tracker:
        for name in tqdm(names, desc="recordings", unit="sentence", dynamic_ncols=True):
            target, source = clips[TARGET][name], clips.get(SOURCE, {}).get(name)
            heard = watch(target.video, tracker, face)
            said = watch(source.video, tracker, face) if source else None
            times = _times(source, target, said, heard, align) if source and said else None
            pairs[name] = Pair(name, Take.of(heard), Take.of(said) if said else None, times)
    return pairs


def _times(source: ClipSource, target: ClipSource, said: Watched, heard: Watched, align: Path | None) -> TimeMap | None:
    """From source to target: by label times beside the clips, else by their sounds."""
    labels = [
        read_labels(clip.video.parent, clip.utterance, align_dir=folder)
        for clip, folder in ((source, None), (target, align))
    ]
    for origin in ("phone times", "word times"):
        if all(origin in found for found in labels):
            return map_from_labels(*(found[origin] for found in labels), origin=origin, name=target.utterance)
    if said.waveform is None or heard.waveform is None:
        return None
    return map_by_cepstra(said.cepstra, heard.cepstra)


def _origin(rows: Mapping[str, Mapping[str, Path]]) -> str:
    found = hashlib.sha256()
    for row in (TARGET, SOURCE):
        for path in rows.get(row, {}).values():
            for file in files_of_clip(path):
                found.update(file.read_bytes())
    return found.hexdigest()


def _notes(
    folders: JudgedFolders,
    clips: Mapping[str, Mapping[str, ClipSource]],
    names: Sequence[str],
    answers: Mapping[str, object],
) -> list[str]:
    notes = []
    left_out = sorted(set(clips[CONVERTED]) - set(names))
    if left_out:
        notes.append(
            f"{len(left_out)} videos have no reference of their name and are left out: {', '.join(left_out[:5])}."
        )
    if folders.training is None:
        notes.append(
            "No --training recordings of the target: what is fitted on natural speech (canonical correlation, mean, "
            "ridge) is fitted on the references of the other sentences, each left out in turn."
        )
    if answers and RIDGE not in answers:
        notes.append("No --source recordings: the rows of the source, of ridge and of the alignment cannot be made.")
    return notes


@dataclass(frozen=True)
class WatchedClips:
    """Natural clips of the target, watched anew with each iteration."""

    clips: list[ClipSource]
    face: FaceConfig

    def __iter__(self) -> Iterator[NaturalClip]:
        with FaceTracker(self.face.min_detection_confidence) as tracker:
            for clip in tqdm(self.clips, desc="target's natural clips", unit="clip", dynamic_ncols=True):
                seen = watch(clip.video, tracker, self.face)
                if seen.waveform is not None and seen.has_face:
                    middle = seen.crops[seen.n_frames // 2]
                    yield NaturalClip(clip.utterance, seen.waveform, SAMPLE_RATE_HZ, seen.keypoints, middle, FPS)


def _training(folders: JudgedFolders, names: list[str]) -> list[ClipSource]:
    if folders.training is None:
        return [clip for clip in _clips(folders.reference) if clip.utterance in names]
    clips = _clips(folders.training)
    both = sorted({clip.utterance for clip in clips} & set(names))
    if both:
        raise MediaError(
            f"{folders.training}: {both[0]} is a judged sentence; what is fitted must not have seen it. Take it away, "
            "or leave --training out: each sentence is then judged by what the others taught."
        )
    return clips


def _clips(folder: Path) -> list[ClipSource]:
    clips = find_clips(folder)
    for clip in clips:
        if clip.start_seconds is not None or clip.end_seconds is not None:
            raise MediaError(f"{clip.video}: is a session with cues; finished videos are one sentence each. Cut it.")
        by_name = separate_sound(clip.video)
        if clip.audio != by_name:
            raise MediaError(
                f"{clip.video}: its sound is {(clip.audio or clip.video).name} by {MANIFEST_NAME}, but "
                f"{(by_name or clip.video).name} by its name, and evaluations go by name. Rename the sound."
            )
    return clips


def _emotion(clip: ClipSource) -> str:
    if clip.emotion:
        return clip.emotion
    numbered = NUMBERED.fullmatch(clip.utterance)
    return numbered["emotion"] if numbered else ""
