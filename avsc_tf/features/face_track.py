"""Selection and path of the speaker's face in a clip, by detection in every third frame.

Detections of successive frames are linked where place and size are plausible for one face. Of the faces that last, the
largest is followed, and of equally large ones the one nearest the centre of the frame. A face that is visible
throughout wins over a passer-by, however large.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from avsc_tf.core.errors import FaceError
from avsc_tf.features.face_mesh import Face, FaceTracker

_LOOK_STRIDE = 3  # the first pass only positions the crop, which moves slowly
_MAX_SPEED = 5.0  # face heights per second: faster is another face (walking across the frame is about 6)
_NOISE = 0.3  # heights: difference of two detections of one still face, partly hidden by a hand or a turn
_OFF_PATH = 0.5  # heights: a face in a crop this far from the interpolated path is another one
_MAX_JUMP = 1.5  # heights, after a gap of any length: two people side by side are about 2 apart
_MAX_GROWTH = 1.5  # ratio of heights between two detections
_LASTING_SHARE = 0.5  # of the longest face's detections: a face with fewer is a passer-by
_AS_LARGE_SHARE = 0.9  # of the largest lasting face's height: equally large, within the errors of FaceMesh
_NEVER = 1e6  # cost of a link that is not plausible

Trace = dict[int, Face]  # one person: the detected face by frame


@dataclass(frozen=True)
class FaceTrack:
    """Path of the followed face, interpolated between detections, and other faces; pixels of the full frame."""

    centres: np.ndarray  # [T, 2]
    heights: np.ndarray  # [T]
    height: float  # median over the detections
    frame_size: tuple[int, int]  # width, height
    n_faces: int  # largest number of faces at once, in two successive detections
    others: tuple[int, ...]  # frames with a face beside, or instead of, the followed one


def track_clip(frames: Iterable[np.ndarray], tracker: FaceTracker, *, fps: int, place: str = "clip") -> FaceTrack:
    """First pass: path of the speaker's face in the full frames, by detection in every third frame and the last.

    Raises:
        FaceError: no face at all.
    """
    detections, n_frames, size = _detect(frames, tracker)
    traces = _link(detections, fps)
    if not traces:
        raise FaceError(
            f"{place}: no face in {n_frames / fps:.2f} s of picture. Show one face, from the front, well lit."
        )
    followed = _select_speaker(traces, size)
    places = np.array([(*face.centre, face.height) for face in followed.values()])
    path = np.stack([np.interp(np.arange(n_frames), list(followed), column) for column in places.T], axis=1)
    others = tuple(index for index, faces in detections.items() if len(faces) > (index in followed))
    height = float(np.median(places[:, 2]))
    return FaceTrack(path[:, :2], path[:, 2], height, size, _most_at_once(detections), others)


def nearest_face(faces: Sequence[Face], centre: np.ndarray, height: float) -> Face | None:
    """The face that best fits a place and height known from nearby frames, or None where none is plausible."""
    costs = [_mismatch(face, centre, height, max_jump=_OFF_PATH) for face in faces]
    return faces[int(np.argmin(costs))] if costs and min(costs) < _NEVER else None


def _detect(frames: Iterable[np.ndarray], tracker: FaceTracker) -> tuple[dict[int, list[Face]], int, tuple[int, int]]:
    """Detected faces by frame, number of frames, and width and height of the frames."""
    detections: dict[int, list[Face]] = {}
    index, frame = -1, np.empty((0, 0, 3), np.uint8)
    for index, frame in enumerate(frames):
        if index % _LOOK_STRIDE == 0:
            detections[index] = tracker.faces_near_and_far(frame)
    if index >= 0 and index not in detections:
        detections[index] = tracker.faces_near_and_far(frame)
    return detections, index + 1, (frame.shape[1], frame.shape[0])


def _link(detections: dict[int, list[Face]], fps: int) -> list[Trace]:
    """Sort all detected faces by person: each frame's faces are assigned to the traces at the lowest total cost."""
    traces: list[Trace] = []
    for index, faces in detections.items():
        costs = np.array([[_link_cost(trace, face, index, fps) for face in faces] for trace in traces])
        rows, columns = linear_sum_assignment(costs.reshape(len(traces), len(faces)))
        owner = {c: traces[r] for r, c in zip(rows, columns, strict=True) if costs[r, c] < _NEVER}
        for column, face in enumerate(faces):
            if column in owner:
                owner[column][index] = face
            else:
                traces.append({index: face})
    return traces


def _link_cost(trace: Trace, face: Face, index: int, fps: int) -> float:
    last = max(trace)
    max_jump = min(_NOISE + _MAX_SPEED * (index - last) / fps, _MAX_JUMP)
    return _mismatch(face, trace[last].centre, trace[last].height, max_jump=max_jump)


def _mismatch(face: Face, centre: np.ndarray, height: float, *, max_jump: float) -> float:
    """Distance in heights plus the logarithm of the growth, or `_NEVER` where one of them is not plausible."""
    jump = float(np.linalg.norm(face.centre - centre)) / height
    growth = abs(float(np.log(face.height / height)))
    return jump + growth if jump <= max_jump and growth <= np.log(_MAX_GROWTH) else _NEVER


def _select_speaker(traces: list[Trace], frame_size: tuple[int, int]) -> Trace:
    """Return the largest of the lasting faces; of equally large ones, the one nearest the centre of the frame."""
    longest = max(len(trace) for trace in traces)
    lasting = [trace for trace in traces if len(trace) >= _LASTING_SHARE * longest]
    heights = [float(np.median([face.height for face in trace.values()])) for trace in lasting]
    large = [t for t, height in zip(lasting, heights, strict=True) if height >= _AS_LARGE_SHARE * max(heights)]
    middle = np.array(frame_size) / 2
    return min(large, key=lambda trace: float(np.linalg.norm(_median_centre(trace) - middle)))


def _median_centre(trace: Trace) -> np.ndarray:
    return np.median([face.centre for face in trace.values()], axis=0)


def _most_at_once(detections: dict[int, list[Face]]) -> int:
    """Largest number of faces in two successive detections: a face in a single one may be an error."""
    counts = [len(faces) for faces in detections.values()]
    if len(counts) <= 2:
        return max(counts)
    return max(1, *(min(pair) for pair in pairwise(counts)))
