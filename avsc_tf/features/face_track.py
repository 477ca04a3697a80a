"""Which face of a clip is followed, and where it is: looks at every third frame, linked over time.

Faces of successive looks are linked where one is near enough, in place and size, to be the other. Among those that
last the largest is followed, and among equally large ones that nearest the middle of the picture: who is seen
throughout wins over who passes by, however near the camera he comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.optimize import linear_sum_assignment

from avsc_tf.core.errors import FaceError
from avsc_tf.features.face_mesh import Face, FaceTracker

_LOOK_STRIDE = 3  # the first pass only places the crop, which moves slowly
_MAX_SPEED = 5.0  # heights of the face a second: faster is another face (walking across the picture is about 6)
_NOISE = 0.3  # heights: two looks at one still face may differ so, where a hand or a turn hides a part
_OFF_PATH = 0.5  # heights: a face in a crop this far from the straight line between looks is another one
_MAX_JUMP = 1.5  # heights, after however long a gap: two people side by side are about 2 apart
_MAX_GROWTH = 1.5  # ratio of heights between two looks
_LASTING_SHARE = 0.5  # of the looks of the face seen longest: one seen less passes by
_AS_LARGE_SHARE = 0.9  # of the largest lasting face's height: as large as that one, within FaceMesh's scatter
_NEVER = 1e6  # cost of a link that is not plausible

Trace = dict[int, Face]  # one person: a face at each frame where a look found it


@dataclass(frozen=True)
class FaceTrack:
    """Where the followed face is, straight between looks, and who else is there; pixels of the full frame."""

    centres: np.ndarray  # [T, 2]
    heights: np.ndarray  # [T]
    height: float  # median over the looks
    frame_size: tuple[int, int]  # width, height
    n_faces: int  # most faces seen at once, in two successive looks
    others: tuple[int, ...]  # frames at which a look found a face beside, or instead of, the followed one


def track_clip(frames: Iterable[np.ndarray], tracker: FaceTracker, *, fps: int, place: str = "clip") -> FaceTrack:
    """First pass: where the speaker's face is in the full frames. Every third frame and the last are looked at.

    Raises:
        FaceError: no face at all.
    """
    looks, n_frames, size = _look(frames, tracker)
    traces = _linked(looks, fps)
    if not traces:
        raise FaceError(
            f"{place}: no face in {n_frames / fps:.2f} s of picture. Show one face, from the front, well lit."
        )
    followed = _followed(traces, size)
    places = np.array([(*face.centre, face.height) for face in followed.values()])
    path = np.stack([np.interp(np.arange(n_frames), list(followed), column) for column in places.T], axis=1)
    others = tuple(index for index, faces in looks.items() if len(faces) > (index in followed))
    height = float(np.median(places[:, 2]))
    return FaceTrack(path[:, :2], path[:, 2], height, size, _most_at_once(looks), others)


def nearest_face(faces: Sequence[Face], centre: np.ndarray, height: float) -> Face | None:
    """The face that best fits a place and height known from nearby frames; None where none can be the same one."""
    costs = [_mismatch(face, centre, height, max_jump=_OFF_PATH) for face in faces]
    return faces[int(np.argmin(costs))] if costs and min(costs) < _NEVER else None


def _look(frames: Iterable[np.ndarray], tracker: FaceTracker) -> tuple[dict[int, list[Face]], int, tuple[int, int]]:
    """Faces at each frame looked at, number of frames, and the frames' width and height."""
    looks: dict[int, list[Face]] = {}
    index, frame = -1, np.empty((0, 0, 3), np.uint8)
    for index, frame in enumerate(frames):
        if index % _LOOK_STRIDE == 0:
            looks[index] = tracker.faces_near_and_far(frame)
    if index >= 0 and index not in looks:
        looks[index] = tracker.faces_near_and_far(frame)
    return looks, index + 1, (frame.shape[1], frame.shape[0])


def _linked(looks: dict[int, list[Face]], fps: int) -> list[Trace]:
    """Every face of every look, sorted by person: each look's faces go to the traces they fit best, all together."""
    traces: list[Trace] = []
    for index, faces in looks.items():
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
    """Distance in heights plus the logarithm of the growth; `_NEVER` where either is not plausible."""
    jump = float(np.linalg.norm(face.centre - centre)) / height
    growth = abs(float(np.log(face.height / height)))
    return jump + growth if jump <= max_jump and growth <= np.log(_MAX_GROWTH) else _NEVER


def _followed(traces: list[Trace], frame_size: tuple[int, int]) -> Trace:
    """The speaker: of the lasting faces the largest; of those as large, the one nearest the picture's middle."""
    longest = max(len(trace) for trace in traces)
    lasting = [trace for trace in traces if len(trace) >= _LASTING_SHARE * longest]
    heights = [float(np.median([face.height for face in trace.values()])) for trace in lasting]
    large = [t for t, height in zip(lasting, heights, strict=True) if height >= _AS_LARGE_SHARE * max(heights)]
    middle = np.array(frame_size) / 2
    return min(large, key=lambda trace: float(np.linalg.norm(_median_centre(trace) - middle)))


def _median_centre(trace: Trace) -> np.ndarray:
    return np.median([face.centre for face in trace.values()], axis=0)


def _most_at_once(looks: dict[int, list[Face]]) -> int:
    """A face in a single look may be a shadow; in two successive ones, or in a clip of two looks, it is a person."""
    counts = [len(faces) for faces in looks.values()]
    if len(counts) <= 2:
        return max(counts)
    return max(1, *(min(pair) for pair in pairwise(counts)))
