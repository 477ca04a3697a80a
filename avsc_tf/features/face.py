"""Keypoints and the face-centred square crop of a clip (paper sections 3.1, 4.2), in two passes.

The first pass finds the speaker's face in the full frames and sets the path of the crop. The second pass cuts the crops
and detects the keypoints in them, so a small face is enlarged first. Coordinates: `features.keypoints`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from avsc_tf.core.config import FaceConfig
from avsc_tf.core.errors import FaceError
from avsc_tf.features.crop import CropTransform, crop_frame, crop_path
from avsc_tf.features.face_mesh import FaceTracker
from avsc_tf.features.face_track import FaceTrack, nearest_face, track_clip
from avsc_tf.features.keypoints import N_KEYPOINTS
from avsc_tf.signal.speech import true_runs

_EDGE_MARGIN_SECONDS = 0.25  # frames next to a damaged beginning are damaged too, even if a face is detected
_STILL_LEVELS = 1.0  # of 255, mean over a crop: an encoded still differs by less, a breathing face by more
_TINY = 1e-9  # 0.28 s * 25 is a little more than 7 frames in floating point


@dataclass(frozen=True)
class FaceClip:
    """Crops and keypoints of a clip of T frames, where they were detected, and the transform to the frames."""

    crops: np.ndarray  # uint8 [T, crop_px, crop_px, 3], RGB
    keypoints: np.ndarray  # float32 [T, 70, 2], pixels of the crop
    transform: CropTransform
    found: np.ndarray  # bool [T]: the speaker's face was detected in this frame; other frames are filled in
    gaps: list[tuple[float, float]]  # start and end of what was filled in, seconds
    n_faces: int  # largest number of faces at once; only the speaker's is followed
    face_centres: np.ndarray  # float32 [T, 2], pixels of the frame: centre of the detected face, NaN without one
    frame_size: np.ndarray  # int32 [2]: width and height of the upright frame

    @property
    def crop_centres(self) -> np.ndarray:
        """float32 [T, 2], pixels of the frame."""
        return self.transform.centres.astype(np.float32)

    @property
    def crop_side(self) -> np.ndarray:
        """float32 [], pixels of the frame."""
        return np.array(self.transform.side, np.float32)


def face_clip(
    frames: Iterable[np.ndarray], tracker: FaceTracker, face: FaceConfig, *, fps: int, place: str = "clip"
) -> FaceClip:
    """Crops and keypoints of a clip; `frames` is iterated twice (an array, a list, or `media.clips.ClipFrames`).

    Raises:
        FaceError: no face at all, or lost for longer than `face.max_gap_seconds` (`face.max_edge_seconds` at the
            beginning and the end); names the times.
    """
    track = track_clip(frames, tracker, fps=fps, place=place)
    return crop_clip(frames, track, tracker, face, fps=fps, place=place)


def face_notes(faces: FaceClip) -> tuple[str, ...]:
    """Remarks on the faces of a clip for the user: several people, or a face that never moves."""
    notes = []
    if faces.n_faces > 1:
        x, y = np.nanmedian(faces.face_centres, axis=0)
        width, height = faces.frame_size
        notes.append(
            f"{faces.n_faces} faces in the picture; the one at ({x:.0f}, {y:.0f}) of {width} x {height} pixels is used"
        )
    movement = max((float(np.abs(crop - faces.crops[0].astype(np.int16)).mean()) for crop in faces.crops), default=0.0)
    if len(faces.crops) > 1 and movement < _STILL_LEVELS:
        notes.append("the face never changes: a still picture, not a film of the speaker")
    return tuple(notes)


def crop_clip(
    frames: Iterable[np.ndarray],
    track: FaceTrack,
    tracker: FaceTracker,
    face: FaceConfig,
    *,
    fps: int,
    place: str = "clip",
) -> FaceClip:
    """Second pass: cut the crops and detect the keypoints of the followed face in them.

    Raises:
        FaceError: the face is lost for too long; names the times.
    """
    side = track.height / face.crop_face_share
    transform = CropTransform(crop_path(track.centres, side, track.frame_size, fps=fps), side, face.crop_px)
    expected = transform.to_crop(track.centres[:, None])[:, 0]
    heights = track.heights * (face.crop_px / side)
    crops = np.empty((len(expected), face.crop_px, face.crop_px, 3), np.uint8)
    keypoints = np.full((len(crops), N_KEYPOINTS, 2), np.nan, np.float32)
    middles = np.full((len(crops), 1, 2), np.nan, np.float32)
    for index, frame in enumerate(frames):
        crops[index] = crop_frame(frame, transform.centres[index], side, face.crop_px)
        nearest = nearest_face(tracker.faces(crops[index]), expected[index], heights[index])
        if nearest is not None:
            keypoints[index], middles[index, 0] = nearest.keypoints, nearest.centre
    found = np.isfinite(middles[:, 0, 0])
    edges = _held_edges(found, face, fps)
    _check_gaps(found & ~edges, edges, track, face, fps, place)
    return FaceClip(
        crops=_hold(crops, found & ~edges, edges),
        keypoints=_fill(keypoints, found & ~edges),
        transform=CropTransform(_hold(transform.centres, found & ~edges, edges), side, face.crop_px),
        found=found,
        gaps=[(begin / fps, end / fps) for begin, end in true_runs(~found | edges)],
        n_faces=track.n_faces,
        face_centres=transform.to_frame(middles)[:, 0],
        frame_size=np.array(track.frame_size, np.int32),
    )


def _held_edges(found: np.ndarray, face: FaceConfig, fps: int) -> np.ndarray:
    """Mask [T] of a beginning and an end without a face that are repeated from the nearest frame with one.

    They are longer than `max_gap_seconds` and at most `max_edge_seconds`; a margin beside them is repeated as well.
    """
    edges = np.zeros_like(found)
    margin = round(_EDGE_MARGIN_SECONDS * fps)
    for begin, end in true_runs(~found):
        if face.max_gap_seconds * fps + _TINY < end - begin <= face.max_edge_seconds * fps + _TINY:
            if begin == 0:
                edges[: end + margin] = True
            elif end == len(found):
                edges[max(0, begin - margin) :] = True
    return edges


def _check_gaps(known: np.ndarray, edges: np.ndarray, track: FaceTrack, face: FaceConfig, fps: int, place: str) -> None:
    """Raise one FaceError that names every gap that is too long."""
    lost = true_runs(~known & ~edges) if known.any() else [(0, len(known))]
    long = [(a, b) for a, b in lost if b - a > face.max_gap_seconds * fps + _TINY or not known.any()]
    if not long:
        return
    times = ", ".join(f"from {begin / fps:.2f} s to {end / fps:.2f} s" for begin, end in long)
    limit = f"{face.max_gap_seconds:g} s at most"
    if face.max_edge_seconds > face.max_gap_seconds:
        limit += f" ({face.max_edge_seconds:g} s at the beginning and the end)"
    others = any(begin <= index < end for begin, end in long for index in track.others)
    other = " Another face is seen then, but too far from the last place, or of another size." if others else ""
    raise FaceError(
        f"{place}: no face {times}; it may be lost for {limit}.{other} Cut these seconds, or record with the face "
        "in view."
    )


def _hold(values: np.ndarray, known: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Replace the values [T, ...] of held edges by the nearest known value."""
    index = np.arange(len(values))
    first, last = np.flatnonzero(known)[[0, -1]]
    return values[np.where(edges, np.clip(index, first, last), index)] if edges.any() else values


def _fill(keypoints: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Interpolate keypoints [T, 70, 2] linearly between known frames; the first and the last are held."""
    times = np.flatnonzero(known)
    columns = keypoints[known].reshape(len(times), -1).T
    filled = np.stack([np.interp(np.arange(len(known)), times, column) for column in columns], axis=1)
    return filled.reshape(keypoints.shape).astype(np.float32)
