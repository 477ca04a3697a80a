"""Closed-form answers that a training may start from (ours, not from the paper).

On a small corpus a ridge regression of one second beats minutes of gradient steps, so the networks may start at it:
the conversion network's linear path is fitted here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from sklearn.utils.extmath import randomized_svd


@dataclass(frozen=True)
class LinearPath:
    """Weights of the conversion network's `linear_map` and `linear_vgg` layers.

    A network that only hears or only sees has the inputs and outputs of that stream alone; without a face there is
    no VGG part and its arrays are empty.
    """

    map_kernel: np.ndarray  # [2 context + 1, n_in, n_tied_mel + n_keypoint_values + rank]
    map_bias: np.ndarray
    vgg_kernel: np.ndarray  # [rank, n_vgg]
    vgg_bias: np.ndarray
    alone: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)  # maps of "mel" and of "facial"


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

    def solve(self, penalty: float, inputs: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients [n_in, n_out] and means [n_out] of least squares + penalty * squared coefficients.

        Args:
            inputs: bool [n_in], those that the regression may use; None: all.
        """
        assert self.gram is not None and self.cross is not None, "no data added"
        used = np.arange(len(self.gram)) if inputs is None else np.flatnonzero([*inputs, True])
        ridge = np.full(len(used), penalty)
        ridge[-1] = 0.0
        both = np.linalg.solve(self.gram[np.ix_(used, used)] + np.diag(ridge), self.cross[used])
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
    modalities: str = "audio_visual",
    alone: bool = False,
) -> LinearPath:
    """Ridge regression from the source's tied mel frames and keypoints to the target's mel frames and facial feature.

    Args:
        pairs: standardised, aligned: source_mel, source_facial, target_mel, target_facial (schema.PAIR).
        context: video frames on each side; beyond the ends they count as zeros, as the network pads them.
        penalty: added to the squared coefficients (per coefficient, in sums over frames).
        rank: the VGG part is written through its `rank` strongest predicted directions.
        modalities: "audio_visual", or the stream that is both read and written.
        alone: also fit a map of each stream where the other is missing.
    """
    names = {"audio": ("mel",), "visual": ("keypoints", "vgg")}.get(modalities, ("mel", "keypoints", "vgg"))
    sums = RidgeSums()
    sizes: dict[str, int] = {}
    for pair in pairs:
        source, target = (_parts(pair, side, n_keypoint_values, mel_per_video) for side in ("source", "target"))
        x = np.concatenate([source[name] for name in names if name != "vgg"], axis=1)
        sums.add(with_context(x, context), np.concatenate([target[name] for name in names], axis=1))
        sizes = {name: target[name].shape[1] for name in names}
    n_direct = sum(size for name, size in sizes.items() if name != "vgg")
    split = _VggSplit(sums, n_direct, 2 * context + 1, penalty)
    coefficients, means = sums.solve(penalty)
    split.fit(coefficients, means, rank if "vgg" in sizes else 0, seed)
    kernel, bias = split.layer(coefficients, means)
    columns = {"mel": np.arange(n_direct) < sizes.get("mel", 0)}
    columns["facial"] = ~columns["mel"]
    maps = {name: split.layer(*split.solve(used)) for name, used in columns.items()} if alone else {}
    return LinearPath(kernel, bias, split.basis.astype(np.float32), split.means.astype(np.float32), maps)


class _VggSplit:
    """Regressions whose VGG part is written through one low-rank basis."""

    def __init__(self, sums: RidgeSums, n_direct: int, n_taps: int, penalty: float) -> None:
        self.sums = sums
        self.n_direct = n_direct
        self.n_taps = n_taps
        self.penalty = penalty

    def fit(self, coefficients: np.ndarray, means: np.ndarray, rank: int, seed: int) -> None:
        """The basis [rank, n_vgg] that suits these predictions best, and the VGG part's means."""
        self.basis = _low_rank(coefficients[:, self.n_direct :], rank, self.sums, seed)
        self.means = means[self.n_direct :]

    def solve(self, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The regression on some of a frame's inputs (bool [n_direct])."""
        return self.sums.solve(self.penalty, np.tile(used, self.n_taps))

    def layer(self, coefficients: np.ndarray, means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Kernel and bias of a convolution that gives mel, keypoints and the codes of the VGG part."""
        n = self.n_direct
        kernel = np.concatenate([coefficients[:, :n], coefficients[:, n:] @ self.basis.T], axis=1)
        bias = np.concatenate([means[:n], (means[n:] - self.means) @ self.basis.T])
        return kernel.reshape(self.n_taps, -1, kernel.shape[1]).astype(np.float32), bias.astype(np.float32)


def with_context(x: np.ndarray, context: int) -> np.ndarray:
    """[frames, n] -> [frames, (2 context + 1) n]: each frame with its neighbours, zeros beyond the ends."""
    padded = np.pad(x, ((context, context), (0, 0)))
    return np.concatenate([padded[k : k + len(x)] for k in range(2 * context + 1)], axis=1)


def _parts(
    pair: Mapping[str, np.ndarray], side: str, n_keypoint_values: int, mel_per_video: int
) -> dict[str, np.ndarray]:
    """One speaker's tied mel frames, keypoints and VGG part, a row a video frame."""
    mel, facial = pair[f"{side}_mel"], np.asarray(pair[f"{side}_facial"], np.float32)
    n_vgg = facial.shape[1] - n_keypoint_values
    tied = mel.reshape(-1, mel_per_video * mel.shape[1])
    return {"mel": tied, "keypoints": facial[:, n_vgg:], "vgg": facial[:, :n_vgg]}


def _low_rank(coefficients: np.ndarray, rank: int, sums: RidgeSums, seed: int) -> np.ndarray:
    """Orthonormal rows [rank, n_vgg], best for the predictions of coefficients [n_in, n_vgg].

    Where there are fewer dimensions than `rank`, the rest is zeros.
    """
    assert sums.gram is not None
    basis = np.zeros((rank, coefficients.shape[1]))
    if rank:
        scale = np.sqrt(np.diag(sums.gram)[:-1] / sums.n)[:, None]
        _, _, strongest = randomized_svd(coefficients * scale, min(rank, *coefficients.shape), random_state=seed)
        basis[: len(strongest)] = strongest
    return basis
