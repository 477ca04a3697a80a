"""Which clip becomes which file: checked before a network is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from avsc_tf.core.errors import MediaError
from avsc_tf.media.clips import AUDIO_SUFFIXES, VIDEO_SUFFIXES
from avsc_tf.media.mux import SOUND_FORMATS, VIDEO_FORMATS
from avsc_tf.vocoder import Vocoder

VIDEO_SUFFIX, SOUND_SUFFIX = ".mp4", ".wav"
_FORMATS = {VIDEO_SUFFIX: tuple(VIDEO_FORMATS), SOUND_SUFFIX: tuple(SOUND_FORMATS)}
# A name that ends like this is meant as a file, whether or not it can be written.
_OTHER_FILES = (".gif", ".npz")
_OF_FILES = {*VIDEO_SUFFIXES, *AUDIO_SUFFIXES, *VIDEO_FORMATS, *SOUND_FORMATS, *_OTHER_FILES}


@dataclass(frozen=True)
class ClipJob:
    """One clip and where its videos (of networks that only hear, its sounds) go, one a vocoder."""

    clip: Path
    outputs: Mapping[Vocoder, Path]


def steps_of(job: ClipJob) -> int:
    """What a progress bar counts for a job: reading, each voice, and the picture."""
    return 2 + len(job.outputs)


def features_path(output: Path) -> Path:
    """NAME.npz of `--keep-features` beside a converted file."""
    return output.with_suffix(".npz")


def plan_jobs(
    clips: Sequence[Path], out: Path, vocoders: Sequence[Vocoder], *, suffix: str = VIDEO_SUFFIX
) -> list[ClipJob]:
    """One clip and one vocoder into the file `out`, whose suffix gives the format; otherwise into the folder `out`.

    In a folder a clip keeps its name; several vocoders get a folder each.

    Args:
        suffix: of what is made, `VIDEO_SUFFIX` or `SOUND_SUFFIX`.

    Raises:
        MediaError: the names of two clips, or of a file and a folder, collide, or `out` is a file of a kind that
            these networks do not make, or that cannot be written.
    """
    single = len(clips) == len(vocoders) == 1
    if out.suffix.lower() in _OF_FILES and not out.is_dir():
        _check_format(out, suffix)
        if not single:
            raise MediaError(f"{out}: is one file, but {len(clips)} clips and {len(vocoders)} vocoders need a folder.")
        jobs = [ClipJob(clips[0], {vocoders[0]: out})]
    else:
        jobs = [ClipJob(clip, _in_folder(clip, out, vocoders, suffix)) for clip in clips]
    _check_collisions(jobs)
    return jobs


def _check_format(out: Path, suffix: str) -> None:
    formats = _FORMATS[suffix]
    if out.suffix.lower() not in formats:
        made = "sound without picture" if suffix == SOUND_SUFFIX else "pictures"
        ends = f"{', '.join(formats[:-1])} or {formats[-1]}"
        raise MediaError(
            f"{out}: these networks make {made}, which are not written as {out.suffix}. Name a file that ends with "
            f"{ends}, or a folder."
        )


def _in_folder(clip: Path, out: Path, vocoders: Sequence[Vocoder], suffix: str) -> dict[Vocoder, Path]:
    folders = {vocoder: out / vocoder if len(vocoders) > 1 else out for vocoder in vocoders}
    return {vocoder: folder / f"{clip.stem}{suffix}" for vocoder, folder in folders.items()}


def _check_collisions(jobs: Sequence[ClipJob]) -> None:
    taken: dict[Path, Path] = {}
    for job in jobs:
        for output in job.outputs.values():
            other = taken.setdefault(output, job.clip)
            if other is not job.clip:
                raise MediaError(
                    f"{output}: would be written for {other} and for {job.clip}. Rename one, or name two folders."
                )
            blocked = [p for p in output.parents if p.exists() and not p.is_dir()]
            if blocked or output.is_dir():
                raise MediaError(f"{output}: {blocked[0] if blocked else output} is in the way. Name another --out.")
