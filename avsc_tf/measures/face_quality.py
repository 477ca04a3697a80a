"""How a finished face looks: sharp or soft, steady or flickering, near to the eye or only near in grey levels.

SSIM and L1 like a soft picture; these say what they do not. All work on uint8 RGB frames [T, S, S, 3] and keypoints
[T, 70, 2] in pixels of those frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from avsc_tf.features.keypoints import LEFT_EYE_CORNER, NOSE, RIGHT_EYE_CORNER
from avsc_tf.signal.similarity import fit_similarity, to_complex, warp_image

N_SCALES = 4  # of `texture_distance`, each half of the one before
N_ORIENTATIONS = 4
GABOR_PX, GABOR_SIGMA, GABOR_WAVELENGTH = 7, 1.6, 4.0
NOISE_LEVELS = 4.0  # grey levels of filter response that count as nothing: the noise of GRID's compressed film
NAN = float("nan")
EYE_CORNERS = [RIGHT_EYE_CORNER, LEFT_EYE_CORNER]


def edge_energy(frames: np.ndarray, keypoints_px: np.ndarray) -> float:
    """Mean squared gradient of grey levels in the box of the keypoints, grey levels squared a pixel squared."""
    found = []
    for frame, points in zip(frames, keypoints_px, strict=True):
        down, across = np.gradient(frame[_box(points, frame.shape[0])].mean(axis=-1))
        found.append(np.mean(down**2 + across**2))
    return float(np.mean(found)) if found else NAN


def edge_ratio(frames: np.ndarray, keypoints_px: np.ndarray, reference: np.ndarray, reference_px: np.ndarray) -> float:
    """Edge energy as a share of the reference's, each in its own face: below 1 softer, above 1 harder or noisier."""
    return _share(edge_energy(frames, keypoints_px), edge_energy(reference, reference_px))


def flicker(frames: np.ndarray, keypoints_px: np.ndarray) -> float:
    """Mean absolute second difference over time, grey levels, in the box of the nose: neither lip nor lid is in it.

    Successive frames only; steady movement gives little, a tremble of the warp or of the shades gives much.
    """
    found = []
    for t in range(1, len(frames) - 1):
        box = _box(keypoints_px[t, NOSE], frames.shape[1])
        before, now, after = (frames[k][box].astype(np.float64) for k in (t - 1, t, t + 1))
        found.append(np.abs(before - 2 * now + after).mean())
    return float(np.mean(found)) if found else NAN


def flicker_ratio(
    frames: np.ndarray, keypoints_px: np.ndarray, reference: np.ndarray, reference_px: np.ndarray
) -> float:
    """Flicker as a share of the reference's own, which has the movement of the head and the noise of the camera."""
    return _share(flicker(frames, keypoints_px), flicker(reference, reference_px))


def texture_distance(frames: np.ndarray, reference: np.ndarray) -> float:
    """A distance in the manner of LPIPS (Zhang et al. 2018) on fixed filters in place of a trained network.

    On `N_SCALES` scales: energies of Gabor filters (even and odd, `N_ORIENTATIONS` orientations) of the grey levels and
    two opponent colours, pooled over a few pixels, divided by their length over channels at each place (as LPIPS
    normalises), squared differences summed over channels, averaged over places and scales. 0 for equal pictures; it
    sees blur, noise, blocks and lost texture, and forgives a shift of part of a pixel. It needs no weights, and so
    knows nothing of faces: compare its values only with each other.

    Raises:
        ValueError: pictures smaller than a filter.
    """
    if len(frames) and min(frames.shape[1:3]) < GABOR_PX:
        raise ValueError(f"pictures of shape {frames.shape[1:3]} must be {GABOR_PX} pixels wide and high at least")
    distances = [_one_texture_distance(a, b) for a, b in zip(frames, reference, strict=True)]
    return float(np.mean(distances)) if distances else NAN


def eyes_laid_on(frames: np.ndarray, keypoints_px: np.ndarray, reference_px: np.ndarray) -> np.ndarray:
    """Frames shifted, turned and scaled so that the outer corners of the eyes lie where the reference's are.

    No two takes share the head's movement; this takes it out before faces are compared pixel by pixel.
    """
    moved = np.empty_like(frames)
    for t, frame in enumerate(frames):
        turn, shift = fit_similarity(*(to_complex(points[t][EYE_CORNERS]) for points in (keypoints_px, reference_px)))
        size_px = (frame.shape[1], frame.shape[0])
        moved[t] = warp_image(frame, complex(turn), complex(shift), size_px, interpolation=cv2.INTER_CUBIC)
    return moved


def _box(points: np.ndarray, size_px: int) -> tuple[slice, slice]:
    """Rows and columns of the points' box inside the picture, 2 pixels a side at least."""
    low = np.clip(np.floor(points.min(axis=0)), 0, size_px - 2).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)), low + 2, size_px).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


def _share(value: float, reference: float) -> float:
    return value / reference if reference > 0 else NAN


@dataclass(frozen=True)
class _Gabor:
    even: np.ndarray
    odd: np.ndarray


def _gabor_bank() -> list[_Gabor]:
    """Filters without response to a constant, of gain 1 for a bar of their own wavelength."""
    made = []
    for k in range(N_ORIENTATIONS):
        angle = np.pi * k / N_ORIENTATIONS
        pair = [
            cv2.getGaborKernel((GABOR_PX, GABOR_PX), GABOR_SIGMA, angle, GABOR_WAVELENGTH, 1.0, phase)
            for phase in (0, np.pi / 2)
        ]
        pair = [kernel - kernel.mean() for kernel in pair]
        made.append(_Gabor(*((kernel / np.abs(kernel).sum()).astype(np.float32) for kernel in pair)))
    return made


_BANK = _gabor_bank()


def _one_texture_distance(image: np.ndarray, reference: np.ndarray) -> float:
    a: np.ndarray = image.astype(np.float32)
    b: np.ndarray = reference.astype(np.float32)
    found = []
    for scale in range(N_SCALES):
        if scale:
            a, b = (np.asarray(cv2.pyrDown(x), np.float32) for x in (a, b))
        if min(a.shape[:2]) < GABOR_PX:
            break
        found.append(np.mean(np.sum((_normalised(a) - _normalised(b)) ** 2, axis=-1)))
    return float(np.mean(found))


def _normalised(image: np.ndarray) -> np.ndarray:
    """[H, W, 3] -> [H, W, N_ORIENTATIONS + 2], of length up to 1 at every place."""
    grey = image.mean(axis=-1)
    energies = [cv2.magnitude(cv2.filter2D(grey, -1, gabor.even), cv2.filter2D(grey, -1, gabor.odd)) for gabor in _BANK]
    opponent = (image[..., 0] - image[..., 1], image[..., 2] - (image[..., 0] + image[..., 1]) / 2)
    channels = [cv2.GaussianBlur(channel, (0, 0), 1.0) for channel in (*energies, *(0.1 * c for c in opponent))]
    stacked = np.stack(channels, axis=-1)
    return stacked / np.sqrt(np.sum(stacked**2, axis=-1, keepdims=True) + NOISE_LEVELS**2)
