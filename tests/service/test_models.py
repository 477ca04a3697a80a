"""Exported models over HTTP: answers, refusals, limits, and what happens when their process ends or is stuck."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from avsc_tf.core.errors import BundleError
from avsc_tf.service.model_check import check_graph
from avsc_tf.service.models import ModelHost
from avsc_tf.service.settings import ModelSettings

SETTINGS = ModelSettings(queue=2, elements=1000, call_seconds=3.0, memory_bytes=2 << 30)
ONE = {"inputs": [[1, 0, 0]]}
SLOW = {"signature_name": "slow", "inputs": 1 << 30}


@pytest.fixture(scope="module")
def host(model_folder: Path) -> Iterator[ModelHost]:
    os.environ["AVSC_TF_TOKENS"] = "somebody sha256:secret"
    with ModelHost(model_folder, SETTINGS, hidden_variables=["AVSC_TF_TOKENS"]) as host:
        del os.environ["AVSC_TF_TOKENS"]  # it would ask the clients of the service for one
        yield host


@pytest.fixture(scope="module")
def client(
    host: ModelHost, run_service: Any, make_settings: Any, tiny_bundle: Path, tmp_path_factory: Any
) -> Iterator[Any]:
    """The service with these models; it converts nothing."""
    settings = make_settings("upload.max_other_bytes=100000")
    data = tmp_path_factory.mktemp("models_service") / "data"
    with run_service(settings, tiny_bundle, data, starts=False, models=host) as (client, _):
        yield client


@pytest.fixture(scope="module")
def ask(client: Any) -> Callable[..., tuple[int, Any]]:
    """`ask(model, request)`: status and JSON of the answer; a text is sent as it is."""

    def ask(model: str, request: Any) -> tuple[int, Any]:
        body = request if isinstance(request, str) else json.dumps(request)
        answer = client.send("POST", f"/v1/models/{model}:predict", body.encode())
        return answer.status, answer.json()

    return ask


ROWS = [[3.0, 1.5], [0.0, 0.0]]
EMPTY = [[], []]
ANSWERS: dict[str, tuple[str, Any, Any]] = {
    "the newest version": ("linear", {"instances": [[1, 0, 0]]}, {"predictions": [[3.0, 1.5]]}),
    "a version": ("linear/versions/1", {"instances": [[1, 0, 0]]}, {"predictions": [[1.0, 0.5]]}),
    "rows by name": ("linear", {"instances": [{"x": [1, 0, 0]}, {"x": [0, 0, 0]}]}, {"predictions": ROWS}),
    "rows of two": (
        "linear",
        {"signature_name": "two", "instances": [{"a": [1, 2, 3], "b": 4}, {"a": [0, 0, 0], "b": -1}]},
        {"predictions": [{"total": 10.0, "twice": 8}, {"total": -1.0, "twice": -2}]},
    ),
    "columns": ("linear", {"inputs": [[1, 0, 0]]}, {"outputs": [[3.0, 1.5]]}),
    "columns by name": ("linear", {"inputs": {"x": [[1, 0, 0]]}}, {"outputs": [[3.0, 1.5]]}),
    "columns of two": (
        "linear",
        {"signature_name": "two", "inputs": {"a": [[1, 2, 3]], "b": [4]}},
        {"outputs": {"total": [10.0], "twice": [8]}},
    ),
    "a scalar": ("odd", {"signature_name": "mean", "inputs": [1, 2]}, {"outputs": 1.5}),
    "bytes and bools": (
        "odd",
        {"signature_name": "pixels", "inputs": [[[0, 7, 8, 255]]]},
        {"outputs": {"same": [[[0, 7, 8, 255]]], "is_dark": [[[True, True, False, False]]]}},
    ),
    "no frames": ("odd", {"signature_name": "pixels", "inputs": EMPTY}, {"outputs": {"same": EMPTY, "is_dark": EMPTY}}),
    "text": ("odd", {"signature_name": "text", "inputs": ["hé", ""]}, {"outputs": ["hé", ""]}),
    "raw bytes": (
        "odd",
        {"signature_name": "text", "instances": [{"b64": "/wA="}, "a"]},
        {"predictions": [{"b64": "/wA="}, "a"]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_answers(ask: Any, case: str) -> None:
    model, request, expected = ANSWERS[case]
    assert ask(model, request) == (200, expected)


PIXELS = '{"signature_name": "pixels", "inputs": %s}'
REFUSALS: dict[str, tuple[str, Any, int, str]] = {
    "no model": ("nobody", ONE, 404, "there is no model nobody"),
    "no version": ("linear/versions/2", ONE, 404, "there is no model linear of version 2"),
    "version no number": ("linear/versions/x", ONE, 422, "version: Input should be a valid integer"),
    "no JSON": ("linear", "{", 400, "the body is not JSON"),
    "no UTF-8": ("linear", "\udcff", 400, "the body is not JSON"),
    "nested too deeply": ("linear", "[" * 90_000, 400, "the body is not JSON"),
    "neither": ("linear", {}, 400, 'either "instances" or "inputs"'),
    "both": ("linear", {**ONE, "instances": [1]}, 400, 'either "instances" or "inputs"'),
    "no object": ("linear", [1], 400, "must be an object"),
    "no signature": ("linear", {"signature_name": ["a"], **ONE}, 400, "there are serving_default, two"),
    "the initialiser": ("linear", {"signature_name": "__saved_model_init_op", "inputs": {}}, 400, "no signature"),
    "no rows": ("linear", {"instances": []}, 400, "at least one row"),
    "a name too many": ("linear", {"inputs": {"x": [[1, 2, 3]], "z": 1}}, 400, "inputs must name x; it names x, z"),
    "a name too few": (
        "linear",
        {"signature_name": "two", "instances": [{"a": [1, 2, 3], "b": 4}, {"a": [1, 2, 3]}]},
        400,
        r"instances[1] must name a, b; it names a",
    ),
    "ragged": ("linear", {"inputs": [[1, 2, 3], [1]]}, 400, "input x needs values of type float32, in lists of equal"),
    "text for numbers": ("linear", {"inputs": [["1", "2", "3"]]}, 400, "input x needs values of type float32"),
    "null": ("linear", {"inputs": [[None, 2, 3]]}, 400, "input x needs values of type float32"),
    "too large for a float": ("linear", {"inputs": [[1e39, 0, 0]]}, 400, "input x needs values of type float32"),
    "a fraction": ("odd", PIXELS % "[[[1.5, 0, 0, 0]]]", 400, "input x needs values of type uint8"),
    "too large for a byte": ("odd", PIXELS % "[[[256, 0, 0, 0]]]", 400, "input x needs values of type uint8"),
    "shape": ("linear", {"inputs": [[1, 2]]}, 400, "input x has the shape (1, 2); the signature asks for (None, 3)"),
    "number for text": ("odd", {"signature_name": "text", "inputs": [1]}, 400, "input text needs values of type"),
    "no base64": ("odd", {"signature_name": "text", "inputs": [{"b64": "*"}]}, 400, "b64 not base64"),
    "a scalar in rows": ("odd", {"signature_name": "mean", "instances": [1]}, 400, "no rows in common"),
    "the model's own error": ("odd", {"signature_name": "fails", "inputs": [1]}, 400, "x is not negative"),
    "a large body": ("linear", " " * 100_001, 413, "a body may have 100000 bytes"),
    "a large answer": ("odd", {"signature_name": "zeros", "inputs": 1001}, 413, "1001 elements; at most 1000"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(client: Any, host: ModelHost, case: str) -> None:
    model, request, status, message = REFUSALS[case]
    body = request if isinstance(request, str) else json.dumps(request)
    answer = client.send("POST", f"/v1/models/{model}:predict", body.encode(errors="surrogateescape"))
    assert (answer.status, message in answer.error) == (status, True), answer.error
    assert ".py" not in answer.error and host.restarts == 0


def test_status_and_signatures(client: Any) -> None:
    good = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    versions = [{"version": "3", **good}, {"version": "1", **good}]
    assert client.get("/v1/models/linear").json() == {"model_version_status": versions}
    assert client.get("/v1/models/linear/versions/1").json() == {"model_version_status": versions[1:]}
    assert client.get("/v1/models/nobody").status == 404
    found = client.get("/v1/models/linear/metadata").json()
    assert found["model_spec"] == {"name": "linear", "signature_name": "", "version": "3"}
    signature = found["metadata"]["signature_def"]["signature_def"]["two"]
    dims = {name: [d["size"] for d in info["tensor_shape"]["dim"]] for name, info in signature["inputs"].items()}
    assert dims == {"a": ["-1", "3"], "b": ["-1"]}
    types = {name: info["dtype"] for name, info in signature["outputs"].items()}
    assert types == {"total": "DT_FLOAT", "twice": "DT_INT64"}


def test_equal_to_the_direct_call(ask: Any, model_folder: Path, rng: np.random.Generator) -> None:
    x = rng.normal(size=(50, 3)).astype(np.float32)
    x[0] = np.nan, np.inf, 1e-38
    direct = tf.saved_model.load(str(model_folder / "linear" / "3")).signatures["serving_default"](x=x)["y"]
    status, found = ask("linear", {"inputs": x.tolist()})
    np.testing.assert_array_equal(np.array(found["outputs"], np.float32), direct, strict=True)
    assert status == 200


def in_threads(ask: Any, *requests: tuple[str, Any]) -> list[tuple[int, Any]]:
    answers: list[Any] = [None] * len(requests)

    def run(number: int) -> None:
        answers[number] = ask(*requests[number])

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(requests))]
    for thread in threads:
        thread.start()
        time.sleep(0.2)  # they arrive in this order
    for thread in threads:
        thread.join()
    return answers


def test_a_full_queue(ask: Any, host: ModelHost) -> None:
    """One is computed and two wait: the first is interrupted in time, those that waited too long are not begun."""
    answers = in_threads(ask, *[("odd", SLOW)] * 3, ("linear", ONE))
    assert [status for status, _ in answers] == [504, 504, 504, 503]
    assert "too many calls wait" in answers[3][1]["error"]
    assert ask("linear", ONE)[0] == 200 and host.calls == 0 and host.restarts == 0


@pytest.mark.slow
def test_more_memory_than_there_may_be(ask: Any, host: ModelHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """This call is refused, after the 10 s that TensorFlow waits for memory; the process goes on."""
    monkeypatch.setattr(host, "settings", ModelSettings())
    status, answer = ask("odd", {"signature_name": "zeros", "inputs": (1 << 31) - 1})  # 8 GiB
    assert status == 413 and "OOM" in answer["error"]
    assert ask("linear", ONE)[0] == 200 and host.restarts == 0


def test_a_process_that_ends_and_one_that_is_stuck(ask: Any, host: ModelHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """Last of those with this host: the call under way gets 503, the next one is answered by a new process."""
    assert host.process is not None
    assert b"AVSC_TF_TOKENS" not in Path(f"/proc/{host.process.pid}/environ").read_bytes()
    timer = threading.Timer(0.5, host.process._process.stdin.close)  # as when the service is gone
    timer.start()
    status, answer = ask("odd", SLOW)
    assert status == 503 and "the process ended" in answer["error"]
    monkeypatch.setattr(host, "settings", ModelSettings())  # a call that starts the process waits until it is loaded
    assert ask("linear", ONE) == (200, {"outputs": [[3.0, 1.5]]})
    monkeypatch.setattr(host, "settings", SETTINGS)
    monkeypatch.setattr("avsc_tf.service.models.GRACE_SECONDS", 0.5)
    os.kill(host.process.pid, signal.SIGSTOP)  # as a computation that cannot be interrupted
    status, answer = ask("linear", ONE)
    assert status == 503 and "could not be interrupted" in answer["error"]
    assert not host.process.is_alive() and host.restarts == 1


def test_the_service_never_loads_tensorflow(root: Path) -> None:
    code = "import sys, avsc_tf.service.serve; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


FLOAT = tf.TensorSpec([None], tf.float32, name="x")


class Malicious(tf.Module):
    """Graphs that do more than compute; `target` is the file they are after."""

    def __init__(self, target: str) -> None:
        self.target, self.weight = target, tf.Variable(2.0)

    def graph(self, name: str, folder: Path) -> Any:
        """Of a SavedModel with this one signature."""
        function = tf.function(getattr(self, name), input_signature=[FLOAT])
        tf.saved_model.save(self, str(folder), signatures=function)
        return SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0]

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
        names = {"tensor_names": ["a"], "shape_and_slices": [""]}
        return {"y": x * tf.raw_ops.RestoreV2(prefix=self.target, **names, dtypes=[tf.float32])[0]}

    def saves(self, x):
        tf.raw_ops.SaveV2(prefix=self.target, tensor_names=["a"], shape_and_slices=[""], tensors=[x])
        return {"y": x}

    def calls_python(self, x):
        return {"y": tf.reshape(tf.numpy_function(lambda v: v, [x], tf.float32), [-1])}

    def reads_in_a_branch(self, x):
        """Two functions deep, where only some inputs lead."""
        return {"secret": tf.cond(tf.size(x) > 3, lambda: tf.io.read_file(self.target), lambda: tf.constant(""))}

    def reads_records(self, x):
        return {"y": x, "n": tf.data.TextLineDataset(self.target).reduce(0, lambda n, _: n + 1)}


@pytest.mark.parametrize(
    ("case", "operation"),
    [
        ("reads", "ReadFile"),
        ("writes", "WriteFile"),
        ("lists", "MatchingFiles"),
        ("prints", "PrintV2"),
        ("restores", "RestoreV2"),
        ("saves", "SaveV2"),
        ("calls_python", "PyFunc"),
        ("reads_in_a_branch", "ReadFile"),
        ("reads_records", ".*Dataset.*"),
    ],
)
def test_graphs_that_do_more_than_compute(tmp_path: Path, case: str, operation: str) -> None:
    with pytest.raises(BundleError, match=f"{operation} is refused"):
        check_graph(Malicious(str(tmp_path / "target")).graph(case, tmp_path / "model"))


@pytest.fixture
def graph(model_folder: Path) -> Any:
    """Of a good model, to be edited."""
    found = SavedModel.FromString((model_folder / "linear" / "1" / "saved_model.pb").read_bytes()).meta_graphs[0]
    check_graph(found)
    return found


def add(graph: Any, name: str, operation: str, *inputs: str) -> None:
    graph.graph_def.node.add(name=name, op=operation, input=inputs)


def test_an_initialiser_that_writes(graph: Any) -> None:
    """It would run while the model is loaded."""
    add(graph, "path", "Const")
    add(graph, "evil", "WriteFile", "path", "path")
    next(node for node in graph.graph_def.node if node.op == "NoOp").input.append("^evil")
    with pytest.raises(BundleError, match="node evil: WriteFile is refused"):
        check_graph(graph)


@pytest.mark.parametrize("place", ["file", "function", "beside", "operation", "tensor"])
def test_a_restoring_of_another_file(graph: Any, place: str) -> None:
    add(graph, "other", "Const")
    restoring = next(node for node in graph.graph_def.node if node.name == graph.saver_def.restore_op_name)
    if place == "operation":
        restoring.op = "WriteFile"
    elif place == "tensor":  # a session runs it by this name, too
        graph.saver_def.restore_op_name += ":0"
        restoring.input[0] = "other"
    elif place == "file":
        restoring.input[0] = "other"
    elif place == "beside":
        add(graph, "second", "RestoreV2", "other", "other", "other")
        restoring.input.append("^second")
    else:
        functions = {function.signature.name: function for function in graph.graph_def.library.function}
        body = functions[restoring.attr["f"].func.name]
        next(node for node in body.node_def if node.op == "RestoreV2").input[0] = "RestoreV2/tensor_names:output:0"
    with pytest.raises(BundleError, match=r"RestoreV2 is refused|restores another file"):
        check_graph(graph)


@pytest.mark.parametrize("way", ["plain", "behind a node of its name", "handed on"])
def test_a_function_that_reads(graph: Any, way: str) -> None:
    """Called by a node that an output needs: itself, or by the function it hands it to."""
    function = graph.graph_def.library.function.add()
    function.signature.name = "evil"
    function.node_def.add(name="read", op="ReadFile")
    add(graph, "caller", "StatefulPartitionedCall", *(["evil"] if way == "behind a node of its name" else []))
    add(graph, "evil", "Const")
    caller = next(node for node in graph.graph_def.node if node.name == "caller")
    caller.attr["f"].func.name = "good" if way == "handed on" else "evil"
    if way == "handed on":
        graph.graph_def.library.function.add().signature.name = "good"
        caller.attr["f"].func.attr["g"].func.name = "evil"
    outputs = graph.signature_def["serving_default"].outputs
    outputs["a"].name, outputs["b"].name = "evil:0", "caller:0"
    with pytest.raises(BundleError, match="node read: ReadFile is refused"):
        check_graph(graph)


def test_an_operation_of_nobody(graph: Any) -> None:
    add(graph, "odd", "OperationOfNobody")
    graph.signature_def["serving_default"].outputs["odd"].name = "odd:0"
    with pytest.raises(BundleError, match="OperationOfNobody is refused"):
        check_graph(graph)


def test_folders_without_models_and_with_bad_ones(model_folder: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(BundleError, match=r"no model in it; expected NAME/1/saved_model\.pb"):
            ModelHost(folder, SETTINGS)
    shutil.copytree(model_folder / "linear" / "1", tmp_path / "linear" / "1")
    shutil.rmtree(tmp_path / "linear" / "1" / "variables")
    with (
        pytest.raises(BundleError, match=f"{tmp_path}: linear/1: TensorFlow cannot load it"),
        ModelHost(tmp_path, SETTINGS),
    ):
        pass
