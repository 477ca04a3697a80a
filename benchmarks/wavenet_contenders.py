"""Who speaks in wavenet.py: this package's engines and their peers, on one network with random weights."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from wavenet_pytorch import PyTorchEngine, speaks

from avsc_tf.core.config import Config
from avsc_tf.vocoder.engines import Engines
from avsc_tf.vocoder.sampler_kernels.engine import CpuEngine
from avsc_tf.vocoder.sampler_kernels.vectors import GENERIC
from avsc_tf.vocoder.sampler_tensorflow import TensorFlowEngine, weights_of
from avsc_tf.vocoder.utterances import Utterance, UtteranceMaker

MAX_FRAMES = 256  # of a segment
FIRST_FRAMES = 4  # spoken to compile, and to see how fast
LARGEST_DIFFERENCE = 1e-3  # of float32 logits between engines
CHECKED_FRAMES = 2


class Engine(Protocol):
    """What every engine offers."""

    def generate_batch(self, jobs: Sequence[Utterance], *, temperatures: Any, uniforms: Any) -> list[np.ndarray]: ...

    def logits(self, job: Utterance, classes: np.ndarray) -> np.ndarray: ...


def cpu_engine(model: Any, config: Config, *, weights: str) -> Engine:
    """The package's engine for this CPU, with weights of type `weights`."""
    net = dataclasses.replace(config.wavenet, sampler_weights=weights)
    return Engines(model, dataclasses.replace(config, wavenet=net)).get("cpu")


def narrow_engine(model: Any, config: Config) -> Engine:
    """The kernel in vectors of four numbers, which every processor runs; the reference of the others."""
    return CpuEngine(model, config, GENERIC)


@dataclass(frozen=True)
class Contender:
    """An engine and what it is asked to do."""

    name: str
    family: str  # "ours", "narrow", "xla" or "pytorch"
    engine: Engine
    weights: str = "float32"
    batch: int = 1  # streams of a thread
    n_threads: int = 1
    on_cpu: bool = True
    options: dict[str, int] = dataclasses.field(default_factory=dict)  # of `generate_batch`

    @property
    def n_streams(self) -> int:
        return self.batch * self.n_threads


class Stage:
    """Utterances of random features, and how long a contender's turn is."""

    def __init__(self, model: Any, config: Config, *, seconds: float):
        rng = np.random.default_rng(1)
        mel = rng.normal(size=(MAX_FRAMES, config.acoustic.n_mels)).astype(np.float32)
        self.hop_samples, self.n_classes = int(model.hop_samples), config.wavenet.n_classes
        self.job = UtteranceMaker(model, config)(mel, None)
        self._uniform = rng.random(MAX_FRAMES * self.hop_samples, dtype=np.float32)
        self._seconds = seconds
        self._n_frames: dict[str, int] = {}

    def utterance(self, n_frames: int) -> Utterance:
        """The first frames."""
        n_samples, job = n_frames * self.hop_samples, self.job
        return Utterance(
            job.condition[:n_frames],
            job.lag[:n_samples],
            job.voiced[:n_frames],
            job.coefficients[:n_frames],
            job.log_mel[:n_frames],
        )

    def turn(self, contender: Contender) -> float:
        """Samples a second of all streams together. The first turn is a short one, and sets the length of the rest."""
        n_frames = self._n_frames.get(contender.name, 0)
        if not n_frames:
            self._speak(contender, FIRST_FRAMES)  # compiles
            rate = self._speak(contender, FIRST_FRAMES) / contender.n_streams
            n_frames = min(MAX_FRAMES, math.ceil(self._seconds * rate / self.hop_samples))
            self._n_frames[contender.name] = n_frames
        return self._speak(contender, n_frames)

    def _speak(self, contender: Contender, n_frames: int) -> float:
        job, n_samples = self.utterance(n_frames), n_frames * self.hop_samples
        heat = np.ones(n_frames, np.float32)
        uniforms = [np.roll(self._uniform, 77 * k)[:n_samples].copy() for k in range(contender.n_streams)]
        jobs, temperatures = [job] * contender.n_streams, [heat] * contender.n_streams
        started = time.perf_counter()
        contender.engine.generate_batch(jobs, temperatures=temperatures, uniforms=uniforms, **contender.options)
        return contender.n_streams * n_samples / (time.perf_counter() - started)

    def difference(self, engine: Engine, reference: Engine) -> float:
        """Largest difference of teacher-forced logits."""
        job, n_samples = self.utterance(CHECKED_FRAMES), CHECKED_FRAMES * self.hop_samples
        classes = np.random.default_rng(2).integers(0, self.n_classes, n_samples).astype(np.int32)
        return float(np.abs(engine.logits(job, classes) - reference.logits(job, classes)).max())


def contenders(
    model: Any, config: Config, *, without: Sequence[str], n_threads: int, xla_batches: Sequence[int], device: str
) -> list[Contender]:
    """All that can speak this network."""
    found = _ours(model, config, n_threads)
    if "narrow" not in without:
        found.append(Contender("4-wide vectors", "narrow", narrow_engine(model, config), options={"n_threads": 1}))
    if "xla" not in without:
        engine, on_cpu = TensorFlowEngine(model, config, device=device), "CPU" in device.upper()
        place = "" if on_cpu else f" on {device}"
        for batch in xla_batches:
            name = f"TensorFlow XLA{place}" + (f", batch {batch}" if batch > 1 else "")
            found.append(Contender(name, "xla", engine, batch=batch, on_cpu=on_cpu))
    if "pytorch" not in without:
        if speaks(config.wavenet):
            engine = PyTorchEngine(weights_of(model), config.wavenet, hop_samples=int(model.hop_samples))
            found.append(Contender("PyTorch", "pytorch", engine))
        else:
            print(
                "PyTorch is left out: its loop knows the paper's form alone (no pitch, prediction, mixtures, linear)."
            )
    return found


def _ours(model: Any, config: Config, n_threads: int) -> list[Contender]:
    found = []
    engines = {weights: cpu_engine(model, config, weights=weights) for weights in ("float32", "bfloat16")}
    for threads, batch in dict.fromkeys(((1, 1), (1, 4), (n_threads, 4))):  # on one core two of them are the same
        for weights, engine in engines.items():
            found.append(
                Contender(
                    our_name(weights, batch, threads),
                    "ours",
                    engine,
                    weights=weights,
                    batch=batch,
                    n_threads=threads,
                    options={"n_threads": threads, "lanes": batch},
                )
            )
    return found


def our_name(weights: str, batch: int, n_threads: int) -> str:
    how = f", batch {batch}" if n_threads == 1 else f", {n_threads} threads x batch {batch}"
    return f"CPU {weights}" + ("" if batch == n_threads == 1 else how)


def check(found: Sequence[Contender], stage: Stage, reference: Engine) -> dict[str, float]:
    """Largest differences of logits from the reference's. Raises RuntimeError where float32 is not the same network."""
    differences = {}
    for contender in found:
        if contender.n_streams == 1 and contender.name not in differences:
            differences[contender.name] = stage.difference(contender.engine, reference)
            if contender.weights == "float32" and differences[contender.name] > LARGEST_DIFFERENCE:
                raise RuntimeError(f"{contender.name}: differs from 4-wide vectors by {differences[contender.name]}")
    return differences
