"""The host of models: what it finds, what it refuses to load, its limits, and what happens when its process dies."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from avsc_tf.errors import BundleError
from avsc_tf.service import models
from avsc_tf.service.codes import CallError, Code
from avsc_tf.service.model_limits import ModelLimits
from avsc_tf.service.model_process.folders import find_models
from avsc_tf.service.model_process.graph_rules import check_graph
from avsc_tf.service.model_process.loaded import LoadedModel, known_operations
from avsc_tf.service.models import ModelHost

ROOT = Path(__file__).resolve().parents[3]
HALF = b'{"inputs": [[1, 0, 0]]}'
SLOW = json.dumps({"signature_name": "slow", "inputs": 1 << 30}).encode()


def code_of(future: Future[bytes]) -> Code:
    with pytest.raises(CallError) as caught:
        future.result(60)
    return caught.value.code


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "saved_model.pb").touch()
    return folder


class TestFolders:
    def test_the_newest_version_of_each(self, tmp_path: Path) -> None:
        touch(tmp_path, "a/1", "a/10", "a/9", "b/2", "c/latest")
        (tmp_path / "b" / "3").mkdir()  # being copied: no graph yet
        (tmp_path / "notes.txt").touch()
        found = {model.name: list(model.versions) for model in find_models(tmp_path)}
        assert found == {"a": [10], "b": [2]}

    @pytest.mark.parametrize(
        ("policy", "expected"),
        [
            ("", [10]),
            ("model_version_policy { latest { num_versions: 2 } }", [9, 10]),
            ("model_version_policy { all {} }", [1, 9, 10]),
            ("model_version_policy { specific { versions: 9 versions: 1 } }", [1, 9]),
        ],
    )
    def test_policies_of_models_config(self, tmp_path: Path, policy: str, expected: list[int]) -> None:
        touch(tmp_path, "a/1", "a/10", "a/9", "b/2")
        config = f'model_config_list {{ config {{ name: "renamed" base_path: "/models/a" {policy} }} }}'
        (tmp_path / "models.config").write_text(config, encoding="utf-8")
        (found,) = find_models(tmp_path)
        assert (found.name, sorted(found.versions)) == ("renamed", expected)

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ("nonsense {", "not a ModelServerConfig"),
            ('model_config_list { config { name: "a" base_path: "gone" } }', "'gone' is none"),
            ('model_config_list { config { name: "" base_path: "a" } }', "needs a name"),
            (
                'model_config_list { config { name: "a" base_path: "a" '
                "model_version_policy { specific { versions: 7 } } } }",
                r"no version 7 in .*there are \[1\]",
            ),
            ("", "no model in it"),
        ],
    )
    def test_bad_configs(self, tmp_path: Path, config: str, message: str) -> None:
        touch(tmp_path, "a/1")
        (tmp_path / "models.config").write_text(config, encoding="utf-8")
        with pytest.raises(BundleError, match=message):
            find_models(tmp_path)

    def test_no_folder_and_an_empty_one(self, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match="no such folder"):
            find_models(tmp_path / "gone")
        with pytest.raises(BundleError, match="no model in it"):
            find_models(tmp_path)


FLOAT = tf.TensorSpec([None], tf.float32, name="x")


class Malicious:
    """Graphs that do more than compute; `target` is the file they are after."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.module = tf.Module()
        self.module.weight = self.weight = tf.Variable(2.0)

    def save(self, name: str, folder: Path) -> None:
        """A SavedModel with this one signature."""
        function = tf.function(getattr(self, name), input_signature=[FLOAT])
        tf.saved_model.save(self.module, str(folder), signatures=function)

    def reads(self, x):
        return {"stolen": tf.io.read_file(self.target), "y": self.weight * x}

    def writes(self, x):
        tf.io.write_file(self.target, "owned")
        return {"y": self.weight * x}

    def lists(self, x):
        return {"files": tf.io.matching_files("/*"), "y": x}

    def prints(self, x):
        tf.print(x, output_stream=f"file://{self.target}")
        return {"y": self.weight * x}

    def restores(self, x):
        return {
            "y": x
            * tf.raw_ops.RestoreV2(prefix=self.target, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])[
                0
            ]
        }

    def saves(self, x):
        tf.raw_ops.SaveV2(prefix=self.target, tensor_names=["a"], shape_and_slices=[""], tensors=[x])
        return {"y": x}

    def calls_python(self, x):
        return {"y": tf.reshape(tf.numpy_function(lambda v: v, [x], tf.float32), [-1])}

    def in_a_branch(self, x):
        """Two functions deep, where only some inputs lead."""
        secret = tf.cond(tf.size(x) > 3, lambda: tf.io.read_file(self.target), lambda: tf.constant(""))
        return {"secret": secret}

    def reads_records(self, x):
        return {"y": x, "n": tf.data.TextLineDataset(self.target).reduce(0, lambda n, _: n + 1)}


CASES = {
    "reads": "ReadFile is refused",
    "writes": "WriteFile is refused",
    "lists": "MatchingFiles is refused",
    "prints": "PrintV2 is refused",
    "restores": "RestoreV2 is refused",
    "saves": "SaveV2 is refused",
    "calls_python": "PyFunc calls Python code",
    "in_a_branch": "ReadFile is refused",
    "reads_records": "Dataset is refused",
}


class TestLoading:
    @pytest.mark.parametrize("case", CASES)
    def test_graphs_that_do_more_than_compute(self, tmp_path: Path, case: str) -> None:
        target = tmp_path / "target"
        Malicious(str(target)).save(case, tmp_path / "m")
        with pytest.raises(BundleError, match=CASES[case]):
            LoadedModel("m", 1, tmp_path / "m", ModelLimits())
        assert not target.exists()

    def edited(self, model_folder: Path) -> SavedModel:
        return SavedModel.FromString((model_folder / "linear" / "1" / "saved_model.pb").read_bytes())

    def test_an_initialiser_that_writes(self, model_folder: Path) -> None:
        """It would run while loading, before anybody asks for anything."""
        graph = self.edited(model_folder).meta_graphs[0]
        for name, text in (("path", b"/tmp/owned"), ("text", b"owned")):
            node = graph.graph_def.node.add(name=name, op="Const")
            node.attr["dtype"].type = 7
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(text))
        graph.graph_def.node.add(name="evil", op="WriteFile", input=["path", "text"])
        next(n for n in graph.graph_def.node if n.op == "NoOp").input.append("^evil")
        with pytest.raises(BundleError, match="node evil: WriteFile is refused"):
            check_graph(graph, known_operations())

    def test_a_restoring_of_another_file(self, model_folder: Path) -> None:
        graph = self.edited(model_folder).meta_graphs[0]
        check_graph(graph, known_operations())
        node = graph.graph_def.node.add(name="other", op="Const")
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto("/models/of/somebody/else"))
        restoring = next(n for n in graph.graph_def.node if n.name == graph.saver_def.restore_op_name)
        restoring.input[0] = "other"
        with pytest.raises(BundleError, match="RestoreV2 of a file other than"):
            check_graph(graph, known_operations())

    def test_an_operation_of_nobody(self, model_folder: Path) -> None:
        graph = self.edited(model_folder).meta_graphs[0]
        graph.graph_def.node.add(name="mine", op="MyOwnKernel")
        with pytest.raises(BundleError, match="MyOwnKernel is no operation of TensorFlow"):
            check_graph(graph, known_operations())

    def test_files_that_are_no_model(self, tmp_path: Path) -> None:
        folder = tmp_path / "m"
        folder.mkdir()
        with pytest.raises(BundleError, match=r"no saved_model\.pb"):
            LoadedModel("m", 1, folder, ModelLimits())
        (folder / "saved_model.pb").write_bytes(b"\xff" * 100)
        with pytest.raises(BundleError, match="not a SavedModel"):
            LoadedModel("m", 1, folder, ModelLimits())
        (folder / "saved_model.pb").write_bytes(b"")
        with pytest.raises(BundleError, match="no graph tagged 'serve'"):
            LoadedModel("m", 1, folder, ModelLimits())

    def test_sizes_and_missing_variables(self, model_folder: Path, tmp_path: Path) -> None:
        folder = tmp_path / "m"
        shutil.copytree(model_folder / "linear" / "1", folder)
        with pytest.raises(BundleError, match="at most 1000 are read"):
            LoadedModel("m", 1, folder, ModelLimits(graph_bytes=1000))
        with pytest.raises(BundleError, match=r"variables: .* at most 10 are read"):
            LoadedModel("m", 1, folder, ModelLimits(variables_bytes=10))
        shutil.rmtree(folder / "variables")
        with pytest.raises(BundleError, match="TensorFlow cannot load it"):
            LoadedModel("m", 1, folder, ModelLimits())

    @pytest.mark.slow
    def test_a_bad_model_beside_good_ones(self, model_folder: Path, tmp_path: Path) -> None:
        shutil.copytree(model_folder / "linear" / "1", tmp_path / "good" / "1")
        touch(tmp_path, "bad/1")
        with ModelHost(tmp_path) as host:
            assert host.states.of("good")[0].state == "AVAILABLE"
            (bad,) = host.states.of("bad")
            assert (bad.state, bad.error_code) == (
                "END",
                "FAILED_PRECONDITION",
            ) and "no graph tagged" in bad.error_message
            assert code_of(host.submit("json_predict", HALF, name="bad")) == Code.NOT_FOUND
            assert "tensorflow" not in host_modules()

    @pytest.mark.slow
    def test_only_bad_models(self, tmp_path: Path) -> None:
        touch(tmp_path, "bad/1")
        with pytest.raises(BundleError, match=r"bad/1/saved_model\.pb: no graph tagged 'serve'"):
            ModelHost(tmp_path).start()
        with pytest.raises(BundleError, match="no such folder"):
            ModelHost(tmp_path / "gone").start()


def host_modules() -> str:
    """What the part of the service that answers clients loads."""
    code = (
        "import sys, avsc_tf.service.models, avsc_tf.service.tensorflow_rest, avsc_tf.service.grpc_predict\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stdout


def test_the_process_knows_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AVSC_TF_TOKENS", "somebody secret")
    assert "AVSC_TF_TOKENS" in os.environ
    assert not [name for name in models._environment() if "TOKEN" in name or "KEY" in name]


class TestLimits:
    def test_a_full_queue(self, host: ModelHost) -> None:
        """As many as are computed and may wait; those past that fail at once, and the others are answered."""
        allowed = host.limits.concurrency + host.limits.queue
        futures = [host.submit("json_predict", SLOW, name="odd", seconds=1.5) for _ in range(allowed)]
        with pytest.raises(CallError, match="Too many calls wait") as caught:
            host.submit("json_predict", HALF, name="linear")
        assert caught.value.code == Code.UNAVAILABLE
        assert {code_of(future) for future in futures} == {Code.DEADLINE_EXCEEDED}
        assert host.submit("json_predict", HALF, name="linear").result(20)

    def test_a_body_that_is_too_large(self, host: ModelHost) -> None:
        with pytest.raises(CallError, match="more than 4194304 bytes"):
            host.submit("json_predict", bytes(5 << 20), name="linear")

    def test_elements_of_inputs(self, host: ModelHost) -> None:
        body = json.dumps({"signature_name": "int8", "inputs": [0] * 200_001}).encode()
        with pytest.raises(CallError, match="200001 elements in the inputs"):
            host.submit("json_predict", body, name="types").result(20)

    @pytest.mark.slow
    def test_memory(self, model_folder: Path) -> None:
        """More than the process may have: this call fails, the next one is answered by the same process."""
        limits = ModelLimits(memory_bytes=1 << 30, elements=1 << 40)
        with ModelHost(model_folder, limits) as host:
            before = host.process_id
            body = json.dumps({"signature_name": "large", "inputs": (1 << 31) - 1}).encode()  # 8 GiB
            assert code_of(host.submit("json_predict", body, name="odd")) == Code.RESOURCE_EXHAUSTED
            assert host.submit("json_predict", HALF, name="linear").result(20)
            assert host.process_id == before


def wait_until_ready(host: ModelHost) -> None:
    deadline = time.monotonic() + 60
    while not host.ready and time.monotonic() < deadline:
        time.sleep(0.05)
    assert host.ready


@pytest.mark.slow
class TestDeath:
    def test_a_killed_process_comes_back(self, model_folder: Path) -> None:
        with ModelHost(model_folder) as host:
            answer = host.submit("json_predict", HALF, name="linear").result(20)
            told: list[bool] = []
            host.watch(told.append)
            under_way = host.submit("json_predict", SLOW, name="odd")
            os.kill(host.process_id, signal.SIGKILL)
            assert code_of(under_way) == Code.UNAVAILABLE
            assert host.states.of("linear")[0].state == "START"
            with pytest.raises(CallError, match="being loaded"):
                host.submit("json_predict", HALF, name="linear")
            wait_until_ready(host)
            assert host.submit("json_predict", HALF, name="linear").result(20) == answer
            assert host.restarts == 1 and told == [True, False, True]
            assert host.calls_under_way == 0

    def test_a_stuck_process_is_ended(self, model_folder: Path) -> None:
        limits = dataclasses.replace(ModelLimits(), call_seconds=1.0, grace_seconds=1.0)
        with ModelHost(model_folder, limits) as host:
            os.kill(host.process_id, signal.SIGSTOP)  # as a computation that cannot be interrupted
            begun = time.monotonic()
            assert code_of(host.submit("json_predict", HALF, name="linear")) == Code.UNAVAILABLE
            assert time.monotonic() - begun < 6  # 2 s, and what a busy computer adds
            wait_until_ready(host)
            assert host.submit("json_predict", HALF, name="linear").result(20)

    def test_it_ends_with_the_service(self, model_folder: Path) -> None:
        code = (
            "import sys, time, pathlib\nfrom avsc_tf.service.models import ModelHost\n"
            f"host = ModelHost(pathlib.Path({str(model_folder)!r}))\nhost.start()\n"
            "print(host.process_id, flush=True)\ntime.sleep(60)"
        )
        service = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
        process = int(service.stdout.readline())
        service.kill()
        service.wait()
        service.stdout.close()
        deadline = time.monotonic() + 20
        while Path(f"/proc/{process}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not Path(f"/proc/{process}").exists()


@pytest.mark.slow
def test_memory_is_flat(host: ModelHost) -> None:
    """500 calls of a mel spectrogram after 100 that fill caches; both ways, and some that fail."""
    rows = np.linspace(-9, 1, 200 * 80, dtype=np.float32).reshape(1, 200, 80)
    good = json.dumps({"signature_name": "float32", "inputs": rows.tolist()}).encode()
    bad = good[:-2]

    def resident_bytes() -> int:
        return int(Path(f"/proc/{host.process_id}/statm").read_text(encoding="utf-8").split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )

    def calls(count: int) -> None:
        for number in range(count):
            future = host.submit("json_predict", bad if number % 10 == 9 else good, name="types")
            assert (future.exception(20) is None) == (number % 10 != 9)

    calls(100)
    before = resident_bytes()
    calls(500)
    grown = resident_bytes() - before
    # A leak of one answer a call (16,000 floats as text, 0.18 MB) would be 90 MB; the allocator wanders by less.
    assert grown < 30 << 20
