"""A training on a Ray cluster, by Ray Train (extra `ray`): it starts the processes, and again where one dies.

Every machine must have this version of avsc_tf, and see the records and the run folder under the same path. See
docs/scale-out.md.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from typing import Any

from avsc_tf.core import errors
from avsc_tf.core.errors import AvscError, DevicesLostError, TrainingError
from avsc_tf.core.runs import history_path
from avsc_tf.corpus.ray_cluster import connected
from avsc_tf.training.job import TrainingJob

MAX_RESTARTS = 3  # of one training; each goes on from the last checkpoint


class Verdict:
    """An actor of the cluster: why the training cannot go on, so that it is not started again in vain."""

    def __init__(self) -> None:
        self.reason: tuple[str, str] | None = None

    def give_up(self, kind: str, message: str) -> None:
        self.reason = self.reason or (kind, message)

    def why(self) -> tuple[str, str] | None:
        return self.reason


def train_on_ray(job: TrainingJob, *, address: str, n_workers: int) -> None:
    """Do `job` in `n_workers` processes of a cluster; a worker that dies costs the steps since the last checkpoint.

    Args:
        address: of a running cluster ("auto", "HOST:PORT"), or "local" to start one here.

    Raises:
        RecordError: no cluster answers. ConsentError: none of the target. TrainingError: no Ray Train; workers died
            more than `MAX_RESTARTS` times. AvscError: what a worker says.
    """
    places = {name: place.absolute() for name in ("run", "records", "consent") if (place := getattr(job, name))}
    job = dataclasses.replace(job, **places)
    print(f"{job.network}: {n_workers} workers of the cluster; follow {history_path(job.run, job.network)}", flush=True)
    with connected(address) as ray:
        verdict = ray.remote(num_cpus=0)(Verdict).remote()
        _check(job, n_workers)
        # Whether an unfinished training may go on is decided; a restarted one must.
        _fit(dataclasses.replace(job, resume=True), n_workers, verdict, gpus=ray.cluster_resources().get("GPU", 0))
        reason = ray.get(verdict.why.remote())
    if reason:
        kind, message = reason
        raise getattr(errors, kind)(message)


def _check(job: TrainingJob, n_workers: int) -> None:
    """What the workers would find as well, but not until they have started."""
    from avsc_tf.training.engine.devices import check_settings
    from avsc_tf.training.engine.run_folder import claim_folder, own_run

    job.check_consent()
    check_settings(getattr(job.config, job.network), job.network, n_devices=n_workers * job.n_devices)
    with own_run(job.run, job.network):
        claim_folder(job.run, job.network, job.config, resume=job.resume)


def _fit(job: TrainingJob, n_workers: int, verdict: Any, *, gpus: float) -> None:
    try:
        from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
        from ray.train.tensorflow import TensorflowTrainer
    except ImportError as error:
        raise TrainingError("--ray needs Ray Train: pip install 'avsc_tf[ray]' on every machine.") from error
    on_gpus = gpus >= n_workers * job.n_devices
    scaling = ScalingConfig(
        num_workers=n_workers,
        use_gpu=on_gpus,
        resources_per_worker={"CPU": 1, **({"GPU": job.n_devices} if on_gpus else {})},
        placement_strategy="SPREAD",
    )
    with tempfile.TemporaryDirectory() as scratch:  # for Ray's own notes; our checkpoints lie in the run folder
        run_config = RunConfig(storage_path=scratch, failure_config=FailureConfig(max_failures=MAX_RESTARTS))
        settings = {"job": job, "verdict": verdict}
        trainer = TensorflowTrainer(_work, train_loop_config=settings, scaling_config=scaling, run_config=run_config)
        try:
            trainer.fit()
        except SystemExit as end:  # what Ray makes of Ctrl-C, once its workers are gone
            raise KeyboardInterrupt from end
        except TrainingFailedError as error:
            last = str(error).strip().splitlines()[-1]
            raise TrainingError(f"--ray: the training failed {MAX_RESTARTS + 1} times; at last: {last}") from error


def _work(settings: dict[str, Any]) -> None:
    """Runs in a worker, which Ray gave its `TF_CONFIG`; ends at once where there is a verdict."""
    import ray

    verdict = settings["verdict"]
    if ray.get(verdict.why.remote()):
        return
    os.environ.pop("TF_USE_LEGACY_KERAS", None)  # Ray sets it for Keras 2
    try:
        settings["job"].do()
    except DevicesLostError:
        raise
    except AvscError as error:
        ray.get(verdict.give_up.remote(type(error).__name__, str(error)))
        raise  # so that Ray ends the workers that wait for this one
