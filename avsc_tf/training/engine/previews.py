"""What previews of all networks share: which sentences they show, and how mels, faces and pictures are drawn."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from avsc_tf.features.keypoints import JAW, LEFT_EYE, PUPILS, RIGHT_EYE

N_SHOWN = 4  # sentences, each of another emotion
MEL_RANGE_NATS = 8.0  # shown below the loudest: 70 dB
LINE_PX = 2
FACE_PX = 96
FACE_MARGIN = 0.12  # of the face's size, on every side
INK, PAPER = (40.0,), 255
_SUBPIXEL = 4  # bits
OPEN_LINES = (JAW, slice(17, 22), slice(22, 27), slice(27, 31), slice(31, 36))  # jaw, brows, bridge and end of the nose
CLOSED_LINES = (RIGHT_EYE, LEFT_EYE, slice(48, 60), slice(60, 68))  # eyes, outer and inner lips


def one_an_emotion(emotions: Sequence[str], *, most: int = N_SHOWN) -> list[int]:
    """Which examples to show: the first of each emotion, then others in their order, `most` at most; rising."""
    first = [k for k, emotion in enumerate(emotions) if emotion not in emotions[:k]]
    others = [k for k in range(len(emotions)) if k not in first]
    return sorted((first + others)[:most])


def mel_picture(mels: Sequence[np.ndarray]) -> np.ndarray:
    """Natural-log mels [frames, n_mels], one above the other, low bands below: uint8 RGB [rows, frames, 3].

    One scale of colours for all, up to the loudest of the last one, which is the one to reach.
    """
    loudest = float(mels[-1].max())
    levels = [np.clip((mel.T[::-1] - loudest) / MEL_RANGE_NATS + 1, 0, 1) for mel in mels]
    coloured = [cv2.applyColorMap((255 * level).astype(np.uint8), cv2.COLORMAP_MAGMA)[..., ::-1] for level in levels]
    return stacked([np.repeat(picture, 2, axis=0) for picture in coloured])


def face_strips(rows: Sequence[np.ndarray], *, every: int) -> np.ndarray:
    """Drawn faces of keypoints [T, 70, 2], every so many frames from left to right, one row above the other.

    Returns:
        uint8 [rows, columns, 1]. All faces have the scale and the place of the last row's mean face.
    """
    corner, scale = _place(rows[-1])
    strips = []
    for keypoints in rows:
        faces = [_face((points - corner) * scale) for points in keypoints[::every]]
        strips.append(np.concatenate(faces, axis=1)[..., None])
    return stacked(strips)


def stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures of one width above each other, white lines between them."""
    line = np.full((LINE_PX, *pictures[0].shape[1:]), 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (picture, line)][:-1])


def mean_known(values: Sequence[float]) -> float:
    """Mean of the numbers among them; NaN where there is none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _place(keypoints: np.ndarray) -> tuple[np.ndarray, float]:
    mean = keypoints.mean(axis=0)
    low, high = mean.min(axis=0), mean.max(axis=0)
    side = float((high - low).max()) * (1 + 2 * FACE_MARGIN)
    return (low + high - side) / 2, FACE_PX / side


def _face(points: np.ndarray) -> np.ndarray:
    """uint8 [FACE_PX, FACE_PX] of points in its pixels."""
    picture = np.full((FACE_PX, FACE_PX), PAPER, np.uint8)
    near = points.clip(-FACE_PX, 2 * FACE_PX)  # a young network's points may lie anywhere
    fixed = np.round(near * 2**_SUBPIXEL).astype(np.int32)
    for lines, closed in ((OPEN_LINES, False), (CLOSED_LINES, True)):
        for line in lines:
            cv2.polylines(picture, [fixed[line]], closed, INK, 1, cv2.LINE_AA, _SUBPIXEL)
    for x, y in fixed[PUPILS].tolist():
        cv2.circle(picture, (x, y), 1 << _SUBPIXEL, INK, -1, cv2.LINE_AA, _SUBPIXEL)
    return picture
