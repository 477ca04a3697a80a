"""Which devices are chosen and refused, and that many of them train what one would."""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from avsc_tf.core.errors import ConfigError
from avsc_tf.core.runs import NETWORKS, history_path, weights_path
from avsc_tf.corpus.reader import Records
from avsc_tf.training.conversion.train import train_conversion
from avsc_tf.training.engine.devices import ONE_DEVICE, Devices, choose_devices

HERE = Path(__file__).parent
SETTINGS = runpy.run_path(str(HERE / "devices_worker.py"))["SETTINGS"]
pytestmark = pytest.mark.timeout(1800)  # on a busy machine TensorFlow traces these graphs for minutes
BY_PROCESSES = ("conversion", "wavenet")
THREE = Devices(SimpleNamespace(num_replicas_in_sync=3))  # no TensorFlow strategy is asked for more before it is built
TOLERANCE = 1e-6  # float32: sums over the batch in another order, through at most 12 steps of Adam
# Its gradient is zero but for rounding, whose sign Adam makes a step of: the bias before a batch norm, and with it the
# mean that takes it away again. No more than a rate a step, there and back.
CANCELLED_TOLERANCE = 2 * 6 * 5e-5


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[]",
        '{"cluster": {"worker": ["a:1", "b:1"]}}',
        '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": [1, 2]}, "task": {"type": "worker", "index": 0}}',
    ],
)
def test_a_wrong_tf_config_is_named(text):
    with pytest.raises(ConfigError, match=r"TF_CONFIG=.*must name the machines"):
        choose_devices(environment={"TF_CONFIG": text})


@pytest.mark.parametrize("text", ["", '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}'])
def test_one_process_with_one_device_needs_no_strategy(text):
    assert choose_devices(environment={"TF_CONFIG": text}) is ONE_DEVICE
    assert (ONE_DEVICE.n, ONE_DEVICE.n_processes, ONE_DEVICE.is_chief) == (1, 1, True)


@pytest.mark.parametrize(
    ("cluster", "task", "process", "own"),
    [
        ({"worker": ["a:1", "b:1"]}, ("worker", 1), 1, (2, 3)),
        ({"chief": ["c:1"], "worker": ["a:1"]}, ("chief", 0), 0, (0, 1)),
        ({"chief": ["c:1"], "worker": ["a:1"]}, ("worker", 0), 1, (2, 3)),
    ],
)
def test_processes_are_numbered_from_the_chief_and_read_their_own_parts(cluster, task, process, own):
    spec = SimpleNamespace(as_dict=lambda: cluster)
    resolver = SimpleNamespace(cluster_spec=lambda: spec, task_type=task[0], task_id=task[1])
    devices = Devices(SimpleNamespace(num_replicas_in_sync=4, cluster_resolver=resolver))
    assert (devices.n_processes, devices.process, devices.is_chief) == (2, process, process == 0)
    assert (devices.share.n, devices.share.own) == (4, own)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch_size": 4}, r"conversion\.batch_size 4: cannot be shared by 3 devices"),
        ({"batch_size": 6, "jit_compile": True}, r"--set conversion\.jit_compile=false"),
    ],
)
def test_what_many_devices_cannot_do_is_refused_before_anything_is_written(
    change, message, tiny_config, tiny_records, tmp_path
):
    config = replace(tiny_config, conversion=replace(tiny_config.conversion, **change))
    with pytest.raises(ConfigError, match=message):
        train_conversion(config, tiny_records, tmp_path, devices=THREE)
    assert not list(tmp_path.iterdir())


def start(arguments: Sequence[str], log: Path, *, cluster: Sequence[str] = (), index: int = 0) -> subprocess.Popen:
    """One process of a training; `cluster` are the addresses of all."""
    task = {"cluster": {"worker": list(cluster)}, "task": {"type": "worker", "index": index}}
    environment = {**os.environ, "TF_CONFIG": json.dumps(task) if cluster else "", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "devices_worker.py", *arguments]
    with log.open("w", encoding="utf-8") as file:
        return subprocess.Popen(command, cwd=HERE, env=environment, stdout=file, stderr=subprocess.STDOUT)


def two_processes(arguments: Sequence[Sequence[str]], folder: Path, *, seconds: float = 600) -> list[int]:
    """Run two processes on loopback, each with its own arguments; returns their exit codes."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    cluster = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    processes = [start(own, folder / f"process{k}.log", cluster=cluster, index=k) for k, own in enumerate(arguments)]
    try:
        return [process.wait(seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()


def weights_of(run: Path, network: str) -> dict[str, np.ndarray]:
    """Delivered ones, by their place in the file."""
    found: dict[str, np.ndarray] = {}

    def keep(name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = item[()]

    with h5py.File(weights_path(run, network)) as file:
        file.visititems(keep)
    return found


def assert_same_weights(run: Path, other: Path) -> None:
    """Of the conversion network."""
    wanted, given = (weights_of(folder, "conversion") for folder in (run, other))
    for name, value in wanted.items():
        np.testing.assert_array_equal(value, given[name], err_msg=name)


def tool_arguments(root: Path, records: Records, run: Path) -> list[str]:
    """The training of `devices_worker.py`'s conversion network, as tools/train.py is asked for it."""
    small = ["face.n_vgg=24", "image.size_px=32", *SETTINGS]
    return [
        *("conversion", "--config", str(root / "tests" / "end_to_end" / "tiny.yaml")),
        *("--records", str(records.folder), "--out", str(run)),
        *(word for setting in small for word in ("--set", setting)),
    ]


def is_cancelled(network: str, name: str) -> bool:
    """Biases and moving means of the image generator, whose convolutions stand right before their batch norms."""
    return network == "image" and name.endswith("/vars/2" if "batch_normalization" in name else "/vars/1")


@pytest.fixture(scope="module")
def runs(tiny_records, tmp_path_factory) -> dict[str, Path]:
    """Networks trained by one process, by two devices of one, and by two processes.

    Two processes trace every step twice. They leave out the image network, whose step differs from the others' by its
    two descents, not by who takes part.
    """
    folder = tmp_path_factory.mktemp("runs")
    for name, n_devices in (("one", 1), ("devices", 2)):
        arguments = ["networks", str(tiny_records.folder), str(folder / name), str(n_devices), *NETWORKS]
        log = folder / f"{name}.log"
        assert start(arguments, log).wait(600) == 0, log.read_text(encoding="utf-8")[-2000:]
    arguments = ["networks", str(tiny_records.folder), str(folder / "processes"), "1", *BY_PROCESSES]
    assert two_processes([arguments] * 2, folder) == [0, 0], (folder / "process0.log").read_text(encoding="utf-8")[
        -2000:
    ]
    return {name: folder / name for name in ("one", "devices", "processes")}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "network"), [*(("devices", name) for name in NETWORKS), *(("processes", name) for name in BY_PROCESSES)]
)
def test_many_devices_deliver_what_one_does(how, network, runs):
    wanted, given = weights_of(runs["one"], network), weights_of(runs[how], network)
    assert wanted.keys() == given.keys()
    largest = {True: 0.0, False: 0.0}
    for name, value in wanted.items():
        kind = is_cancelled(network, name)
        largest[kind] = max(largest[kind], float(np.abs(value - given[name]).max(initial=0)))
    print(f"{how}, {network}: largest difference {largest[False]:.1e}, of what cancels out {largest[True]:.1e}")
    assert largest[False] <= TOLERANCE
    assert largest[True] <= CANCELLED_TOLERANCE
    wanted, given = (
        np.genfromtxt(history_path(runs[name], network), delimiter=",", names=True) for name in ("one", how)
    )
    for name in set(wanted.dtype.names) - {"seconds"}:
        np.testing.assert_allclose(given[name], wanted[name], rtol=1e-4, atol=1e-5)  # figures of a batch: float32 sums


@pytest.mark.slow
def test_both_processes_return_the_same_network(runs):
    last = [(runs["one"].parent / f"process{k}.log").read_text(encoding="utf-8").splitlines() for k in range(2)]
    results = [[line.split()[1::3] for line in lines if line.startswith("trained ")] for lines in last]
    assert len(results[0]) == len(BY_PROCESSES) and results[0] == results[1]


@pytest.mark.slow
def test_killed_and_interrupted_processes_go_on_to_the_last_bit(runs, tiny_records, tmp_path, root):
    """One of two is killed, the other ends by itself; then one gets a Ctrl-C, and both stop after the same step."""
    tool = [*tool_arguments(root, tiny_records, tmp_path / "run"), "--resume"]

    def run(step: int, name: str) -> tuple[list[int], list[str]]:
        codes = two_processes([["tool", "0", name, *tool], ["tool", str(step), name, *tool]], tmp_path)
        return codes, [(tmp_path / f"process{k}.log").read_text(encoding="utf-8") for k in range(2)]

    codes, logs = run(3, "SIGKILL")
    assert codes == [2, -9], logs
    assert "error: process 0 of 2 lost the others" in logs[0] and "again with --resume" in logs[0]
    codes, logs = run(7, "SIGINT")
    assert codes == [130, 130], logs
    assert "stopped in epoch" in logs[0]
    assert not weights_path(tmp_path / "run", "conversion").exists()
    codes, logs = run(0, "SIGINT")
    assert codes == [0, 0], logs
    assert_same_weights(runs["processes"], tmp_path / "run")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Ray's own warnings
def test_a_killed_ray_worker_is_started_again(runs, tiny_records, tmp_path, root):
    """By Ray Train on two nodes of loopback; the result is that of the two processes, to the last bit."""
    pytest.importorskip("ray.train", reason="Ray Train (extra `ray`) is not installed", exc_type=ImportError)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    log = tmp_path / "tool.log"
    cluster.add_node(num_cpus=1)
    arguments = [*tool_arguments(root, tiny_records, tmp_path / "run"), "--ray", cluster.address, "--workers", "2"]
    tool = start(["tool", "0", "SIGINT", *arguments], log)
    try:
        killed = kill_a_worker(history_path(tmp_path / "run", "conversion"), tool)
        assert tool.wait(600) == 0, log.read_text(encoding="utf-8")[-3000:]
    finally:
        tool.kill()
        cluster.shutdown()
    assert killed
    assert_same_weights(runs["processes"], tmp_path / "run")


def kill_a_worker(history: Path, tool: subprocess.Popen, *, seconds: float = 300) -> bool:
    """Kill one of Ray's training processes once the first epoch is over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and tool.poll() is None:
        if history.is_file():
            for pid in descendants(os.getpid()):
                with suppress(OSError):
                    if b"RayTrainWorker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                        os.kill(pid, signal.SIGKILL)
                        return True
        time.sleep(0.02)
    return False


def descendants(pid: int) -> list[int]:
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (thread / "children").read_text(encoding="utf-8").split()):
                found += [child, *descendants(child)]
    return found
