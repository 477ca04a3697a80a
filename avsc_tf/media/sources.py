"""Folders of clips: what was recorded, of whom, the sound that belongs to the picture, and sessions cut by cues."""

from __future__ import annotations

import csv
import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from avsc_tf.errors import MediaError
from avsc_tf.media.cues import CUES_SUFFIX, Cue, cells_of_row, check_columns, parse_seconds, read_cues
from avsc_tf.media.video import probe_video

VIDEO_SUFFIXES = (".mp4", ".mpg", ".mov", ".mkv", ".avi")
AUDIO_SUFFIXES = (".wav", ".flac")
MANIFEST_NAME = "manifest.csv"
MANIFEST_COLUMNS = ("utterance", "speaker", "emotion", "sentence", "split", "video", "audio", "start", "end")
REQUIRED_COLUMNS = ("utterance", "video")
SPLITS = ("train", "test")


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
    start_seconds: Fraction | None = None  # part of a session, on the clock that begins with its first picture
    end_seconds: Fraction | None = None  # None: to the end of the picture


def single_clip(video: Path, audio: Path | None = None) -> ClipSource:
    """A clip given by its file alone."""
    return ClipSource(video.stem, video.parent.name, "", video.stem, "", video, audio)


def find_clips(folder: Path) -> list[ClipSource]:
    """Clips of one speaker, sorted by utterance: from `manifest.csv` where there is one, else by file name.

    By name: NAME.mp4 (or mpg, mov, mkv, avi) and, if the sound was recorded apart, NAME.wav or NAME.flac beside it.
    The folder's name is the speaker, NAME is utterance and sentence. Where NAME.cues.csv lies beside it, NAME is a
    session, and each of its cues a clip. Names are compared in composed Unicode (NFC).

    Raises:
        MediaError: no folder, no clips, two files for one name, a sound or a cue list without a picture, a manifest
            with an unknown column, a missing file or an utterance named twice, or a cue list that `read_cues` refuses.
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


def _clips_by_name(folder: Path) -> list[ClipSource]:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    videos = _by_stem(files, VIDEO_SUFFIXES)
    sounds = _by_stem(files, AUDIO_SUFFIXES)
    lists = {_nfc(path.name[: -len(CUES_SUFFIX)]): path for path in files if _is_cue_list(path)}
    for beside in (sounds, lists):
        alone = sorted(beside.keys() - videos.keys())
        if alone:
            raise MediaError(
                f"{beside[alone[0]]}: no picture of that name beside it. Rename one of the two, or move it away."
            )
    clips: dict[str, ClipSource] = {}
    for name, video in videos.items():
        whole = ClipSource(name, folder.resolve().name, "", name, "", video, sounds.get(name))
        for place, clip in _clips_of_session(whole, lists[name]) if name in lists else [(str(video), whole)]:
            if clip.utterance in clips:
                raise MediaError(
                    f"{place}: {clips[clip.utterance].video.name} gives a clip of the name {clip.utterance}, too. "
                    "Give each clip its own name."
                )
            clips[clip.utterance] = clip
    return list(clips.values())


def _clips_of_session(session: ClipSource, cue_list: Path) -> list[tuple[str, ClipSource]]:
    """Place in the cue list and clip, a cue each."""
    cues = read_cues(cue_list, session_seconds=_picture_seconds(session.video))
    return [(f"{cue_list}, line {cue.line}", _clip_of_cue(session, cue, cue_list)) for cue in cues]


def _clip_of_cue(session: ClipSource, cue: Cue, cue_list: Path) -> ClipSource:
    _check_split(cue.split, f"{cue_list}, line {cue.line}")
    return ClipSource(
        utterance=cue.name,
        speaker=session.speaker,
        emotion=cue.emotion,
        sentence=cue.sentence,
        split=cue.split,
        video=session.video,
        audio=session.audio,
        start_seconds=cue.start_seconds,
        end_seconds=cue.end_seconds,
    )


def _picture_seconds(video: Path) -> Fraction:
    facts = video.stat()
    return _probed_seconds(video, facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=64)
def _probed_seconds(video: Path, size_bytes: int, modified_ns: int) -> Fraction:
    """A session is read once to know its length, as long as it stays the same file."""
    return probe_video(video).shown_seconds


def _is_cue_list(path: Path) -> bool:
    return path.name.lower().endswith(CUES_SUFFIX)


def _nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _by_stem(files: list[Path], suffixes: tuple[str, ...]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in files:
        if path.suffix.lower() not in suffixes:
            continue
        name = _nfc(path.stem)
        if name in found:
            raise MediaError(f"{path}: {found[name].name} has the same name. Keep one of the two.")
        found[name] = path
    return found


def _clips_of_manifest(manifest: Path) -> list[ClipSource]:
    lists = sorted(path for path in manifest.parent.iterdir() if _is_cue_list(path))
    if lists:
        raise MediaError(f"{lists[0]}: {MANIFEST_NAME} lies beside it. Write start and end there, or move one away.")
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, restkey="", restval="")
        check_columns(manifest, list(reader.fieldnames or ()), MANIFEST_COLUMNS, REQUIRED_COLUMNS)
        clips: dict[str, ClipSource] = {}
        for row in reader:
            place = f"{manifest}, line {reader.line_num}"
            clip = _clip_of_row(row, manifest.parent, place)
            if clip.utterance in clips:
                raise MediaError(f"{place}: utterance {clip.utterance} is named twice. Give each clip its own name.")
            clips[clip.utterance] = clip
    return list(clips.values())


def _clip_of_row(row: dict[str, str], folder: Path, place: str) -> ClipSource:
    cells = cells_of_row(row, place, MANIFEST_COLUMNS, REQUIRED_COLUMNS)
    _check_split(cells["split"], place)
    start, end = (_seconds_of_cell(cells[column], column, place) for column in ("start", "end"))
    if end is not None and end <= (start or 0):
        raise MediaError(f"{place}: ends at {cells['end']}, not after its start. Correct the times.")
    return ClipSource(
        utterance=cells["utterance"],
        speaker=cells["speaker"] or folder.resolve().name,
        emotion=cells["emotion"],
        sentence=cells["sentence"] or cells["utterance"],
        split=cells["split"],
        video=_existing(folder, cells["video"], place),
        audio=_existing(folder, cells["audio"], place) if cells["audio"] else None,
        start_seconds=start,
        end_seconds=end,
    )


def _check_split(split: str, place: str) -> None:
    if split not in ("", *SPLITS):
        raise MediaError(f"{place}: split is {split!r}. It must be train, test or empty.")


def _seconds_of_cell(cell: str, column: str, place: str) -> Fraction | None:
    try:
        return parse_seconds(cell) if cell else None
    except ValueError as error:
        raise MediaError(f"{place}: {column} is {cell!r}. Write seconds (83.5), m:ss.fff or h:mm:ss.fff.") from error


def _existing(folder: Path, name: str, place: str) -> Path:
    """The file of that name, whether the disk holds it composed (NFC) or decomposed (NFD)."""
    for form in ("NFC", "NFD"):
        path = folder / unicodedata.normalize(form, name)
        if path.is_file():
            return path
    raise MediaError(f"{place}: {folder / name} does not exist. Paths are relative to the manifest's folder.")
