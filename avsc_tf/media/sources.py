"""Folders of clips: what was recorded, of whom, the sound that belongs to the picture, and sessions cut by cues."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

from avsc_tf.core.errors import MediaError
from avsc_tf.core.runs import CONSENT_NAME
from avsc_tf.media.clip_files import by_name, is_audio, is_video, separate_sound, stem, unused_note, visible_entries
from avsc_tf.media.cues import CUES_SUFFIX, Cue, parse_seconds, read_cues
from avsc_tf.media.tables import TableRow, read_table
from avsc_tf.media.video import probe_video

MANIFEST_NAME = "manifest.csv"
MANIFEST_COLUMNS = ("utterance", "speaker", "emotion", "sentence", "split", "video", "audio", "start", "end")
REQUIRED_COLUMNS = ("utterance", "video")
SPLITS = ("train", "test")
LABEL_SUFFIXES = (".phones.csv", ".words.csv")  # times of phones and words, which evaluations read


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


@dataclass(frozen=True)
class ClipFolder:
    """Clips of one speaker, sorted by utterance, and phrases on what was assumed or left unused in the folder."""

    clips: list[ClipSource]
    notes: tuple[str, ...] = ()


def find_clips(folder: Path) -> list[ClipSource]:
    """The clips of `read_clip_folder`."""
    return read_clip_folder(folder).clips


def read_clip_folder(folder: Path) -> ClipFolder:
    """Clips of one speaker: from `manifest.csv` where there is one, else by file name.

    By name: NAME.mp4 (or another of `VIDEO_SUFFIXES`) and, if the sound was recorded apart, NAME.wav (or another of
    `AUDIO_SUFFIXES`, see `separate_sound`) beside it. The folder's name is the speaker, NAME is utterance and sentence.
    Where NAME.cues.csv lies beside it, NAME is a session, and each of its cues a clip. Names are compared in composed
    Unicode (NFC).

    Raises:
        MediaError: no folder, no clips, two files for one name, a sound or a cue list without a picture, a manifest
            with a missing file or an utterance named twice, or a table that `read_table` or `read_cues` refuses.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MediaError(f"{folder}: no such folder. Name the folder that holds the speaker's clips.")
    manifest = folder / MANIFEST_NAME
    clips, notes = _clips_of_manifest(manifest) if manifest.is_file() else _clips_by_name(folder)
    unused = _unused_beside_manifest(folder, clips) if manifest.is_file() else _unused_by_name(folder, clips)
    if not clips:
        raise MediaError(
            f"{folder}: holds no clips. Put NAME.mp4 (or another video) or a {MANIFEST_NAME} there."
            + "".join(f" It {note}." for note in unused_note(unused))
        )
    return ClipFolder(sorted(clips, key=lambda clip: clip.utterance), (*notes, *unused_note(unused)))


def _clips_by_name(folder: Path) -> tuple[list[ClipSource], list[str]]:
    files = [path for path in visible_entries(folder) if path.is_file()]
    videos, beside = _videos_by_stem(files), by_name(files)
    sounds = {name: separate_sound(video, beside) for name, video in videos.items()}
    lists = {_stem_of_cues(path): path for path in files if _is_cue_list(path)}
    used = {path for path in sounds.values() if path is not None}
    alone = [path for path in files if is_audio(path) and path not in used]
    alone += [path for name, path in lists.items() if name not in videos]
    if alone:
        others = f" {len(alone) - 1} more are like it." if len(alone) > 1 else ""
        remedy = f"Give it the name of its picture, or move it away.{others}"
        raise MediaError(f"{alone[0]}: no picture of that name lies beside it. {remedy}")
    clips: dict[str, ClipSource] = {}
    notes: list[str] = []
    for name, video in videos.items():
        whole = ClipSource(name, folder.resolve().name, "", name, "", video, sounds[name])
        for place, clip in _clips_of_session(whole, lists[name], notes) if name in lists else [(str(video), whole)]:
            if clip.utterance in clips:
                raise MediaError(
                    f"{place}: {clips[clip.utterance].video.name} gives a clip of the name {clip.utterance}, too. "
                    "Give each clip its own name."
                )
            clips[clip.utterance] = clip
    return list(clips.values()), notes


def _unused_by_name(folder: Path, clips: list[ClipSource]) -> list[str]:
    """Names of what lies in the folder and neither belongs to a clip nor is known by its name."""
    used = {path.name for clip in clips for path in (clip.video, clip.audio) if path is not None}
    return [
        path.name + "/" * path.is_dir()
        for path in visible_entries(folder)
        if path.name not in (*used, CONSENT_NAME) and not path.name.lower().endswith((CUES_SUFFIX, *LABEL_SUFFIXES))
    ]


def _unused_beside_manifest(folder: Path, clips: list[ClipSource]) -> list[str]:
    """Names of videos and sounds that no row names, in the folder and those below it where clips lie."""
    used = {path for clip in clips for path in (clip.video, clip.audio) if path is not None}
    folders = {folder, *(path.parent for path in used if path.parent.is_relative_to(folder))}
    files = [path for place in sorted(folders) for path in visible_entries(place) if path.is_file()]
    return [str(path.relative_to(folder)) for path in files if (is_video(path) or is_audio(path)) and path not in used]


def _clips_of_session(session: ClipSource, cue_list: Path, notes: list[str]) -> list[tuple[str, ClipSource]]:
    """Place in the cue list and clip of each cue; phrases on how the list was read are added to `notes`."""
    found = read_cues(cue_list, session_seconds=_picture_seconds(session.video))
    notes += [f"{cue_list.name} {note}" for note in found.notes]
    return [(f"{cue_list}, line {cue.line}", _clip_of_cue(session, cue, cue_list)) for cue in found.cues]


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


def _stem_of_cues(path: Path) -> str:
    return unicodedata.normalize("NFC", path.name[: -len(CUES_SUFFIX)])


def _videos_by_stem(files: list[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in filter(is_video, files):
        if stem(path) in found:
            raise MediaError(f"{path}: {found[stem(path)].name} has the same name. Keep one of the two.")
        found[stem(path)] = path
    return found


def _clips_of_manifest(manifest: Path) -> tuple[list[ClipSource], list[str]]:
    lists = sorted(path for path in manifest.parent.iterdir() if _is_cue_list(path))
    if lists:
        raise MediaError(f"{lists[0]}: {MANIFEST_NAME} lies beside it. Write start and end there, or move one away.")
    table = read_table(manifest, columns=MANIFEST_COLUMNS, required=REQUIRED_COLUMNS)
    clips: dict[str, ClipSource] = {}
    for row in table.rows:
        clip = _clip_of_row(row, manifest.parent)
        if clip.utterance in clips:
            raise MediaError(f"{row.place}: utterance {clip.utterance} is named twice. Give each clip its own name.")
        clips[clip.utterance] = clip
    return list(clips.values()), [f"{MANIFEST_NAME} {note}" for note in table.notes]


def _clip_of_row(row: TableRow, folder: Path) -> ClipSource:
    cells, place = row.cells, row.place
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
