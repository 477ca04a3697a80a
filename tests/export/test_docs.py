"""docs/export.md: its examples run, its table is true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture(scope="module")
def page(root) -> str:
    return (root / "docs" / "export.md").read_text(encoding="utf-8")


def example(page: str, name: str) -> str:
    """A Python block by the name in its first line."""
    (block,) = re.findall(rf"```python\n# {re.escape(name)}\n(.*?)```", page, re.DOTALL)
    return block


@pytest.fixture
def place(joint, make_clips, tmp_path) -> Path:
    """A folder with what the examples start from."""
    (clip,) = make_clips(joint.bundle, [3])
    np.savez(tmp_path / "clip.npz", mel=clip.mel, keypoints=clip.keypoints, vgg=clip.vgg)
    (tmp_path / "served").symlink_to(joint.out)
    return tmp_path


def run(code: str, place: Path) -> str:
    env = {"PATH": os.defpath, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, cwd=place, env=env, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_signatures_are_those_of_the_page(joint, page) -> None:
    rows = [line for line in page.splitlines() if re.match(r"\| `\w+` \| `\w+` \|", line)]
    told = {}
    for row in rows:
        model, signature, inputs, outputs = (
            [w for w in re.findall(r"`(\w+)`", c)] for c in row.strip("| ").split(" | ")
        )
        told[model[0], signature[0]] = (set(inputs), set(outputs))
    found = {}
    for model, folder in joint.exported.folders.items():
        for name, described in json.loads(
            (folder / "assets.extra" / "signatures.json").read_text(encoding="utf-8")
        ).items():
            found[model, name] = tuple({t["name"] for t in described[side]} for side in ("inputs", "outputs"))
    assert told == found


@pytest.mark.slow
def test_loading_with_tensorflow_alone(page, place) -> None:
    assert run(example(page, "local.py"), place).splitlines() == [
        "frames (1, 3, 16, 16, 3) <dtype: 'uint8'>",
        "waveform (1, 1920)",
    ]


@pytest.mark.slow
def test_the_json_request_is_one(joint, page, place) -> None:
    """Read as TensorFlow Serving reads "inputs": each array by the signature's own type."""
    run(example(page, "request.py"), place)
    request = json.loads((place / "request.json").read_text(encoding="utf-8"))
    (url,) = re.findall(r"curl -X POST -d @request.json http://127.0.0.1:8501/v1/models/(\w+):predict", page)
    signature = joint.loaded[url].signatures[request["signature_name"]]
    specs = signature.structured_input_signature[1]
    assert set(specs) == set(request["inputs"])
    outputs = signature(**{k: tf.constant(request["inputs"][k], spec.dtype) for k, spec in specs.items()})
    assert outputs["mel"].shape == (1, 24, 80)


@pytest.mark.slow
def test_the_grpc_client(joint, page, place) -> None:
    """Against a server of the real protocol, on a free port of this machine."""
    pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")
    import grpc
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    class Servicer(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            response = predict_pb2.PredictResponse()
            call = joint.signature(request.model_spec.name, request.model_spec.signature_name)
            for name, array in call(**inputs).items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
            return response

    server = grpc.server(futures.ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        code = example(page, "client.py").replace("127.0.0.1:8500", f"127.0.0.1:{port}")
        assert run(code, place).strip() == "frames (1, 3, 16, 16, 3) uint8"
    finally:
        server.stop(None).wait()
