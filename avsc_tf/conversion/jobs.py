"""Which clip becomes which file: checked before a network is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from avsc_tf.errors import MediaError

Vocoder = Literal["wavenet", "griffin-lim", "none"]
VOCODERS: tuple[Vocoder, ...] = ("wavenet", "griffin-lim")
NO_VOICE: Vocoder = "none"  # of networks that only see
VIDEO_SUFFIX, SOUND_SUFFIX = ".mp4", ".wav"


@dataclass(frozen=True)
class Job:
    """One clip and where its videos (of networks that only hear, its sounds) go, one a vocoder."""

    clip: Path
    outputs: Mapping[Vocoder, Path]


def plan_jobs(
    clips: Sequence[Path], out: Path, vocoders: Sequence[Vocoder], *, suffix: str = VIDEO_SUFFIX
) -> list[Job]:
    """One clip and one vocoder into the file `out` (NAME.mp4); otherwise into the folder `out`.

    In a folder a clip keeps its name; several vocoders get a folder each.

    Args:
        suffix: of what is made, `VIDEO_SUFFIX` or `SOUND_SUFFIX`.

    Raises:
        MediaError: the names of two clips, of a clip and its own video, or of a file and a folder collide, or `out` is
            a file of the other kind.
    """
    single = len(clips) == len(vocoders) == 1
    if out.suffix.lower() in (VIDEO_SUFFIX, SOUND_SUFFIX) and not out.is_dir():
        if out.suffix.lower() != suffix:
            made = "sound without picture" if suffix == SOUND_SUFFIX else "pictures"
            raise MediaError(f"{out}: these networks make {made}. Name a file that ends with {suffix}, or a folder.")
        if not single:
            raise MediaError(f"{out}: is one file, but {len(clips)} clips and {len(vocoders)} vocoders need a folder.")
        jobs = [Job(clips[0], {vocoders[0]: out})]
    else:
        jobs = [Job(clip, _in_folder(clip, out, vocoders, suffix)) for clip in clips]
    _check_collisions(jobs)
    return jobs


def _in_folder(clip: Path, out: Path, vocoders: Sequence[Vocoder], suffix: str) -> dict[Vocoder, Path]:
    folders = {vocoder: out / vocoder if len(vocoders) > 1 else out for vocoder in vocoders}
    return {vocoder: folder / f"{clip.stem}{suffix}" for vocoder, folder in folders.items()}


def _check_collisions(jobs: Sequence[Job]) -> None:
    taken: dict[Path, Path] = {}
    clips = {job.clip.resolve() for job in jobs}
    for job in jobs:
        for output in job.outputs.values():
            other = taken.setdefault(output, job.clip)
            if other is not job.clip:
                raise MediaError(f"{job.clip}: and {other} would both become {output}. Convert them one by one.")
            if output.resolve() in clips:
                raise MediaError(f"{output}: would overwrite a clip to convert. Name another --out.")
            blocked = [p for p in output.parents if p.exists() and not p.is_dir()]
            if blocked or output.is_dir():
                raise MediaError(f"{output}: {blocked[0] if blocked else output} is in the way. Name another --out.")
