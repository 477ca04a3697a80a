"""Which files of a folder are pictures and sounds of clips, which sound belongs to which picture, and what is left."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from avsc_tf.core.errors import MediaError

# Whatever FFmpeg reads as a moving picture with times of its own; raw streams (.h264, .m2v) and animations have none.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".f4v", ".mov", ".qt", ".3gp", ".3gpp", ".3g2", ".mj2"),  # ISO media
    *(".mkv", ".mk3d", ".webm"),  # Matroska
    *(".mpg", ".mpeg", ".mpe", ".m2p", ".vob", ".mod"),  # MPEG program stream
    *(".ts", ".mts", ".m2ts", ".m2t", ".tod"),  # MPEG transport stream
    *(".avi", ".divx", ".wmv", ".asf", ".flv", ".ogv", ".ogm", ".mxf", ".nut", ".dv", ".dif", ".y4m"),
)
AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".aiff", ".aif", ".aifc", ".caf", ".au", ".snd", ".voc"),
    *(".m4a", ".m4b", ".m4r", ".3ga", ".qta", ".aac", ".adts", ".mp3", ".mp2", ".mpa", ".mka", ".weba"),
    *(".ogg", ".oga", ".opus", ".wma", ".ac3", ".eac3", ".dts", ".amr", ".wv", ".tta", ".ape"),
)
MAX_LISTED = 6  # kinds of unused files that one line names
_OF_THE_SYSTEM = ("thumbs.db", "desktop.ini")  # made by file managers; as little worth naming as hidden files

FilesByName = Mapping[str, Sequence[Path]]


def is_video(path: Path) -> bool:
    """Whether the file's name is that of a moving picture."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def is_audio(path: Path) -> bool:
    """Whether the file's name is that of a sound."""
    return path.suffix.lower() in AUDIO_SUFFIXES


def stem(path: Path) -> str:
    """Name without its suffix, in composed Unicode (NFC)."""
    return unicodedata.normalize("NFC", path.stem)


def visible_entries(folder: Path) -> list[Path]:
    """Files and folders in a folder, sorted, without hidden ones.

    Raises:
        MediaError: the folder cannot be read.
    """
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise MediaError(f"{folder}: cannot be read ({error.strerror}). Name a folder that you may read.") from error
    return [path for path in entries if not path.name.startswith(".") and path.name.lower() not in _OF_THE_SYSTEM]


def by_name(files: Iterable[Path]) -> dict[str, list[Path]]:
    """Files of sound and picture by their name without suffix, in lower case."""
    found = defaultdict(list)
    for path in files:
        if is_video(path) or is_audio(path):
            found[stem(path).casefold()].append(path)
    return dict(found)


def separate_sound(video: Path, files: FilesByName | None = None) -> Path | None:
    """The sound recorded apart of a clip: the sound file beside it of its name, upper or lower case; None without one.

    Args:
        files: `by_name` of the video's folder, where it is known already.
    Raises:
        MediaError: there are two.
    """
    files = by_name(path for path in visible_entries(video.parent) if path.is_file()) if files is None else files
    same = [path for path in files.get(stem(video).casefold(), ()) if path.name != video.name]
    sounds = [path for path in same if is_audio(path)]
    if any(is_video(path) and stem(path) != stem(video) for path in same):  # A.mp4 and a.mp4 have a sound each
        sounds = [path for path in sounds if stem(path) == stem(video)]
    if len(sounds) > 1:
        raise MediaError(
            f"{sounds[1]}: {sounds[0].name} has the same name, and one of them alone can be the sound of {video.name}. "
            "Keep one of the two."
        )
    return sounds[0] if sounds else None


def files_of_clip(video: Path) -> tuple[Path, ...]:
    """The video, and the sound recorded apart of it where there is one. Raises MediaError."""
    sound = separate_sound(video)
    return (video,) if sound is None else (video, sound)


def unused_note(names: Sequence[str]) -> tuple[str, ...]:
    """A phrase that lists files which no clip uses, kind by kind, the most frequent first; empty where there are none.

    Args:
        names: of files, and of folders with a slash at the end.
    """
    kinds: dict[str, list[str]] = defaultdict(list)
    for name in names:
        kinds["/" if name.endswith("/") else Path(name).suffix.lower()].append(name)
    ordered = sorted(kinds.values(), key=len, reverse=True)
    shown = [f"{name[:80]}{f' and {len(more)} more like it' if more else ''}" for name, *more in ordered[:MAX_LISTED]]
    n_others = sum(map(len, ordered[MAX_LISTED:]))
    if n_others:
        shown.append(f"{n_others} others")
    if not shown:
        return ()
    return (f"holds {len(names)} {'entry' if len(names) == 1 else 'entries'} that no clip uses: {', '.join(shown)}",)
