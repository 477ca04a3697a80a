"""Closed-form answers that a training may start from (ours, not from the paper).

On a small corpus a ridge regression of one second beats minutes of gradient steps, so the networks may start at it:
the conversion network's linear path is fitted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.utils.extmath import randomized_svd


@dataclass(frozen=True)
class LinearPath:
    """Weights of the conversion network's `linear_map` and `linear_vgg` layers."""

    map_kernel: np.ndarray  # [2 context + 1, n_in, n_tied_mel + n_keypoint_values + rank]
    map_bias: np.ndarray
    vgg_kernel: np.ndarray  # [rank, n_vgg]
    vgg_bias: np.ndarray


class RidgeSums:
    """Sums that a ridge regression needs, gathered utterance by utterance.

    The mean is part of the regression and not penalised.
    """

    def __init__(self) -> None:
        self.gram: np.ndarray | None = None
        self.cross: np.ndarray | None = None
        self.n = 0

    def add(self, x: np.ndarray, y: np.ndarray) -> None:
        """x [frames, n_in], y [frames, n_out]."""
        x = np.concatenate([x, np.ones((len(x), 1), x.dtype)], axis=1)
        gram, cross = (x.T @ x).astype(np.float64), (x.T @ y).astype(np.float64)
        self.gram = gram if self.gram is None else self.gram + gram
        self.cross = cross if self.cross is None else self.cross + cross
        self.n += len(x)

    def solve(self, penalty: float) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients [n_in, n_out] and means [n_out] of least squares + penalty * squared coefficients."""
        assert self.gram is not None and self.cross is not None, "no data added"
        ridge = np.full(len(self.gram), penalty)
        ridge[-1] = 0.0
        both = np.linalg.solve(self.gram + np.diag(ridge), self.cross)
        return both[:-1], both[-1]


def fit_linear_path(
    pairs: Iterable[Mapping[str, np.ndarray]],
    *,
    n_keypoint_values: int,
    mel_per_video: int,
    context: int,
    penalty: float,
    rank: int,
    seed: int,
) -> LinearPath:
    """Ridge regression from the source's tied mel frames and keypoints to the target's mel frames and facial feature.

    Args:
        pairs: standardised, aligned: source_mel, source_facial, target_mel, target_facial (schema.PAIR).
        context: video frames on each side; beyond the ends they count as zeros, as the network pads them.
        penalty: added to the squared coefficients (per coefficient, in sums over frames).
        rank: the VGG part is written through its `rank` strongest predicted directions.
    """
    sums = RidgeSums()
    n_vgg = 0
    for pair in pairs:
        n_vgg = pair["target_facial"].shape[1] - n_keypoint_values
        x = _tied(pair["source_mel"], pair["source_facial"], n_keypoint_values, mel_per_video)
        target = np.asarray(pair["target_facial"], np.float32)
        y = np.concatenate([pair["target_mel"].reshape(len(target), -1), target[:, n_vgg:], target[:, :n_vgg]], axis=1)
        sums.add(with_context(x, context), y)
    coefficients, means = sums.solve(penalty)
    n_direct = coefficients.shape[1] - n_vgg
    codes, basis = _low_rank(coefficients[:, n_direct:], rank, sums, seed)
    kernel = np.concatenate([coefficients[:, :n_direct], codes], axis=1)
    return LinearPath(
        map_kernel=kernel.reshape(2 * context + 1, -1, n_direct + rank).astype(np.float32),
        map_bias=np.concatenate([means[:n_direct], np.zeros(rank)]).astype(np.float32),
        vgg_kernel=basis.astype(np.float32),
        vgg_bias=means[n_direct:].astype(np.float32),
    )


def with_context(x: np.ndarray, context: int) -> np.ndarray:
    """[frames, n] -> [frames, (2 context + 1) n]: each frame with its neighbours, zeros beyond the ends."""
    padded = np.pad(x, ((context, context), (0, 0)))
    return np.concatenate([padded[k : k + len(x)] for k in range(2 * context + 1)], axis=1)


def _tied(mel: np.ndarray, facial: np.ndarray, n_keypoint_values: int, mel_per_video: int) -> np.ndarray:
    """[frames, mel_per_video * n_mels + n_keypoint_values]: what the linear path sees of one frame."""
    tied = mel.reshape(-1, mel_per_video * mel.shape[1])
    keypoints = np.asarray(facial[:, facial.shape[1] - n_keypoint_values :], np.float32)
    return np.concatenate([tied, keypoints], axis=1)


def _low_rank(coefficients: np.ndarray, rank: int, sums: RidgeSums, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split coefficients [n_in, n_vgg] as codes [n_in, rank] @ basis [rank, n_vgg], best for the predictions.

    Where there are fewer dimensions than `rank`, the rest is zeros.
    """
    assert sums.gram is not None
    scale = np.sqrt(np.diag(sums.gram)[:-1] / sums.n)[:, None]
    _, _, strongest = randomized_svd(coefficients * scale, min(rank, *coefficients.shape), random_state=seed)
    basis = np.zeros((rank, coefficients.shape[1]))
    basis[: len(strongest)] = strongest
    return coefficients @ basis.T, basis
