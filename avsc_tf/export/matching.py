"""Spectral gains that bring generated speech to its mel, as `vocoder.mel_matching` computes them, in the graph.

The resampler is soxr's own filter, read from its answer to single samples; beyond `_EDGE_SAMPLES` around them it says
nothing that float32 holds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import soxr
import tensorflow as tf

from avsc_tf.core.config import Config
from avsc_tf.features.acoustic import hann_window, mel_filterbank
from avsc_tf.vocoder.mel_matching import MAX_GAIN_NATS, band_to_bins

Tensor = Any

_EDGE_SAMPLES = 256  # of the lower rate, on each side


def can_match(config: Config) -> bool:
    """Whether the rate of the recordings is the WaveNet's, twice or three times it.

    With six times, soxr begins otherwise than this filter: by up to 6 % of full scale over the first few samples.
    """
    return config.time.sample_rate_hz in (ratio * config.wavenet.sample_rate_hz for ratio in (1, 2, 3))


class MelMatching(tf.Module):
    """`vocoder.mel_matching.match_mel` with the settings of a network."""

    def __init__(self, config: Config):
        super().__init__(name="mel_matching")
        acoustic, timebase = config.acoustic, config.timebase
        self.passes = config.wavenet.mel_matching_passes
        self.hop, self.n_fft = timebase.hop_samples, acoustic.fft_length
        self.log_floor = float(np.log(acoustic.log_floor))
        self.ratio = timebase.sample_rate_hz // config.wavenet.sample_rate_hz
        window = hann_window(acoustic, timebase.sample_rate_hz)
        before = (self.n_fft - len(window)) // 2
        self.window = np.pad(window, (before, self.n_fft - len(window) - before)).astype(np.float32)

        def held(name: str, values: np.ndarray) -> Any:
            return tf.Variable(values.astype(np.float32), trainable=False, name=f"matching_{name}")

        self.bank = held("bank", mel_filterbank(acoustic, timebase.sample_rate_hz).T)
        self.spread = held("spread", band_to_bins(acoustic, timebase.sample_rate_hz))
        self.up, self.down = (
            held(name, taps) for name, taps in zip(("up", "down"), resampler(self.ratio), strict=True)
        )

    def __call__(self, waveform: Tensor, log_mel: Tensor) -> Tensor:
        """[frames * hop at the WaveNet's rate], [frames, n_mels] -> the same waveform, brought to the mel."""
        full = self._resampled_up(waveform)
        bank, spread = tf.convert_to_tensor(self.bank), tf.convert_to_tensor(self.spread)

        def one_pass(k: Tensor, full: Tensor) -> tuple[Tensor, Tensor]:
            spectrum = self._spectrum(full)  # [frames + 1, bins]
            mel = tf.math.log(tf.maximum(tf.abs(spectrum[:-1]) @ bank, np.float32(np.exp(self.log_floor))))
            gain = tf.clip_by_value(log_mel - mel, -MAX_GAIN_NATS, MAX_GAIN_NATS)
            gain = tf.concat([gain, gain[-1:]], axis=0)
            return k + 1, self._waveform(spectrum * tf.cast(tf.exp(gain @ spread), tf.complex64), tf.shape(full)[0])

        shapes = (tf.TensorShape(()), tf.TensorShape((None,)))
        loop = (0, full)
        _, full = tf.while_loop(
            lambda k, _: k < self.passes, one_pass, loop, shape_invariants=shapes, parallel_iterations=1
        )
        return self._resampled_down(full)

    def _spectrum(self, waveform: Tensor) -> Tensor:
        padded = tf.pad(waveform, [[self.n_fft // 2, self.n_fft // 2]])
        return tf.signal.rfft(tf.signal.frame(padded, self.n_fft, self.hop) * self.window)

    def _waveform(self, spectrum: Tensor, n_samples: Tensor) -> Tensor:
        """Windowed again, overlapped, divided by the sum of the squared windows, as `librosa.istft`."""
        frames = tf.signal.irfft(spectrum, [self.n_fft]) * self.window
        weight = tf.tile((self.window**2)[None], [tf.shape(frames)[0], 1])
        total, weight = (tf.signal.overlap_and_add(x, self.hop) for x in (frames, weight))
        here = slice(self.n_fft // 2, self.n_fft // 2 + n_samples)
        total, weight = total[here], weight[here]
        return tf.where(weight > np.finfo(np.float32).tiny, tf.math.divide_no_nan(total, weight), total)

    def _resampled_up(self, waveform: Tensor) -> Tensor:
        if self.ratio == 1:
            return waveform
        return tf.reshape(tf.nn.conv1d(waveform[None, :, None], tf.convert_to_tensor(self.up), 1, "SAME"), [-1])

    def _resampled_down(self, waveform: Tensor) -> Tensor:
        if self.ratio == 1:
            return waveform
        blocks = tf.reshape(waveform, (1, -1, self.ratio))
        return tf.reshape(tf.nn.conv1d(blocks, tf.convert_to_tensor(self.down), 1, "SAME"), [-1])


@lru_cache(maxsize=4)
def resampler(ratio: int) -> tuple[np.ndarray, np.ndarray]:
    """soxr's HQ filters between a rate and `ratio` times it: kernels of `tf.nn.conv1d` over the lower rate's samples.

    Returns:
        Up: [taps, 1, ratio], the samples that follow from each one. Down: [taps, ratio, 1].
    """
    n, middle = 8 * _EDGE_SAMPLES, 4 * _EDGE_SAMPLES
    near = slice(middle - _EDGE_SAMPLES, middle + _EDGE_SAMPLES + 1)

    def answer(place: int, n_in: int, rates: tuple[int, int]) -> np.ndarray:
        single = np.zeros(n_in, np.float64)
        single[place] = 1.0
        return soxr.resample(single, *rates, quality="HQ")

    up = answer(middle, n, (1, ratio)).reshape(-1, ratio)[near]
    down = [answer(middle * ratio + phase, n * ratio, (ratio, 1))[near] for phase in range(ratio)]
    return up[::-1, None, :].copy(), np.stack(down, axis=1)[::-1, :, None].copy()
