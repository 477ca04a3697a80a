"""Whether two faces are one person's, by a network trained on millions of pictures.

The network is dlib's ResNet (King 2017, "High quality face recognition with deep metric learning"; weights CC0), run
by the `dlib-bin` wheel; its weights ship in `face_recognition_models`. Faces are not detected again: five of our own
keypoints, the corners of the eyes and the base of the nose, place the picture as dlib's own five landmarks would.
No lip is among them, so that speaking does not move the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from avsc_tf.core.errors import BundleError
from avsc_tf.signal.similarity import fit_similarity, to_complex, warp_image

EMBEDDING_SIZE = 128
SAME_PERSON_DISTANCE = 0.6  # dlib's own limit: 99.4 % right on Labeled Faces in the Wild
CHIP_PX, CHIP_PADDING = 150, 0.25
_LANDMARKS = (45, 42, 36, 39, 33)  # outer and inner corner of the left eye, of the right one, base of the nose
_PLACES = np.array(  # of dlib's five landmarks in its mean face (get_face_chip_details)
    [
        [0.8595674595992, 0.2134981538014],
        [0.6460604764104, 0.2289674387677],
        [0.1205750620789, 0.2137274526848],
        [0.3340850613712, 0.2290642403242],
        [0.4901123135679, 0.6277975316475],
    ]
)
WEIGHTS = Path("models") / "dlib_face_recognition_resnet_model_v1.dat"
INSTALL = "pip install avsc_tf[identity]"


def available() -> bool:
    """Whether dlib and the package of its weights are installed."""
    return find_spec("dlib") is not None and find_spec("face_recognition_models") is not None


class FaceEncoder:
    """Faces to points that lie nearer than 0.6 for one person.

    Raises:
        BundleError: the extra is not installed.
    """

    def __init__(self) -> None:
        if not available():
            raise BundleError(f"face identity needs dlib-bin and face_recognition_models, not installed: {INSTALL}")
        import dlib

        spec = find_spec("face_recognition_models")  # only found: importing it warns about setuptools
        assert spec is not None and spec.submodule_search_locations
        self._network = dlib.face_recognition_model_v1(str(Path(next(iter(spec.submodule_search_locations))) / WEIGHTS))

    def embed(self, frame: np.ndarray, keypoints_px: np.ndarray) -> np.ndarray:
        """One frame (uint8 RGB [H, W, 3], keypoints [70, 2]) -> float64 [128]; NaN where no face was seen."""
        if not np.isfinite(keypoints_px).all():
            return np.full(EMBEDDING_SIZE, np.nan)
        return np.array(self._network.compute_face_descriptor(face_chip(frame, keypoints_px)))

    def embed_frames(self, frames: Sequence[np.ndarray] | np.ndarray, keypoints_px: np.ndarray) -> np.ndarray:
        """[T, 128]; a tenth of a second of one core each, so take every few frames only."""
        rows = [self.embed(frame, points) for frame, points in zip(frames, keypoints_px, strict=True)]
        return np.stack(rows) if rows else np.zeros((0, EMBEDDING_SIZE))


def identity_distance(embeddings: np.ndarray, reference: np.ndarray) -> float:
    """Mean Euclidean distance of a video's frames [T, 128] to the mean of the target's own [any, 128].

    Frames without a face are left out; NaN where none is left on either side. Faces of one person lie under 0.6.
    """
    here, there = (x[np.isfinite(x).all(axis=1)] for x in (embeddings, reference))
    if not len(here) or not len(there):
        return float("nan")
    return float(np.linalg.norm(here - there.mean(axis=0), axis=1).mean())


def face_chip(frame: np.ndarray, keypoints_px: np.ndarray) -> np.ndarray:
    """The face as the network was shown faces: upright, uint8 [150, 150, 3].

    The similarity of least squares from the five keypoints to their places, at parts of a pixel; dlib's own function
    takes whole pixels.
    """
    places = (CHIP_PADDING + _PLACES) / (2 * CHIP_PADDING + 1) * CHIP_PX
    turn, shift = fit_similarity(to_complex(keypoints_px[list(_LANDMARKS)]), to_complex(places))
    scale = float(abs(turn))
    if scale < 0.5:  # a large face: shrink it first, or the pixels between are never looked at
        shrunk = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        shares = np.array(shrunk.shape[1::-1]) / np.array(frame.shape[1::-1])  # whole pixels: not quite `scale`
        return face_chip(shrunk, keypoints_px * shares)
    return warp_image(frame, complex(turn), complex(shift), (CHIP_PX, CHIP_PX), interpolation=cv2.INTER_LINEAR)
