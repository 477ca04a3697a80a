"""Selection of the engine that generates samples: the CPU kernel or the TensorFlow graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.config import Config
from avsc_tf.vocoder.sampler_kernels.vectors import vectors_of_this_machine
from avsc_tf.vocoder.utterances import Floats, Utterance

Kind = Literal["cpu", "tensorflow"]

UTTERANCES_FOR_A_GPU = 16  # fewer finish sooner on the CPU: a step on the GPU takes as long for one as for many


class Engine(Protocol):
    """Generates the classes of utterances independently of each other. The CPU engine also streams."""

    def generate_batch(
        self, jobs: Sequence[Utterance], *, temperatures: Sequence[Floats], uniforms: Sequence[Floats]
    ) -> list[NDArray[np.int32]]: ...

    def logits(self, job: Utterance, classes: NDArray[np.int32]) -> Floats: ...


class Engines:
    """The engines of one network, each built at first use."""

    def __init__(self, model: Any, config: Config):
        self._model, self._config = model, config
        self._made: dict[Kind, Any] = {}

    def choose(self, n_utterances: int) -> Kind:
        """Engine by `wavenet.sampler`; "auto" takes TensorFlow for many utterances on a machine with a GPU."""
        setting = self._config.wavenet.sampler
        if setting != "auto":
            return setting
        return "tensorflow" if n_utterances >= UTTERANCES_FOR_A_GPU and _has_gpu() else "cpu"

    def get(self, kind: Kind) -> Any:
        if kind not in self._made:
            self._made[kind] = _make_tensorflow if kind == "tensorflow" else _make_cpu
            self._made[kind] = self._made[kind](self._model, self._config)
        return self._made[kind]


def _make_cpu(model: Any, config: Config) -> Engine:
    from avsc_tf.vocoder.sampler_kernels.engine import CpuEngine

    return CpuEngine(model, config, vectors_of_this_machine())


def _make_tensorflow(model: Any, config: Config) -> Engine:
    from avsc_tf.vocoder.sampler_tensorflow import TensorFlowEngine

    return TensorFlowEngine(model, config)


def _has_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
