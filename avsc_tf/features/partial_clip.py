"""A clip as conversion takes it: with sound and picture, or with one of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from avsc_tf.core.errors import MediaError
from avsc_tf.features.clip import ClipExtractor, ClipFeatures
from avsc_tf.features.statistics import RunningMoments, Statistics, flatten_keypoints
from avsc_tf.media.clips import ClipSource
from avsc_tf.media.container import has_picture, has_sound


@dataclass(frozen=True)
class PartialClip:
    """Features of T video frames as in `ClipFeatures`; what is missing, or was not asked for, is None."""

    n_frames: int
    mel: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    vgg: np.ndarray | None = None
    notes: tuple[str, ...] = ()  # what a user should know of the files


def read_clip(extractor: ClipExtractor, clip: ClipSource, *, sound: bool = True, picture: bool = True) -> PartialClip:
    """Read what a clip holds of what is wanted; a picture alone gives its own frames, a sound alone those it fills.

    Args:
        sound, picture: what is wanted.
    Raises:
        MediaError: the clip holds nothing of it, or cannot be read. FaceError: as `ClipExtractor`.
    """
    heard = sound and (clip.audio is not None or has_sound(clip.video))
    seen = picture and has_picture(clip.video)
    if heard and seen:
        whole = extractor(clip)
        return PartialClip(whole.n_frames, whole.mel, whole.keypoints, whole.vgg, whole.notes)
    if seen:
        keypoints, vgg, notes = extractor.picture(clip)
        return PartialClip(len(keypoints), None, keypoints, vgg, notes)
    if heard:
        mel, n_frames, notes = extractor.sound(clip)
        return PartialClip(n_frames, mel, notes=notes)
    wanted = [name for name, is_wanted in (("sound", sound), ("picture", picture)) if is_wanted]
    raise MediaError(f"{clip.video}: holds no {' and no '.join(wanted)} to convert. Name a clip with {wanted[0]}.")


def missing_of(clip: ClipFeatures | PartialClip) -> str:
    """What a clip lacks: "sound", "picture" or "" where it lacks nothing."""
    return "sound" if clip.mel is None else "picture" if clip.keypoints is None else ""


def own_statistics(clip: ClipFeatures | PartialClip) -> Statistics:
    """Mean and deviation of what one clip holds, in place of its speaker's, as the speaker "source"."""
    keypoints = None if clip.keypoints is None else flatten_keypoints(clip.keypoints)
    moments = {}
    for name, values in {"mel": clip.mel, "vgg": clip.vgg, "keypoints": keypoints}.items():
        if values is not None:
            running = RunningMoments()
            running.add(values)
            moments[name] = running.moments()
    return Statistics({"source": moments})
