"""The gRPC services, called with TensorFlow Serving's own client."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import numpy as np
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from avsc_tf.errors import ServiceError
from avsc_tf.service.grpc_predict import GrpcServer

Code = grpc.StatusCode


class OneToken:
    """One client."""

    def by_token(self, token: str) -> str | None:
        return "somebody" if token == "secret" else None


@pytest.fixture(scope="module")
def port(host) -> Iterator[int]:
    server = GrpcServer(host)
    server.start()
    yield server.port
    server.stop(0)


@pytest.fixture(scope="module")
def channel(port: int) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel) -> prediction_service_pb2_grpc.PredictionServiceStub:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


def request(model: str, inputs: dict, signature: str = "", **spec) -> predict_pb2.PredictRequest:
    made = predict_pb2.PredictRequest()
    made.model_spec.name = model
    made.model_spec.signature_name = signature
    for key, value in inputs.items():
        made.inputs[key].CopyFrom(value if isinstance(value, TensorProto) else tf.make_tensor_proto(value))
    if "version" in spec:
        made.model_spec.version.value = spec["version"]
    if "label" in spec:
        made.model_spec.version_label = spec["label"]
    made.output_filter.extend(spec.get("outputs", ()))
    return made


def refused(call, code: grpc.StatusCode) -> str:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    assert caught.value.code() == code, caught.value.details()
    return caught.value.details()


X = np.array([[1, 0, 0]], np.float32)


@pytest.mark.parametrize(("spec", "version"), [({}, 3), ({"version": 1}, 1), ({"label": "stable"}, 1)])
def test_predict(stub, spec: dict, version: int) -> None:
    answer = stub.Predict(request("linear", {"x": X}, **spec), timeout=20)
    assert (answer.model_spec.name, answer.model_spec.version.value) == ("linear", version)
    assert answer.model_spec.signature_name == "serving_default"
    assert list(answer.outputs["y"].float_val) == [version * 1.0, version * 0.5]
    np.testing.assert_array_equal(tf.make_ndarray(answer.outputs["y"]), np.float32([[version, version / 2]]))


def test_output_filter(stub) -> None:
    inputs = {"a": np.ones((2, 3), np.float32), "b": np.array([4, 5], np.int64)}
    answer = stub.Predict(request("linear", inputs, "two", outputs=["twice"]), timeout=20)
    assert list(answer.outputs) == ["twice"] and list(answer.outputs["twice"].int64_val) == [8, 10]


@pytest.mark.parametrize("dtype", ["float32", "int64", "bool", "uint8", "string"])
def test_content_and_fields_are_the_same(stub, dtype: str) -> None:
    """A tensor may come as raw bytes or as a list of values, one value standing for all."""
    value = {"bool": True, "string": b"\x00\xff"}.get(dtype, 7)
    content = tf.make_tensor_proto(np.full((2, 3), value), dtype=dtype)
    field = tf.make_tensor_proto(value, dtype=dtype, shape=[])
    field.tensor_shape.CopyFrom(content.tensor_shape)
    answers = [
        stub.Predict(request("types", {"x": proto}, dtype), timeout=20).outputs["out"] for proto in (content, field)
    ]
    assert answers[0] == answers[1]
    np.testing.assert_array_equal(tf.make_ndarray(answers[0]), tf.make_ndarray(content))


def tensor(dtype: int = 1, dims: tuple[int, ...] = (1, 3), content: bytes = b"", **fields) -> TensorProto:
    proto = TensorProto(dtype=dtype, tensor_content=content, **fields)
    for size in dims:
        proto.tensor_shape.dim.add().size = size
    return proto


UNKNOWN_RANK = tensor(float_val=[1.0])
UNKNOWN_RANK.tensor_shape.unknown_rank = True
REFUSED: dict[str, tuple[predict_pb2.PredictRequest, grpc.StatusCode, str]] = {
    "no spec": (predict_pb2.PredictRequest(), Code.INVALID_ARGUMENT, "Missing ModelSpec"),
    "no model": (request("nobody", {}), Code.NOT_FOUND, "Servable not found for request: Latest(nobody)"),
    "no version": (
        request("linear", {}, version=7),
        Code.NOT_FOUND,
        "Servable not found for request: Specific(linear, 7)",
    ),
    "no label": (request("linear", {}, label="a"), Code.INVALID_ARGUMENT, "Unrecognized servable version label: a"),
    "no signature": (
        request("linear", {}, "best"),
        Code.FAILED_PRECONDITION,
        'Serving signature key "best" not found.',
    ),
    "no input": (
        request("linear", {}),
        Code.INVALID_ARGUMENT,
        "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. Missing but required: {x}.",
    ),
    "other input": (
        request("linear", {"z": X}),
        Code.INVALID_ARGUMENT,
        "input size does not match signature: 1!=1 len({z}) != len({x}). Sent extra: {z}. Missing but required: {x}.",
    ),
    "other type": (
        request("linear", {"x": X.astype(np.float64)}),
        Code.INVALID_ARGUMENT,
        "Input x is float64, but the signature asks for float32.",
    ),
    "unknown type": (
        request("linear", {"x": tensor(dtype=77)}),
        Code.INVALID_ARGUMENT,
        "Input x is of an unknown type, but the signature asks for float32.",
    ),
    "shape": (
        request("linear", {"x": X[:, :2]}),
        Code.INVALID_ARGUMENT,
        "Input x has shape [1,2], but the signature asks for [?,3].",
    ),
    "content too short": (
        request("linear", {"x": tensor(content=bytes(8))}),
        Code.INVALID_ARGUMENT,
        "tensor parsing error: x",
    ),
    "content no number": (
        request("linear", {"x": tensor(content=bytes(7))}),
        Code.INVALID_ARGUMENT,
        "tensor parsing error: x",
    ),
    "too many values": (
        request("linear", {"x": tensor(float_val=[1.0] * 4)}),
        Code.INVALID_ARGUMENT,
        "tensor parsing error: x",
    ),
    "negative": (request("linear", {"x": tensor(dims=(-1, 3))}), Code.INVALID_ARGUMENT, "tensor parsing error: x"),
    "unknown rank": (request("linear", {"x": UNKNOWN_RANK}), Code.INVALID_ARGUMENT, "tensor parsing error: x"),
    "a terabyte of one value": (
        request("linear", {"x": tensor(dims=(1 << 36, 3), float_val=[1.0])}),
        Code.RESOURCE_EXHAUSTED,
        "206158430208 elements in the inputs; at most 200000 are served.",
    ),
    "output": (
        request("linear", {"x": X}, outputs=["z"]),
        Code.INVALID_ARGUMENT,
        "output tensor alias not found in signature: z Outputs expected to be in the set {y}.",
    ),
    "output twice": (
        request("linear", {"x": X}, outputs=["y", "y"]),
        Code.INVALID_ARGUMENT,
        "duplicate output tensor alias: y",
    ),
    "large answer": (
        request("odd", {"n": np.int32(200_001)}, "large"),
        Code.RESOURCE_EXHAUSTED,
        "200001 elements in the outputs; at most 200000 are served.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(stub, case: str) -> None:
    body, code, message = REFUSED[case]
    assert refused(lambda: stub.Predict(body, timeout=20), code) == message


def test_a_model_that_fails(stub) -> None:
    asked = request("odd", {"x": np.ones(1, np.float32)}, "fails")
    assert "x is not negative" in refused(lambda: stub.Predict(asked, timeout=20), Code.INVALID_ARGUMENT)


def test_no_message_at_all(channel) -> None:
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    assert (
        refused(lambda: call(b"\xff\xff\xff", timeout=20), Code.INVALID_ARGUMENT) == "The request is no PredictRequest."
    )


def test_a_message_that_is_too_large(channel) -> None:
    call = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    refused(lambda: call(bytes(5 << 20), timeout=20), Code.RESOURCE_EXHAUSTED)


def test_deadline(stub, host) -> None:
    """The loop is interrupted: the place is free again long before it would end."""
    asked = request("odd", {"steps": np.int32(1 << 30)}, "slow")
    refused(lambda: stub.Predict(asked, timeout=0.5), Code.DEADLINE_EXCEEDED)
    assert stub.Predict(request("linear", {"x": X}), timeout=20).outputs["y"].float_val


def test_metadata(stub) -> None:
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = "linear"
    answer = stub.GetModelMetadata(asked, timeout=20)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert answer.model_spec.version.value == 3
    assert {"serving_default", "two", "scalar"} <= set(signatures.signature_def)
    asked.metadata_field[:] = ["size"]
    assert "size is not supported" in refused(lambda: stub.GetModelMetadata(asked, timeout=20), Code.INVALID_ARGUMENT)
    asked.ClearField("metadata_field")
    refused(lambda: stub.GetModelMetadata(asked, timeout=20), Code.INVALID_ARGUMENT)


def test_status(channel) -> None:
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    asked = get_model_status_pb2.GetModelStatusRequest()
    asked.model_spec.name = "linear"
    rows = stub.GetModelStatus(asked, timeout=20).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(row.version, row.state, row.status.error_code) for row in rows] == [(3, available, 0), (1, available, 0)]
    asked.model_spec.name = "nobody"
    refused(lambda: stub.GetModelStatus(asked, timeout=20), Code.NOT_FOUND)


def test_what_is_not_served(stub) -> None:
    asked = classification_pb2.ClassificationRequest()
    asked.model_spec.name = "linear"
    message = refused(lambda: stub.Classify(asked, timeout=20), Code.INVALID_ARGUMENT)
    assert message.endswith("to be tensorflow/serving/classify. Was: tensorflow/serving/predict")
    refused(lambda: stub.MultiInference(inference_pb2.MultiInferenceRequest(), timeout=20), Code.UNIMPLEMENTED)


def test_tokens(host) -> None:
    server = GrpcServer(host, tokens=OneToken())
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            asked = request("linear", {"x": X})
            for metadata in ([], [("authorization", "Bearer wrong")], [("authorization", "secret")]):
                refused(lambda m=metadata: stub.Predict(asked, timeout=20, metadata=m), Code.UNAUTHENTICATED)
            assert stub.Predict(asked, timeout=20, metadata=[("authorization", "Bearer secret")]).outputs
            with pytest.raises(grpc.RpcError, match="token"):
                ProtoReflectionDescriptorDatabase(channel).get_services()
            status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=20)
            assert status.status == health_pb2.HealthCheckResponse.SERVING
    finally:
        server.stop(0)


def test_reflection(channel) -> None:
    from google.protobuf.descriptor_pool import DescriptorPool

    database = ProtoReflectionDescriptorDatabase(channel)
    assert "tensorflow.serving.PredictionService" in database.get_services()
    service = DescriptorPool(database).FindServiceByName("tensorflow.serving.PredictionService")
    assert service.methods_by_name["Predict"].input_type.fields_by_name["output_filter"].number == 3


def test_a_taken_port_is_an_error(host, port: int) -> None:
    with pytest.raises(ServiceError, match=f"127.0.0.1:{port}"):
        GrpcServer(host, port=port)
