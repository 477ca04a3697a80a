"""REST, gRPC and calling the model directly give the same values, bit for bit; malformed bodies never give a 5xx."""

from __future__ import annotations

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from tensorflow_serving.apis import predict_pb2

from avsc_tf.service.codes import HTTP_STATUS, CallError

TYPES = ("float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint32", "uint64", "bool")
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
SHAPES = stn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)


def over_json(host, name: str, body: dict, signature: str) -> object:
    text = json.dumps({"signature_name": signature, **body}).encode()
    return json.loads(host.submit("json_predict", text, name=name).result(20))


def over_messages(host, name: str, inputs: dict[str, np.ndarray], signature: str) -> dict[str, np.ndarray]:
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name, asked.model_spec.signature_name = name, signature
    for key, value in inputs.items():
        asked.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    answer = predict_pb2.PredictResponse.FromString(host.submit("Predict", asked.SerializeToString()).result(20))
    return {key: tf.make_ndarray(proto) for key, proto in answer.outputs.items()}


def same_bits(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal shapes, types and bytes, but for the payload of a NaN."""
    if found.dtype.kind == "f":
        found, expected = np.where(np.isnan(found), np.nan, found), np.where(np.isnan(expected), np.nan, expected)
    return found.shape == expected.shape and found.tobytes() == expected.astype(found.dtype).tobytes()


@pytest.mark.parametrize("dtype", TYPES)
@MANY
@given(data=st.data())
def test_any_array_comes_back(host, dtype: str, data: st.DataObject) -> None:
    array = data.draw(stn.arrays(dtype, SHAPES))
    assert same_bits(over_messages(host, "types", {"x": array}, dtype)["out"], array)
    values = array.tolist()
    found = over_json(host, "types", {"inputs": values}, dtype)["outputs"]
    # Lengths behind an empty list are not in its JSON: the shape ends with the first 0.
    zero = array.shape.index(0) + 1 if 0 in array.shape else array.ndim
    assert same_bits(np.array(found, dtype).reshape(array.shape[:zero] or ()), array.reshape(array.shape[:zero] or ()))
    if array.ndim and array.size:
        rows = over_json(host, "types", {"instances": values}, dtype)["predictions"]
        assert same_bits(np.array(rows, dtype), array)


@MANY
@given(values=st.lists(st.binary(max_size=40), min_size=1, max_size=5))
def test_any_bytes_come_back(host, values: list[bytes]) -> None:
    array = np.array(values, object)
    found = over_messages(host, "odd", {"text_bytes": array}, "text")
    assert found["same_bytes"].tolist() == values
    rows = [{"b64": base64.b64encode(value).decode()} for value in values]
    answer = over_json(host, "odd", {"instances": rows}, "text")["predictions"]
    assert [row["same_bytes"] for row in answer] == rows


@pytest.mark.parametrize("signature", ["serving_default", "two", "scalar"])
def test_same_as_calling_the_model(host, model_folder: Path, rng, signature: str) -> None:
    loaded = tf.saved_model.load(str(model_folder / "linear" / "3"))
    inputs = {
        "serving_default": {"x": rng.normal(size=(5, 3)).astype(np.float32)},
        "two": {"a": rng.normal(size=(4, 3)).astype(np.float32), "b": rng.integers(-9, 9, 4)},
        "scalar": {"x": rng.normal(size=7).astype(np.float32)},
    }[signature]
    direct = {
        k: v.numpy() for k, v in loaded.signatures[signature](**{k: tf.constant(v) for k, v in inputs.items()}).items()
    }
    for key, array in over_messages(host, "linear", inputs, signature).items():
        assert same_bits(array, np.asarray(direct[key]))
    found = over_json(host, "linear", {"inputs": {k: v.tolist() for k, v in inputs.items()}}, signature)["outputs"]
    for key, expected in direct.items():
        value = found[key] if len(direct) > 1 else found
        assert same_bits(np.array(value, expected.dtype), np.asarray(expected))


def test_sixteen_threads_get_their_own_answers(host) -> None:
    def ask(number: int) -> bool:
        x = np.full((1, 3), number, np.float32)
        if number % 2:
            found = over_messages(host, "linear", {"x": x}, "serving_default")["y"]
        else:
            found = np.array(over_json(host, "linear", {"instances": x.tolist()}, "serving_default")["predictions"])
        return np.allclose(found, [[18 * number, 3 * 0.35 * number]], rtol=1e-6)  # float32: 1.2e-7 a product

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(400)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just({"b64": "YQ=="}),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abxz"), inner, max_size=3),
    max_leaves=12,
)
NAMES = st.sampled_from(("instances", "inputs", "signature_name", "x", "examples"))
SIGNATURES = {"signature_name": st.sampled_from(("two", "scalar", "serving_default", "nothing"))}


def status_of(host, method: str, body: bytes, name: str) -> int:
    try:
        json.loads(host.submit(method, body, name=name).result(20))
    except CallError as error:
        return HTTP_STATUS[error.code]
    return 200


@settings(MANY, max_examples=300)
@given(
    body=st.dictionaries(NAMES, JSON, max_size=3),
    name=st.sampled_from(("linear", "types")),
    more=st.booleans(),
    data=st.data(),
)
def test_odd_documents_are_refused(host, body: dict, name: str, more: bool, data: st.DataObject) -> None:
    if more:
        body = {**body, "signature_name": data.draw(SIGNATURES["signature_name"])}
    assert status_of(host, "json_predict", json.dumps(body).encode(), name) in (200, 400)
    assert status_of(host, "json_classify", json.dumps(body).encode(), name) == 400


@settings(MANY, max_examples=300)
@given(cut=st.integers(0, 70), noise=st.binary(max_size=6), place=st.integers(0, 70))
def test_damaged_documents_are_refused(host, cut: int, noise: bytes, place: int) -> None:
    whole = b'{"signature_name": "two", "instances": [{"a": [1.5, 2, 3e1], "b": -4}]}'
    body = whole[: max(place - cut, 0)] + noise + whole[place:]
    assert status_of(host, "json_predict", body, "linear") in (200, 400)


@settings(MANY, max_examples=200)
@given(place=st.integers(0, 200), noise=st.binary(min_size=1, max_size=4))
def test_damaged_messages_are_refused(host, place: int, noise: bytes) -> None:
    asked = predict_pb2.PredictRequest()
    asked.model_spec.name = "linear"
    asked.inputs["x"].CopyFrom(tf.make_tensor_proto(np.ones((1, 3), np.float32)))
    body = bytearray(asked.SerializeToString())
    place %= len(body)
    body[place : place + len(noise)] = noise
    try:
        host.submit("Predict", bytes(body)).result(20)
    except CallError as error:
        assert HTTP_STATUS[error.code] in (400, 404, 429)
