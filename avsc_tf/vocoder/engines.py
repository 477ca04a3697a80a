"""Who makes the samples: the one place that chooses between the CPU's vectors, plain loops and TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from avsc_tf.core.config import Config
from avsc_tf.vocoder.sampler_kernels.vectors import vectors_of_this_machine
from avsc_tf.vocoder.utterances import Floats, Utterance

Kind = Literal["cpu", "tensorflow"]

UTTERANCES_FOR_A_GPU = 16  # fewer are done sooner on the CPU: a GPU's step takes as long for one as for many


class Engine(Protocol):
    """Makes classes from utterances; none changes another's. The CPU's engines stream, too."""

    def generate_batch(
        self, jobs: Sequence[Utterance], *, temperatures: Sequence[Floats], uniforms: Sequence[Floats]
    ) -> list[NDArray[np.int32]]: ...

    def logits(self, job: Utterance, classes: NDArray[np.int32]) -> Floats: ...


class Engines:
    """The engines of one network, each made when it is first wanted."""

    def __init__(self, model: Any, config: Config):
        self._model, self._config = model, config
        self._made: dict[Kind, Any] = {}

    def choose(self, n_utterances: int) -> Kind:
        """By wavenet.sampler; automatically TensorFlow for many utterances on a machine with a GPU."""
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
    vectors = vectors_of_this_machine()
    if vectors.width:
        from avsc_tf.vocoder.sampler_kernels.engine import CpuEngine

        return CpuEngine(model, config, vectors)
    from avsc_tf.vocoder.sampler_plain import PlainEngine

    return PlainEngine(model, config)


def _make_tensorflow(model: Any, config: Config) -> Engine:
    from avsc_tf.vocoder.sampler_tensorflow import TensorFlowEngine

    return TensorFlowEngine(model, config)


def _has_gpu() -> bool:
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
