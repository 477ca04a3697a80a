"""The WaveNet's samples by plain Numba loops: for processors whose vectors `sampler_kernels` does not know."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.config import Config
from avsc_tf.features.pitch import LAG_OFFSETS
from avsc_tf.signal.companding import LINEAR_SCALE, class_values, expand, silence_class
from avsc_tf.vocoder.utterances import Floats, Utterance


class PlainEngine:
    """A network's weights, laid out for `sampler_kernel.generate`."""

    def __init__(self, model: Any, config: Config):
        self.net = config.wavenet
        self.hop_samples = model.hop_samples
        self._weights = _kernel_weights(model)

    def generate_batch(
        self,
        jobs: Sequence[Utterance],
        *,
        temperatures: Sequence[Floats],
        uniforms: Sequence[Floats],
        n_threads: int | None = None,
        lanes: int | None = None,
    ) -> list[NDArray[np.int32]]:
        """As `CpuEngine.generate_batch`; a thread speaks one utterance at a time, whatever `lanes`."""
        with ThreadPoolExecutor(n_threads or joblib.cpu_count()) as pool:
            return list(pool.map(self._generate, jobs, temperatures, uniforms))

    def stream(
        self, job: Utterance, *, temperature: Floats, uniform: Floats, chunk_frames: int
    ) -> Iterator[NDArray[np.int32]]:
        """As `CpuEngine.stream`, but the whole utterance is spoken before the first chunk."""
        classes = self._generate(job, temperature, uniform)
        step = chunk_frames * self.hop_samples
        yield from (classes[start : start + step] for start in range(0, len(classes), step))

    def _generate(self, job: Utterance, temperature: Floats, uniform: Floats) -> NDArray[np.int32]:
        classes = np.zeros(len(uniform), np.int32)
        self._run(job, classes, forced=False, temperature=temperature, uniform=uniform)
        return classes

    def logits(self, job: Utterance, classes: NDArray[np.int32]) -> Floats:
        """Teacher-forced: [samples, n_classes], each sample's prediction from those before it."""
        out = np.zeros((len(classes), self.net.n_classes), np.float32)
        heat, uniform = np.ones(len(job.condition), np.float32), np.zeros(len(classes), np.float32)
        self._run(job, classes.astype(np.int32), forced=True, temperature=heat, uniform=uniform, logits=out)
        return out

    def _run(self, job: Utterance, classes, *, forced: bool, temperature, uniform, logits=None) -> None:
        from avsc_tf.vocoder.sampler_kernel import generate

        n = self.net.n_classes
        companded = class_values(n)
        generate(
            *self._weights,
            job.condition,
            job.lag,
            job.coefficients,
            np.array(LAG_OFFSETS, np.int64),
            companded,
            (LINEAR_SCALE * expand(companded, n)).astype(np.float32),
            self.net.n_mixtures,
            self.net.input_features == "companded_and_linear",
            silence_class(n),
            temperature,
            uniform,
            classes,
            forced,
            np.zeros((0, 0), np.float32) if logits is None else logits,
        )


def _kernel_weights(model: Any) -> tuple[np.ndarray, ...]:
    """In the order of `sampler_kernel.generate`."""

    def of(layer: str, weight: str) -> np.ndarray:
        return np.asarray(getattr(model.get_layer(layer), weight), np.float32)

    blocks = [f"block_{k}" for k in range(model.n_layers)]
    width = model.residual_channels
    last_kernel, last_bias = np.zeros((width, width), np.float32), np.zeros(width, np.float32)
    packed = [
        of("input_projection", "kernel"),
        of("input_projection", "bias"),
        np.stack([of(block, "kernel") for block in blocks]),
        np.stack([*[of(block, "residual_kernel") for block in blocks[:-1]], last_kernel]),
        np.stack([*[of(block, "residual_bias") for block in blocks[:-1]], last_bias]),
    ]
    for layer in ("skip", "post", "logits"):
        packed += [of(layer, "kernel"), of(layer, "bias")]
    if model.prediction_order and not model.n_mixtures:
        packed += [of("logits", "peak_kernel"), of("logits", "peak_bias")]
    else:
        packed += [np.zeros((model.post_channels, 2), np.float32), np.zeros(2, np.float32)]
    packed.append(np.array([2 ** (k % model.dilation_cycle) for k in range(model.n_layers)], np.int64))
    return tuple(np.ascontiguousarray(array) for array in packed)
