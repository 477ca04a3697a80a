"""Folders of clips: what was recorded, of whom, and the sound that belongs to the picture."""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avsc_tf.errors import MediaError
from avsc_tf.media.audio import read_audio
from avsc_tf.media.video import probe_video, read_frames
from avsc_tf.timebase import Timebase

VIDEO_SUFFIXES = (".mp4", ".mpg", ".mov", ".mkv", ".avi")
AUDIO_SUFFIXES = (".wav", ".flac")
MANIFEST_NAME = "manifest.csv"
MANIFEST_COLUMNS = ("utterance", "speaker", "emotion", "sentence", "split", "video", "audio")
REQUIRED_COLUMNS = ("utterance", "video")
SPLITS = ("train", "test")
MAX_TAIL_SECONDS = 0.2  # sound and picture of one recording end this close together; a larger difference is a mistake


@dataclass(frozen=True)
class ClipSource:
    """One recorded utterance. `split` is "train", "test", or "" where the sentence decides."""

    utterance: str
    speaker: str
    emotion: str
    sentence: str
    split: str
    video: Path
    audio: Path | None  # replaces the sound of `video`


@dataclass(frozen=True)
class ClipFrames:
    """Frames of a clip; every iteration decodes anew, so that only one frame is held at a time."""

    path: Path
    fps: int
    n_frames: int

    def __len__(self) -> int:
        return self.n_frames

    def __iter__(self) -> Iterator[np.ndarray]:
        """uint8 [height, width, 3], RGB, `n_frames` times."""
        return islice(read_frames(self.path, fps=self.fps), self.n_frames)


class LoadedClip(NamedTuple):
    """Frames that can be iterated again, and float32 [samples_in(len(frames))], mono, full scale 1."""

    frames: ClipFrames
    waveform: np.ndarray


def single_clip(video: Path, audio: Path | None = None) -> ClipSource:
    """A clip given by its file alone."""
    return ClipSource(video.stem, video.parent.name, "", video.stem, "", video, audio)


def find_clips(folder: Path) -> list[ClipSource]:
    """Clips of one speaker, sorted by utterance: from `manifest.csv` where there is one, else by file name.

    By name: NAME.mp4 (or mpg, mov, mkv, avi) and, if the sound was recorded apart, NAME.wav or NAME.flac beside it.
    The folder's name is the speaker, NAME is utterance and sentence.

    Raises:
        MediaError: no folder, no clips, two files for one name, a sound without a picture, or a manifest with an
            unknown column, a missing file or an utterance named twice.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MediaError(f"{folder}: no such folder. Name the folder that holds the speaker's clips.")
    manifest = folder / MANIFEST_NAME
    clips = _clips_of_manifest(manifest) if manifest.is_file() else _clips_by_name(folder)
    if not clips:
        raise MediaError(
            f"{folder}: holds no clips. Put NAME.mp4 (or {', '.join(VIDEO_SUFFIXES[1:])}) or a {MANIFEST_NAME} there."
        )
    return sorted(clips, key=lambda clip: clip.utterance)


def load_clip(source: ClipSource, timebase: Timebase) -> LoadedClip:
    """Picture and sound of a clip over the whole frames that both cover.

    Up to half a frame of missing sound is filled with silence; a difference of up to `MAX_TAIL_SECONDS` is cut.

    Raises:
        MediaError: unreadable file, sound and picture of different length, or nothing left.
    """
    fps = timebase.video_fps
    waveform = read_audio(source.audio or source.video, sample_rate_hz=timebase.sample_rate_hz)
    n_picture = probe_video(source.video).frames_at(fps)
    n_sound = timebase.video_frames_in(len(waveform) + timebase.samples_per_video_frame // 2)
    if abs(n_picture - n_sound) > MAX_TAIL_SECONDS * fps:
        sound = f"the sound of {source.audio.name}" if source.audio else "the sound"
        raise MediaError(
            f"{source.video}: the picture lasts {n_picture / fps:.2f} s, {sound} {n_sound / fps:.2f} s; they may "
            f"differ by {MAX_TAIL_SECONDS} s. Cut both to the same length."
        )
    n_frames = min(n_picture, n_sound)
    if n_frames == 0:
        raise MediaError(f"{source.video}: shorter than one frame of 1/{fps} s. Record it again.")
    n_samples = timebase.samples_in(n_frames)
    waveform = np.pad(waveform[:n_samples], (0, max(0, n_samples - len(waveform))))
    return LoadedClip(ClipFrames(source.video, fps, n_frames), waveform)


def _clips_by_name(folder: Path) -> list[ClipSource]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    videos = _by_stem(files, VIDEO_SUFFIXES)
    sounds = _by_stem(files, AUDIO_SUFFIXES)
    alone = sorted(sounds.keys() - videos.keys())
    if alone:
        raise MediaError(
            f"{sounds[alone[0]]}: no picture of that name beside it. Rename one of the two, or move it away."
        )
    speaker = folder.resolve().name
    return [ClipSource(name, speaker, "", name, "", video, sounds.get(name)) for name, video in videos.items()]


def _by_stem(files: list[Path], suffixes: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        if path.suffix.lower() not in suffixes:
            continue
        if path.stem in found:
            raise MediaError(f"{path}: {found[path.stem].name} has the same name. Keep one of the two.")
        found[path.stem] = path
    return found


def _clips_of_manifest(manifest: Path) -> list[ClipSource]:
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restkey="", restval="")
        _check_columns(manifest, list(reader.fieldnames or ()))
        clips: dict[str, ClipSource] = {}
        for row in reader:
            place = f"{manifest}, line {reader.line_num}"
            clip = _clip_of_row(row, manifest.parent, place)
            if clip.utterance in clips:
                raise MediaError(f"{place}: utterance {clip.utterance} is named twice. Give each clip its own name.")
            clips[clip.utterance] = clip
    return list(clips.values())


def _check_columns(manifest: Path, columns: list[str]) -> None:
    for name in columns:
        if name not in MANIFEST_COLUMNS:
            near = difflib.get_close_matches(name, MANIFEST_COLUMNS, n=1, cutoff=0.0)[0]
            raise MediaError(f"{manifest}: unknown column {name!r}. The nearest known one is {near!r}.")
    if len(set(columns)) < len(columns):
        raise MediaError(f"{manifest}: a column is named twice. Known are {', '.join(MANIFEST_COLUMNS)}.")
    missing = [name for name in REQUIRED_COLUMNS if name not in columns]
    if missing:
        raise MediaError(f"{manifest}: column {missing[0]!r} is missing. The first line must name the columns.")


def _clip_of_row(row: dict[str, str], folder: Path, place: str) -> ClipSource:
    if "" in row:
        raise MediaError(f"{place}: more cells than columns. Put text with commas between quotation marks.")
    cells = {name: row.get(name, "").strip() for name in MANIFEST_COLUMNS}
    for name in REQUIRED_COLUMNS:
        if not cells[name]:
            raise MediaError(f"{place}: the cell of {name} is empty. Fill it in.")
    if cells["split"] not in ("", *SPLITS):
        raise MediaError(f"{place}: split is {cells['split']!r}. It must be train, test or empty.")
    video = folder / cells["video"]
    audio = folder / cells["audio"] if cells["audio"] else None
    for path in (video, audio):
        if path is not None and not path.is_file():
            raise MediaError(f"{place}: {path} does not exist. Paths are relative to the manifest's folder.")
    return ClipSource(
        utterance=cells["utterance"],
        speaker=cells["speaker"] or folder.resolve().name,
        emotion=cells["emotion"],
        sentence=cells["sentence"] or cells["utterance"],
        split=cells["split"],
        video=video,
        audio=audio,
    )
