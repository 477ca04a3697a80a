"""The CPU's engine: threads with lanes."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.config import Config
from avsc_tf.vocoder.sampler_kernels.lanes import Lanes, Speech
from avsc_tf.vocoder.sampler_kernels.layout import Floats, Sizes, Weights
from avsc_tf.vocoder.sampler_kernels.packing import sizes_of, weights_of
from avsc_tf.vocoder.sampler_kernels.vectors import Vectors
from avsc_tf.vocoder.utterances import Utterance

MOST_LANES = 8  # more gain nothing: with 4, each weight is used often enough once it is in a register


class CpuEngine:
    """A network's weights, packed once for the vectors of this machine.

    Args:
        model: a built `models.wavenet.WaveNet`.
        config: the settings it was built from.
        vectors: the kernel's variant.
    """

    def __init__(self, model: Any, config: Config, vectors: Vectors):
        self.vectors = vectors
        self.net = config.wavenet
        self.hop_samples: int = model.hop_samples
        self._sizes: Sizes = sizes_of(model, sample_rate_hz=config.wavenet.sample_rate_hz, n_lanes=1)
        bfloat16 = config.wavenet.sampler_weights == "bfloat16"
        self.weights: Weights = weights_of(model, self._sizes, vectors, bfloat16=bfloat16)

    def lanes(self, n_lanes: int = 1) -> Lanes:
        """Empty lanes with memory of their own, for one thread."""
        return Lanes(self._sizes._replace(n_lanes=n_lanes), self.weights, self.vectors.width)

    def generate_batch(
        self,
        jobs: Sequence[Utterance],
        *,
        temperatures: Sequence[Floats],
        uniforms: Sequence[Floats],
        n_threads: int | None = None,
        lanes: int | None = None,
    ) -> list[NDArray[np.int32]]:
        """Classes [samples] of each utterance; the others, threads and lanes do not change a single one.

        Args:
            temperatures: [frames] each; 0 takes the likeliest class.
            uniforms: [samples] each, in [0, 1).
            n_threads: as many as there are cores for this process by default.
            lanes: utterances spoken in step by a thread; by default what the utterances fill, at most `MOST_LANES`.
        """
        if not jobs:
            return []
        speeches = [
            Speech(job, heat, uniform, np.zeros(len(uniform), np.int32))
            for job, heat, uniform in zip(jobs, temperatures, uniforms, strict=True)
        ]
        n_threads = max(1, min(n_threads or joblib.cpu_count(), len(jobs)))
        n_lanes = lanes or min(MOST_LANES, -(-len(jobs) // n_threads))
        queue = _LongestFirst(speeches)
        if n_threads == 1:
            self.lanes(n_lanes).speak_all(queue)
        else:
            with ThreadPoolExecutor(n_threads) as pool:
                workers = [pool.submit(self.lanes(n_lanes).speak_all, queue) for _ in range(n_threads)]
            for worker in workers:
                worker.result()
        return [speech.classes for speech in speeches]

    def stream(
        self, job: Utterance, *, temperature: Floats, uniform: Floats, chunk_frames: int
    ) -> Iterator[NDArray[np.int32]]:
        """The classes of one utterance while they are made, [chunk_frames * hop_samples] at a time, the rest last."""
        speech = Speech(job, temperature, uniform, np.zeros(len(uniform), np.int32))
        lanes, hop = self.lanes(), self.hop_samples
        if speech.frames_left:
            lanes.add(speech)
        while speech.frames_left:
            before = speech.done_frames
            lanes.advance(chunk_frames)
            yield speech.classes[before * hop : speech.done_frames * hop]

    def logits(self, job: Utterance, classes: NDArray[np.int32]) -> Floats:
        """Teacher-forced: [samples, n_classes], each sample's prediction from those before it."""
        out = np.zeros((len(classes), self._sizes.n_classes), np.float32)
        heat, uniform = np.ones(len(job.condition), np.float32), np.zeros(len(classes), np.float32)
        speech = Speech(job, heat, uniform, classes.astype(np.int32), forced=True, logits=out)
        lanes = self.lanes()
        lanes.add(speech)
        while speech.frames_left:
            lanes.advance()
        return out


class _LongestFirst:
    """Hands speeches to threads, the longest first, so that all end at about the same time."""

    def __init__(self, speeches: Sequence[Speech]):
        self._waiting = deque(sorted(speeches, key=lambda speech: -speech.frames_left))
        self._lock = threading.Lock()

    def __call__(self) -> Speech | None:
        with self._lock:
            return self._waiting.popleft() if self._waiting else None
