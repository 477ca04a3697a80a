"""F0 from the mel spectrogram, and the samples one pitch period ago as an input of the WaveNet (ours).

A converted utterance has mel frames but no waveform to measure F0 on. In 80 bands, the harmonics below 3 kHz leave a
ripple from which a small convolutional network estimates F0: a distribution over 20-cent bins as in CREPE (Kim et al.
2018), decoded by the Viterbi algorithm. The WaveNet receives its own samples one period earlier (`lag_taps`), as the
long-term predictor of speech codecs does, and need not learn periodicity.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.errors import BundleError
from avsc_tf.core.files import write_atomically

Floats = NDArray[np.float32]

LOWEST_F0_HZ = 60.0
HIGHEST_F0_HZ = 450.0
BIN_CENTS = 20.0
N_BINS = 1 + int(1200.0 * np.log2(HIGHEST_F0_HZ / LOWEST_F0_HZ) / BIN_CENTS)
BINS_HZ = LOWEST_F0_HZ * 2.0 ** (np.arange(N_BINS) * BIN_CENTS / 1200.0)
N_CONVOLUTIONS = 3
KERNEL_SIZE = 5
CHANNELS = 96

MAX_JUMP_BINS = 10  # 200 cents in 5 ms
JUMP_COST = 0.02  # nats per squared bin
AVERAGE_BINS = 3  # on each side of the decoded path
VOICED_THRESHOLD = 0.5
TYPICAL_F0_HZ = 160.0

PACKAGED_PITCH = Path(__file__).parent.parent / "pretrained" / "pitch.npz"

LAG_OFFSETS = (-2, -1, 0, 1, 2)  # samples around one pitch period ago
PITCH_CHANNELS = 2


@dataclass(frozen=True)
class Pitch:
    """F0 and voicing per mel frame (5 ms)."""

    f0_hz: Floats  # [frames], interpolated by the decoder where unvoiced
    voicing: Floats  # [frames], probability

    @property
    def is_voiced(self) -> NDArray[np.bool_]:
        return self.voicing > VOICED_THRESHOLD


class PitchEstimator:
    """The trained network, evaluated in NumPy."""

    def __init__(self, weights: Mapping[str, Floats]):
        """`weights`: mel_mean, mel_std [n_mels]; conv{i}_kernel [5, in, out], conv{i}_bias; out_kernel, out_bias."""
        self.weights = {name: np.asarray(value, np.float32) for name, value in weights.items()}

    @classmethod
    def load(cls, path: Path) -> PitchEstimator:
        """Read an npz file.

        Raises:
            BundleError: no such file.
        """
        if not Path(path).is_file():
            raise BundleError(f"{path}: pitch estimator missing. Train it again: avsc train wavenet --pretrain.")
        with np.load(path) as stored:
            return cls({name: stored[name] for name in stored.files})

    def save(self, path: Path) -> None:
        """Write the npz that `load` reads; the file appears complete or not at all."""
        buffer = io.BytesIO()
        np.savez(buffer, **self.weights)
        write_atomically(Path(path), buffer.getvalue())

    def __call__(self, mel: Floats) -> Pitch:
        """`mel`: [frames, n_mels], natural log."""
        logits = self.logits(mel)
        voicing = 1.0 / (1.0 + np.exp(-logits[:, -1]))
        return Pitch(decode_bins(logits[:, :-1], voicing).astype(np.float32), voicing.astype(np.float32))

    def logits(self, mel: Floats) -> Floats:
        """Logits of the F0 bins and, last, of voicing: [frames, N_BINS + 1]."""
        w = self.weights
        hidden = (mel - w["mel_mean"]) / w["mel_std"]
        for i in range(N_CONVOLUTIONS):
            hidden = np.maximum(_convolve(hidden, w[f"conv{i}_kernel"]) + w[f"conv{i}_bias"], 0.0)
        return hidden @ w["out_kernel"] + w["out_bias"]


def _convolve(x: Floats, kernel: Floats) -> Floats:
    """Convolution over time with zero padding: x [frames, in], kernel [width, in, out]."""
    half = len(kernel) // 2
    padded = np.pad(x, [(half, half), (0, 0)])
    return sum(padded[i : i + len(x)] @ tap for i, tap in enumerate(kernel))  # type: ignore[return-value]


def decode_bins(logits: Floats, voicing: Floats) -> Floats:
    """F0 in Hz [frames]: the most likely smooth path through the bins, refined by the mean of the bins around it.

    Frames are weighted by voicing, so the path interpolates over unvoiced ones.
    """
    log_posterior = logits - _log_sum_exp(logits)
    path = _best_path(voicing[:, None] * log_posterior)
    near = path[:, None] + np.arange(-AVERAGE_BINS, AVERAGE_BINS + 1)
    inside = (near >= 0) & (near < N_BINS)
    near = np.clip(near, 0, N_BINS - 1)
    weight = np.exp(np.take_along_axis(log_posterior, near, axis=1)) * inside + 1e-9 * (near == path[:, None])
    bins = (weight * near).sum(1) / weight.sum(1)
    return (LOWEST_F0_HZ * 2.0 ** (bins * BIN_CENTS / 1200.0)).astype(np.float32)


def _log_sum_exp(x: Floats) -> Floats:
    peak = x.max(1, keepdims=True)
    return peak + np.log(np.exp(x - peak).sum(1, keepdims=True))


def _best_path(score: Floats) -> NDArray[np.intp]:
    """Viterbi search over [frames, bins]: quadratic cost of jumps, at most `MAX_JUMP_BINS` per frame.

    `librosa.sequence.viterbi` is as fast but needs transitions that sum to one, which changes paths near the edges.
    """
    jumps = np.arange(-MAX_JUMP_BINS, MAX_JUMP_BINS + 1)
    cost = JUMP_COST * jumps.astype(np.float32) ** 2
    previous_bin = np.empty(score.shape, np.intp)
    total = score[0].astype(np.float64)
    for frame in range(1, len(score)):
        padded = np.pad(total, MAX_JUMP_BINS, constant_values=-np.inf)
        candidates = np.lib.stride_tricks.sliding_window_view(padded, len(jumps)) - cost  # [bins, jumps]
        choice = candidates.argmax(1)
        previous_bin[frame] = np.arange(len(total)) + jumps[choice]
        total = candidates[np.arange(len(total)), choice] + score[frame]
    path = np.empty(len(score), np.intp)
    path[-1] = total.argmax()
    for frame in range(len(score) - 1, 0, -1):
        path[frame - 1] = previous_bin[frame, path[frame]]
    return path


def pitch_condition(pitch: Pitch) -> Floats:
    """Inputs that join the mel in the WaveNet's condition: log F0 (about unit range) and voicing, [frames, 2]."""
    log_f0 = 2.0 * np.log(pitch.f0_hz / TYPICAL_F0_HZ)
    return np.stack([np.where(pitch.is_voiced, log_f0, 0.0), 2.0 * pitch.voicing - 1.0], axis=1).astype(np.float32)


def lag_samples(pitch: Pitch, *, hop_samples: int, sample_rate_hz: int) -> NDArray[np.int32]:
    """Pitch period at each sample: [frames * hop_samples], 0 where unvoiced.

    Frame k is centred on sample k * hop_samples; between the centres F0 is interpolated.
    """
    n_samples = len(pitch.f0_hz) * hop_samples
    centres = np.arange(len(pitch.f0_hz)) * hop_samples
    f0_hz = np.interp(np.arange(n_samples), centres, pitch.f0_hz)
    lag = np.rint(sample_rate_hz / f0_hz).astype(np.int32)
    voiced = np.repeat(pitch.is_voiced, hop_samples)
    return np.where(voiced, np.maximum(lag, 1 - LAG_OFFSETS[0]), 0).astype(np.int32)


def lag_taps(past: Floats, lag: NDArray[np.int32], start: int, silence: float) -> Floats:
    """Samples around one period before each of `len(lag)` samples from `start` on.

    Column j of sample t is past[t - lag + LAG_OFFSETS[j]], or `silence` before the first sample and where the lag is 0
    (unvoiced).

    Args:
        past: the whole signal; only samples before each sample are read.

    Returns:
        float32 [len(lag), len(LAG_OFFSETS)].
    """
    index = (start + np.arange(len(lag)) - lag)[:, None] + np.array(LAG_OFFSETS)
    known = (index >= 0) & (lag > 0)[:, None]
    return np.where(known, past[np.clip(index, 0, len(past) - 1)], silence).astype(np.float32)
