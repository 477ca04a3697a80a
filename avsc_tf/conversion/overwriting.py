"""What a conversion may write over: files that a conversion made, and no recording."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import av

from avsc_tf.conversion.jobs import ClipJob, features_path
from avsc_tf.core.errors import OutputError
from avsc_tf.media.clip_files import by_name, is_audio, stem, visible_entries

MADE_HERE = "converted by avsc_tf"  # the comment in every file that a conversion writes


def check_outputs(jobs: Sequence[ClipJob], *, keep_features: bool = False, overwrite: bool = False) -> None:
    """Look at every file that would be written before any is.

    Args:
        keep_features: NAME.npz is written beside each.
        overwrite: files that no conversion made may be written over, too; never a clip of these jobs, its sound, or
            a recording of the clip's name beside it.

    Raises:
        OutputError: a file that would be written is there, and is not to be written over.
    """
    inputs = {_identity(path) for job in jobs for path in _recordings_of(job.clip)}
    for job in jobs:
        for output in job.outputs.values():
            for path in (output, features_path(output)) if keep_features else (output,):
                if path.exists():
                    _check_existing(path, job.clip, inputs, overwrite=overwrite)


def was_made_here(path: Path) -> bool:
    """Whether a conversion wrote this file: its comment, or the names in its archive, tell."""
    try:
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as archive:
                return "vocoder.npy" in archive.namelist()
        with av.open(str(path)) as container:
            comment = container.metadata.get("comment", "")
        return comment == MADE_HERE
    except (OSError, ValueError, zipfile.BadZipFile, av.FFmpegError):
        return False


def _check_existing(path: Path, clip: Path, inputs: Iterable[object], *, overwrite: bool) -> None:
    if _identity(path) in inputs:
        raise OutputError(f"{path}: would overwrite a clip to convert, or its sound. Name another --out.")
    if was_made_here(path):
        return
    if path.stem == clip.stem and path.suffix != ".npz" and _identity(path.parent) == _identity(clip.parent):
        raise OutputError(f"{path}: would overwrite the recording beside {clip}. Name another --out.")
    if not overwrite:
        raise OutputError(
            f"{path}: is there already, and was not made by a conversion. Name another --out, or write over it with "
            "--overwrite."
        )


def _recordings_of(clip: Path) -> list[Path]:
    """The clip, and the sounds of its name beside it."""
    if not clip.exists():
        return []
    beside = by_name(visible_entries(clip.parent)).get(stem(clip).casefold(), ())
    return [clip, *filter(is_audio, beside)]


def _identity(path: Path) -> tuple[int, int]:
    """The same for every name of a file, symbolic and hard links among them."""
    facts = path.stat()
    return facts.st_dev, facts.st_ino
