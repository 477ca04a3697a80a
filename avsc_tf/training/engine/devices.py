"""What a training runs on: one device, several of this machine, or several machines (`TF_CONFIG`, or Ray Train).

Every process of a training does the same, in step. Only the first one, the chief, reads and writes the run folder; what
it decides there, and the state it goes on from, the others are told (`decide`, `share`).
"""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from avsc_tf.core import errors
from avsc_tf.core.config import TrainingConfig
from avsc_tf.core.errors import AvscError, ConfigError, DevicesLostError, TrainingError
from avsc_tf.datasets.batches import WHOLE, Share, named_read_errors
from avsc_tf.training.engine.rendezvous import meet

TF_CONFIG = "TF_CONFIG"
LOST = (  # what TensorFlow says where another process is gone
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
    tf.errors.FailedPreconditionError,
)
NOISE_STRIDE = 1_000_003  # between the seeds of two devices


@dataclass(frozen=True)
class Devices:
    """The devices of a training; without a strategy, the one that TensorFlow takes by itself.

    Args:
        strategy: a `MirroredStrategy` or `MultiWorkerMirroredStrategy`.
    """

    strategy: Any = None

    @property
    def n(self) -> int:
        """Of all machines together."""
        return 1 if self.strategy is None else self.strategy.num_replicas_in_sync

    @property
    def n_processes(self) -> int:
        return 1 if self._cluster is None else len(_tasks(self._cluster.cluster_spec().as_dict()))

    @property
    def process(self) -> int:
        """Number of this process; the chief is 0."""
        if self._cluster is None:
            return 0
        n_chiefs = len(self._cluster.cluster_spec().as_dict().get("chief", ()))
        return self._cluster.task_id + (n_chiefs if self._cluster.task_type == "worker" else 0)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes."""
        return self.process == 0

    @property
    def share(self) -> Share:
        """What this process reads of each batch."""
        if self.strategy is None:
            return WHOLE
        here = self.n // self.n_processes
        return Share(self.n, tuple(range(self.process * here, (self.process + 1) * here)))

    @property
    def _cluster(self) -> Any:
        resolver = getattr(self.strategy, "cluster_resolver", None)
        return resolver if resolver is not None and resolver.cluster_spec().as_dict() else None

    def check(self, settings: TrainingConfig, network: str) -> None:
        """Raises ConfigError where a training of these settings cannot run here."""
        if self.strategy is not None:
            check_settings(settings, network, n_devices=self.n)

    @contextmanager
    def building(self) -> Iterator[None]:
        """Networks and optimizers that are made within the block have a copy on every device, all equal."""
        with self.named_losses(), self.strategy.scope() if self.strategy is not None else nullcontext():
            yield

    def decide(self, decision: Callable[[], Any]) -> Any:
        """What `decision` returns on the chief, or the AvscError that it raises there, in every process.

        Args:
            decision: called by the chief alone; returns what JSON can hold.
        """
        if self.n_processes == 1:
            return decision()
        told: dict[str, Any] = {}
        if self.is_chief:
            try:
                with named_read_errors():
                    told["value"] = decision()
            except AvscError as error:
                told = {"error": type(error).__name__, "message": str(error)}
        content = np.frombuffer(json.dumps(told).encode(), np.uint8)
        length = int(self._from_chief(np.array(len(content))))
        told = json.loads(self._from_chief(np.resize(content, length)).tobytes())
        if "error" in told:
            raise getattr(errors, told["error"])(told["message"])
        return told["value"]

    def spread(self, variables: Iterable[Any]) -> None:
        """Give variables the chief's values in every process."""
        if self.n_processes == 1:
            return
        for variable in variables:
            variable.assign(self._from_chief(variable.numpy()))

    def part_noise(self, model: keras.Model) -> None:
        """Let dropout and noise layers draw other numbers on every device; the first one's stay what they are."""
        if self.strategy is None:
            return
        states = [v.value for v in model.variables if v.name == "seed_generator_state"]

        def part() -> None:
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in states:
                state.assign_add(tf.cast([NOISE_STRIDE * number, 0], state.dtype))

        tf.function(lambda: self.strategy.run(part))()

    @contextmanager
    def named_losses(self) -> Iterator[None]:
        """Within the block the loss of another process is a DevicesLostError."""
        try:
            yield
        except LOST as error:
            if self.n_processes == 1:
                raise
            raise DevicesLostError(
                f"process {self.process} of {self.n_processes} lost the others ({type(error).__name__}). One of them "
                "ended or cannot be reached: its own output says why. Start all of them again with --resume."
            ) from error

    def _from_chief(self, value: np.ndarray) -> np.ndarray:
        """The chief's array, to the bit: in pieces of 16 bits, which a sum of float32 carries exactly."""
        content = np.frombuffer(value.tobytes(), np.uint8)
        pieces = np.pad(content, (0, len(content) % 2)).view(np.uint16).astype(np.float32)

        with self.named_losses():
            told = _chiefs(self.strategy)(pieces).numpy()
        return np.frombuffer(told.astype(np.uint16).tobytes(), value.dtype, value.size).reshape(value.shape)


ONE_DEVICE = Devices()


def check_settings(settings: TrainingConfig, network: str, *, n_devices: int) -> None:
    """Raises ConfigError where `n_devices` cannot train `network` together."""
    try:
        Share(n_devices).size(settings.batch_size)
    except ConfigError as error:
        raise ConfigError(f"{network}.{error}") from error
    if settings.jit_compile and n_devices > 1:
        raise ConfigError(
            f"{network}.jit_compile: XLA compiles a step of one device, not one that {n_devices} devices take "
            f"together. Add --set {network}.jit_compile=false."
        )


@functools.cache
def _chiefs(strategy: Any) -> Any:
    """A function that gives every process the vector that the chief calls it with; all are of the same length."""

    def own_or_zero(vector: Any) -> Any:
        is_first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
        return tf.where(is_first, vector, tf.zeros_like(vector))

    def total(vector: Any) -> Any:
        return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(own_or_zero, args=(vector,)), axis=None)

    return tf.function(total, input_signature=[tf.TensorSpec([None], tf.float32)])


def choose_devices(n: int = 1, *, environment: Mapping[str, str] = os.environ) -> Devices:
    """The devices to train on. Call it before anything else that makes TensorFlow look for its devices.

    Args:
        n: devices of each machine: GPUs; on a machine without any, equal parts of its CPU, to try a training out.
        environment: names the machines in `TF_CONFIG`, in TensorFlow's form.

    Raises:
        ConfigError: fewer GPUs than `n`; `TF_CONFIG` cannot be read.
        TrainingError: the other machines do not answer.
    """
    cluster = _read_cluster(environment)
    gpus = tf.config.list_physical_devices("GPU")
    if gpus and n > len(gpus):
        raise ConfigError(f"--devices {n}: this machine has {len(gpus)} GPUs.")
    if gpus and (cluster or n > 1):
        tf.config.set_visible_devices(gpus[:n], "GPU")
    if cluster:
        if n > 1 and not gpus:
            raise ConfigError(f"--devices {n}: there is no GPU here; several machines without take one device each.")
        return _several_machines(cluster)
    if n == 1:
        return ONE_DEVICE
    if not gpus:
        print(f"no GPU found: {n} parts of the CPU, which are no faster than the whole")
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * n)
    os.environ.pop(TF_CONFIG, None)  # names this process alone, or is empty, and MirroredStrategy would read it
    kind = "GPU" if gpus else "CPU"
    return Devices(tf.distribute.MirroredStrategy([f"{kind}:{k}" for k in range(n)]))


def _several_machines(cluster: Mapping[str, Any]) -> Devices:
    tasks, task = _tasks(cluster["cluster"]), cluster["task"]
    n_chiefs = len(cluster["cluster"].get("chief", ()))
    number = int(task["index"]) + (n_chiefs if task["type"] == "worker" else 0)
    print(f"process {number} of {len(tasks)}: waiting for the others ({', '.join(tasks)})", flush=True)
    meet(tasks, number)
    try:
        return Devices(tf.distribute.MultiWorkerMirroredStrategy())
    except (tf.errors.OpError, RuntimeError) as error:
        raise TrainingError(
            f"{TF_CONFIG}: the machines {', '.join(tasks)} do not come together ({str(error).splitlines()[0][:200]}). "
            "See that each can be reached by all others at its port."
        ) from error


def _read_cluster(environment: Mapping[str, str]) -> Mapping[str, Any] | None:
    """`TF_CONFIG` where it names more than one process."""
    text = environment.get(TF_CONFIG, "")
    if not text.strip():
        return None
    try:
        read = json.loads(text)
        tasks, task = read["cluster"], read["task"]
        tasks[task["type"]][int(task["index"])]
        places = [place.rpartition(":")[2].isdigit() for place in _tasks(tasks)]
        known = set(tasks) <= {"chief", "worker"} and all(places)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        known = False
    if not known:
        raise ConfigError(
            f"{TF_CONFIG}={text}: must name the machines and which of them this is, as in "
            '{"cluster": {"worker": ["a:12345", "b:12345"]}, "task": {"type": "worker", "index": 0}}.'
        )
    return read if len(_tasks(tasks)) > 1 else None


def _tasks(cluster: Mapping[str, list[str]]) -> list[str]:
    """Their addresses, the chief's first."""
    return [*cluster.get("chief", ()), *cluster.get("worker", ())]
