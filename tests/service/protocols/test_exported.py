"""A run, exported and served: both protocols give what the converter gives."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from avsc_tf.consent import Consent
from avsc_tf.service.grpc_predict import GrpcServer
from avsc_tf.service.models import ModelHost
from avsc_tf.serving.bundle import load_bundle
from avsc_tf.serving.export import export_bundle

LENGTHS = [5, 9, 2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory, load_module) -> Any:
    """A run whose consent has an end, which the graph checks by the clock: exported, and loaded by ourselves."""
    tests = Path(__file__).resolve().parents[2] / "serving" / "export"
    export_tests: ModuleType = load_module(tests / "conftest.py")
    folder = tmp_path_factory.mktemp("exported")
    consent = Consent(who="Mary Example", what_for=("tests",), until=datetime.date(2999, 12, 31))
    run = export_tests.write_run(export_tests.tiny(), folder / "run", consent=consent)
    exported = export_bundle(run, folder / "out", warmup=False)
    converter = load_bundle(run, vocoders=["wavenet"])
    return export_tests.Served(run, converter, folder / "out", exported)


@pytest.fixture(scope="module")
def exported_host(served):
    with ModelHost(served.out) as host:
        yield host


@pytest.fixture(scope="module")
def same(load_module) -> ModuleType:
    return load_module(Path(__file__).resolve().parents[2] / "serving" / "export" / "references.py")


def over_grpc(host: ModelHost, model: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    server = GrpcServer(host)
    server.start()
    try:
        asked = predict_pb2.PredictRequest()
        asked.model_spec.name = model
        for name, array in inputs.items():
            asked.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            answer = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(asked, timeout=60)
    finally:
        server.stop(0)
    return {name: tf.make_ndarray(proto) for name, proto in answer.outputs.items()}


def over_rest(host: ModelHost, model: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    body = json.dumps({"inputs": {name: array.tolist() for name, array in inputs.items()}}).encode()
    outputs = json.loads(host.submit("json_predict", body, name=model).result(60))["outputs"]
    return {name: np.array(value) for name, value in outputs.items()}


def test_all_models_are_served(exported_host: ModelHost) -> None:
    found = {state.name: (state.state, state.error_message) for state in exported_host.states.versions}
    assert found == dict.fromkeys(("conversion", "image", "wavenet", "end_to_end"), ("AVAILABLE", ""))


@pytest.mark.parametrize("protocol", [over_rest, over_grpc])
def test_end_to_end_is_the_converter(served, exported_host: ModelHost, same: ModuleType, protocol) -> None:
    clips = same.clips(served.converter, LENGTHS)
    outputs = protocol(exported_host, "end_to_end", same.batch(clips))
    assert not outputs["is_unfamiliar"].any()
    for number, clip in enumerate(clips):
        same.row(outputs, number, same.expected(served, clip))


def test_both_protocols_and_the_model_itself_to_the_bit(served, exported_host: ModelHost, same: ModuleType) -> None:
    inputs = same.batch(same.clips(served.converter, LENGTHS, seed=1))
    direct = served.signature("end_to_end")(**inputs)
    by_rest, by_grpc = (way(exported_host, "end_to_end", inputs) for way in (over_rest, over_grpc))
    for name, array in direct.items():
        np.testing.assert_array_equal(by_grpc[name], array, err_msg=name, strict=True)
        np.testing.assert_array_equal(by_rest[name].astype(array.dtype), array, err_msg=name)


def test_speech(served, exported_host: ModelHost, same: ModuleType) -> None:
    """The WaveNet's loop with a seed: the same waveform by both protocols and by the model itself."""
    inputs = same.batch(same.clips(served.converter, [4, 2], speaker="target"), "mel")
    inputs["seed"] = np.array([3, 4], np.int32)
    direct = served.signature("wavenet")(**inputs)["waveform"]
    assert direct.std() > 0
    np.testing.assert_array_equal(over_grpc(exported_host, "wavenet", inputs)["waveform"], direct)
