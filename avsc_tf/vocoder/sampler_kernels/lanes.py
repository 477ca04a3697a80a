"""The lanes of one thread: an utterance in each, refilled when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from avsc_tf.signal.companding import silence_class
from avsc_tf.vocoder.sampler_kernels.layout import Block, Floats, Memory, Sizes, Weights, aligned_zeros
from avsc_tf.vocoder.utterances import Utterance

BLOCK_FRAMES = 32  # given to the kernel in one call


@dataclass
class Speech:
    """An utterance on its way."""

    job: Utterance
    temperature: Floats  # [frames]
    uniform: Floats  # [samples]
    classes: NDArray[np.int32]  # [samples], filled in
    done_frames: int = 0
    forced: bool = False  # classes are given
    logits: Floats | None = field(default=None)  # [samples, n_classes], filled in

    @property
    def frames_left(self) -> int:
        return len(self.temperature) - self.done_frames


class Lanes:
    """Up to `sizes.n_lanes` utterances that are spoken in step."""

    def __init__(self, sizes: Sizes, weights: Weights, width: int):
        self._sizes, self._weights = sizes, weights
        self._ways = (np.float32(0.0),) * width
        self._memory = _new_memory(sizes, weights)
        self._speeches: list[Speech] = []

    def speak_all(self, following: Callable[[], Speech | None]) -> None:
        """Speak what `following` hands out, until it has no more."""
        while True:
            while len(self._speeches) < self._sizes.n_lanes and (speech := following()) is not None:
                self.add(speech)
            if not self._speeches:
                return
            self.advance()

    def add(self, speech: Speech) -> None:
        """Into a free lane."""
        self._forget(len(self._speeches))
        self._speeches.append(speech)

    def advance(self, most_frames: int = BLOCK_FRAMES) -> None:
        """All lanes by as many frames as each has left, at most `most_frames`; then those that ended are freed."""
        from avsc_tf.vocoder.sampler_kernels.network import run

        n_frames = min(most_frames, *(speech.frames_left for speech in self._speeches))
        block = self._block(n_frames)
        forced = self._speeches[0].forced
        run(self._ways, self._sizes, self._weights, self._memory, block, len(self._speeches), n_frames, forced)
        for lane, speech in enumerate(self._speeches):
            self._take(speech, block, lane, n_frames)
        for lane in reversed(range(len(self._speeches))):
            if not self._speeches[lane].frames_left:
                self._free(lane)

    def _block(self, n_frames: int) -> Block:
        sizes, n_lanes = self._sizes, len(self._speeches)
        hop, n_samples = sizes.hop_samples, n_frames * sizes.hop_samples
        has_logits = self._speeches[0].logits is not None
        block = Block(
            condition=np.zeros((n_lanes, n_frames, sizes.n_layers, 2 * sizes.channels), np.float32),
            lag=np.zeros((n_lanes, n_samples), np.int32),
            coefficients=np.zeros((n_lanes, n_frames, sizes.order), np.float32),
            temperature=np.zeros((n_lanes, n_frames), np.float32),
            uniform=np.zeros((n_lanes, n_samples), np.float32),
            classes=np.zeros((n_lanes, n_samples), np.int32),
            logits=np.zeros((n_lanes, n_samples, sizes.n_classes) if has_logits else (0, 0, 0), np.float32),
        )
        for lane, speech in enumerate(self._speeches):
            frames = slice(speech.done_frames, speech.done_frames + n_frames)
            samples = slice(frames.start * hop, frames.stop * hop)
            job, width = speech.job, speech.job.condition.shape[-1] // 2
            halves = block.condition[lane].reshape(n_frames, sizes.n_layers, 2, sizes.channels)
            halves[..., :width] = job.condition[frames].reshape(n_frames, sizes.n_layers, 2, width)
            if sizes.has_lag:
                block.lag[lane] = job.lag[samples]
            if sizes.order:
                block.coefficients[lane] = job.coefficients[frames]
            block.temperature[lane] = speech.temperature[frames]
            block.uniform[lane] = speech.uniform[samples]
            block.classes[lane] = speech.classes[samples]
        return block

    def _take(self, speech: Speech, block: Block, lane: int, n_frames: int) -> None:
        hop = self._sizes.hop_samples
        samples = slice(speech.done_frames * hop, (speech.done_frames + n_frames) * hop)
        speech.classes[samples] = block.classes[lane]
        if speech.logits is not None:
            speech.logits[samples] = block.logits[lane]
        speech.done_frames += n_frames

    def _forget(self, lane: int) -> None:
        """A lane as before its first sample."""
        memory, silence = self._memory, silence_class(self._sizes.n_classes)
        memory.rings[:, lane] = 0.0
        memory.past_companded[lane] = self._weights.companded[silence]
        memory.past_expanded[lane] = self._weights.expanded[silence]
        for array in (memory.past_signal, memory.past_residual, memory.predicted, memory.ages):
            array[lane] = 0

    def _free(self, lane: int) -> None:
        """The last lane moves into the place of one that ended."""
        last = len(self._speeches) - 1
        if lane != last:
            memory = self._memory
            memory.rings[:, lane] = memory.rings[:, last]
            for array in (
                memory.past_companded,
                memory.past_expanded,
                memory.past_signal,
                memory.past_residual,
                memory.predicted,
                memory.ages,
            ):
                array[lane] = array[last]
            self._speeches[lane] = self._speeches[last]
        self._speeches.pop()


def _new_memory(sizes: Sizes, weights: Weights) -> Memory:
    n, channels = sizes.n_lanes, sizes.channels
    wide = sizes.features + (5 + sizes.n_layers) * channels + sizes.skip + sizes.post + sizes.raw
    n_floats = n * wide + sizes.n_classes
    halved = 2 if weights.words.dtype == np.uint32 else 1  # bfloat16 inputs
    ring = aligned_zeros(int(weights.dilations.sum()) * n * channels // halved, np.float32)
    past = {
        name: aligned_zeros(n * (sizes.history + 1), np.float32).reshape(n, -1)
        for name in ("past_companded", "past_expanded", "past_signal", "past_residual")
    }
    return Memory(
        floats=aligned_zeros(n_floats, np.float32),
        pairs=aligned_zeros(n_floats // 2 + 1, np.int32),
        sums=np.zeros(sizes.n_classes // 64 + 1, np.float32),
        rings=ring.reshape(-1, n, channels // halved),
        predicted=np.zeros((n, 2), np.float32),
        clock=np.zeros(1, np.int64),
        ages=np.zeros(n, np.int64),
        **past,
    )
