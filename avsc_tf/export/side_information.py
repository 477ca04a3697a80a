"""What the WaveNet reads from the mel beside the mel itself: pitch and the prediction filter, in the graph.

The same as `features.pitch` and `features.linear_prediction` compute in NumPy.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from avsc_tf.core.config import Config
from avsc_tf.features import pitch as p
from avsc_tf.features.linear_prediction import GRID_POINTS, LAG_WINDOW_HZ, WHITE_NOISE, envelope_interpolation

Tensor = Any


class Pitch:
    """F0 in Hz and probability of voicing, [frames] each, and what the network makes of them."""

    def __init__(self, f0_hz: Tensor, voicing: Tensor):
        self.f0_hz, self.voicing = f0_hz, voicing
        self.is_voiced = voicing > p.VOICED_THRESHOLD

    def condition(self) -> Tensor:
        """As `features.pitch.pitch_condition`: [frames, 2]."""
        log_f0 = 2.0 * tf.math.log(self.f0_hz / p.TYPICAL_F0_HZ)
        return tf.stack([tf.where(self.is_voiced, log_f0, 0.0), 2.0 * self.voicing - 1.0], axis=1)

    def lag(self, *, hop_samples: int, sample_rate_hz: int) -> Tensor:
        """As `features.pitch.lag_samples`: int32 [frames * hop_samples]."""
        f0 = tf.cast(self.f0_hz, tf.float64)
        after = tf.concat([f0[1:], f0[-1:]], axis=0)
        share = np.arange(hop_samples) / hop_samples
        between = tf.reshape(f0[:, None] + (after - f0)[:, None] * share, [-1])
        period = tf.cast(tf.round(sample_rate_hz / between), tf.int32)
        voiced = tf.repeat(self.is_voiced, hop_samples)
        return tf.where(voiced, tf.maximum(period, 1 - p.LAG_OFFSETS[0]), 0)


class PitchReader(tf.Module):
    """`features.pitch.PitchEstimator` with its weights as variables."""

    def __init__(self, estimator: p.PitchEstimator):
        super().__init__(name="pitch_reader")
        self.weights = {
            name: tf.Variable(value, trainable=False, name=f"pitch_{name}") for name, value in estimator.weights.items()
        }

    def __call__(self, log_mel: Tensor) -> Pitch:
        """[frames, n_mels], natural log."""
        w = {name: tf.convert_to_tensor(value) for name, value in self.weights.items()}
        hidden = (log_mel - w["mel_mean"]) / w["mel_std"]
        for i in range(p.N_CONVOLUTIONS):
            hidden = tf.nn.conv1d(hidden[None], w[f"conv{i}_kernel"], stride=1, padding="SAME")[0]
            hidden = tf.nn.relu(hidden + w[f"conv{i}_bias"])
        logits = hidden @ w["out_kernel"] + w["out_bias"]
        voicing = tf.sigmoid(logits[:, -1])
        return Pitch(_decoded(logits[:, :-1], voicing), voicing)


def _decoded(logits: Tensor, voicing: Tensor) -> Tensor:
    """As `features.pitch.decode_bins`: F0 in Hz."""
    log_posterior = tf.nn.log_softmax(logits, axis=1)
    path = _best_path(tf.cast(voicing[:, None] * log_posterior, tf.float64))
    near = path[:, None] + np.arange(-p.AVERAGE_BINS, p.AVERAGE_BINS + 1, dtype=np.int32)
    inside = (near >= 0) & (near < p.N_BINS)
    near = tf.clip_by_value(near, 0, p.N_BINS - 1)
    share = tf.cast(tf.exp(tf.gather(log_posterior, near, batch_dims=1)), tf.float64)
    weight = share * tf.cast(inside, tf.float64) + 1e-9 * tf.cast(tf.equal(near, path[:, None]), tf.float64)
    bins = tf.reduce_sum(weight * tf.cast(near, tf.float64), axis=1) / tf.reduce_sum(weight, axis=1)
    octaves = bins * (p.BIN_CENTS / 1200.0)
    return tf.cast(p.LOWEST_F0_HZ * tf.exp(octaves * np.log(2.0)), tf.float32)


def _best_path(score: Tensor) -> Tensor:
    """Viterbi as in `features.pitch`: float64 [frames, bins] -> int32 [frames]."""
    jumps = np.arange(-p.MAX_JUMP_BINS, p.MAX_JUMP_BINS + 1)
    cost = (p.JUMP_COST * jumps.astype(np.float32) ** 2).astype(np.float64)
    window = np.arange(p.N_BINS)[:, None] + np.arange(len(jumps))  # places in the padded total
    infinite = tf.constant(-np.inf, tf.float64)

    def forward(state: tuple[Tensor, Tensor], row: Tensor) -> tuple[Tensor, Tensor]:
        total, _ = state
        padded = tf.pad(total, [[p.MAX_JUMP_BINS, p.MAX_JUMP_BINS]], constant_values=infinite)
        candidates = tf.gather(padded, window) - cost
        choice = tf.argmax(candidates, axis=1, output_type=tf.int32)
        came_from = np.arange(p.N_BINS, dtype=np.int32) + tf.gather(jumps.astype(np.int32), choice)
        return tf.reduce_max(candidates, axis=1) + row, came_from

    start = (score[0], tf.range(p.N_BINS))
    totals, came_from = tf.scan(forward, score[1:], start)
    totals = tf.concat([score[:1], totals], axis=0)  # the scan of one frame alone is empty
    last = tf.argmax(totals[-1], output_type=tf.int32)
    before = tf.scan(lambda place, row: row[place], came_from, last, reverse=True)
    return tf.concat([before, last[None]], axis=0)


class PredictionFilter:
    """As `features.linear_prediction.prediction_coefficients`."""

    def __init__(self, config: Config):
        net = config.wavenet
        lags = np.arange(net.prediction_order + 1)
        angles = np.linspace(0.0, np.pi, GRID_POINTS)
        self._interpolation = envelope_interpolation(config.acoustic, net.sample_rate_hz)
        emphasis = np.abs(1.0 - net.pre_emphasis * np.exp(-1j * angles)) ** 2
        ends = np.where((np.arange(GRID_POINTS) % (GRID_POINTS - 1)) == 0, 1.0, 2.0)  # of a real signal's spectrum
        cosines = np.cos(angles[:, None] * lags) * ends[:, None] / (2 * (GRID_POINTS - 1))
        window = np.exp(-0.5 * (2.0 * np.pi * LAG_WINDOW_HZ / net.sample_rate_hz * lags) ** 2)
        window[0] *= 1.0 + WHITE_NOISE
        self._to_correlation = emphasis[:, None] * cosines * window
        self._apart = np.abs(np.subtract.outer(lags[:-1], lags[:-1])).astype(np.int32)

    def __call__(self, log_mel: Tensor) -> Tensor:
        """[frames, n_mels], natural log -> float32 [frames, order]."""
        power = tf.exp(2.0 * (tf.cast(log_mel, tf.float64) @ self._interpolation))
        correlation = power @ self._to_correlation
        matrix = tf.gather(correlation, self._apart, axis=1)
        return tf.cast(tf.linalg.solve(matrix, correlation[:, 1:, None])[:, :, 0], tf.float32)
