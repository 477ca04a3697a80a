"""A clip to convert: with sound and picture, or with one of the two."""

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
    """Features of T video frames as in `ClipFeatures`; None for a stream that is missing or not requested."""

    n_frames: int
    mel: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    vgg: np.ndarray | None = None
    notes: tuple[str, ...] = ()  # remarks on the files for the user


def read_clip(extractor: ClipExtractor, clip: ClipSource, *, sound: bool = True, picture: bool = True) -> PartialClip:
    """Read the requested streams of a clip. Without a picture, the length of the sound decides the number of frames.

    Args:
        sound, picture: the requested streams.

    Raises:
        MediaError: the clip holds none of them, or cannot be read.
        FaceError: as `ClipExtractor`.
    """
    use_sound = sound and (clip.audio is not None or has_sound(clip.video))
    use_picture = picture and has_picture(clip.video)
    if use_sound and use_picture:
        whole = extractor(clip)
        return PartialClip(whole.n_frames, whole.mel, whole.keypoints, whole.vgg, whole.notes)
    if use_picture:
        keypoints, vgg, notes = extractor.picture(clip)
        return PartialClip(len(keypoints), None, keypoints, vgg, notes)
    if use_sound:
        mel, n_frames, notes = extractor.sound(clip)
        return PartialClip(n_frames, mel, notes=notes)
    wanted = [name for name, is_wanted in (("sound", sound), ("picture", picture)) if is_wanted]
    raise MediaError(f"{clip.video}: holds no {' and no '.join(wanted)} to convert. Name a clip with {wanted[0]}.")


def missing_stream(clip: ClipFeatures | PartialClip) -> str:
    """Return the stream a clip lacks: "sound", "picture", or "" for a complete clip."""
    return "sound" if clip.mel is None else "picture" if clip.keypoints is None else ""


def clip_statistics(clip: ClipFeatures | PartialClip) -> Statistics:
    """Mean and deviation of one clip's features, as those of the speaker "source"."""
    keypoints = None if clip.keypoints is None else flatten_keypoints(clip.keypoints)
    moments = {}
    for name, values in {"mel": clip.mel, "vgg": clip.vgg, "keypoints": keypoints}.items():
        if values is not None:
            running = RunningMoments()
            running.add(values)
            moments[name] = running.moments()
    return Statistics({"source": moments})
