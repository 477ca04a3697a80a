"""The REST API against what TensorFlow Serving documents and says: request -> status and body."""

from __future__ import annotations

import base64
import gzip
import json
import math
import re
from typing import Any

import numpy as np
import pytest

ONES = [[1.0, 1.0, 1.0]]


def nested(text: str) -> str:
    return f"INVALID_ARGUMENT: {text}"


ANSWERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    # row format, one input: plain values; one output: no name
    "rows": (
        "linear/versions/1",
        '{"instances": [[1, 2, 3], [0, 0, 1.5]]}',
        {"predictions": [[14.0, 0.3], [4.5, 0.15]]},
    ),
    "newest version": ("linear", '{"instances": [[1, 0, 0]]}', {"predictions": [[3.0, 1.5]]}),
    "rows by name": ("linear", '{"instances": [{"x": [1, 0, 0]}]}', {"predictions": [[3.0, 1.5]]}),
    "signature": (
        "linear",
        '{"signature_name": "two", "instances": [{"a": [1, 2, 3], "b": 4}, {"a": [0, 0, 0], "b": -1}]}',
        {"predictions": [{"total": 10.0, "twice": 8}, {"total": -1.0, "twice": -2}]},
    ),
    # columns
    "columns": ("linear", '{"inputs": [[1, 0, 0]]}', {"outputs": [[3.0, 1.5]]}),
    "columns by name": ("linear", '{"inputs": {"x": [[1, 0, 0]]}}', {"outputs": [[3.0, 1.5]]}),
    "many outputs": (
        "linear",
        '{"signature_name": "two", "inputs": {"a": [[1, 2, 3]], "b": [4]}}',
        {"outputs": {"total": [10.0], "twice": [8]}},
    ),
    "scalar output": ("linear", '{"signature_name": "scalar", "inputs": [1, 2]}', {"outputs": 1.5}),
    "scalar input": ("types", '{"signature_name": "int32", "inputs": 7}', {"outputs": 7}),
    "no rows of columns": ("types", '{"signature_name": "float32", "inputs": []}', {"outputs": []}),
    "lengths behind an empty list": ("linear", '{"inputs": []}', {"outputs": []}),
    "rows of nothing": ("odd", '{"signature_name": "halves", "instances": [[], []]}', {"predictions": [[], []]}),
    "extra name in columns": ("linear", '{"inputs": {"x": [[1, 0, 0]], "other": 3}}', {"outputs": [[3.0, 1.5]]}),
    "label": ("linear/labels/stable", '{"inputs": [[1, 0, 0]]}', {"outputs": [[1.0, 0.5]]}),
    # types
    "bool": ("types", '{"signature_name": "bool", "instances": [true, false]}', {"predictions": [True, False]}),
    "greatest uint64": (
        "types",
        '{"signature_name": "uint64", "inputs": [18446744073709551615]}',
        {"outputs": [18446744073709551615]},
    ),
    "text": ("types", '{"signature_name": "string", "inputs": ["h\\u00e9", ""]}', {"outputs": ["hé", ""]}),
    "bytes": ("types", '{"signature_name": "string", "instances": [{"b64": "aGVsbG8="}]}', {"predictions": ["hello"]}),
    "bytes without padding": (
        "types",
        '{"signature_name": "string", "inputs": {"b64": "aGVsbG8"}}',
        {"outputs": "hello"},
    ),
    "names in _bytes": (
        "odd",
        '{"signature_name": "text", "inputs": ["ab"]}',
        {"outputs": {"same_bytes": [{"b64": "YWI="}], "upper": ["AB"]}},
    ),
    "half output": ("odd", '{"signature_name": "halves", "inputs": [[0.1, 2]]}', {"outputs": [[0.0999756, 2.0]]}),
    "first of doubled keys": ("linear", '{"inputs": [[1, 0, 0]], "inputs": 3}', {"outputs": [[3.0, 1.5]]}),
}

ERRORS: dict[str, tuple[str, str, int, str]] = {
    "no model": ("nobody", '{"inputs": 1}', 404, "Servable not found for request: Latest(nobody)"),
    "no version": ("linear/versions/2", '{"inputs": 1}', 404, "Servable not found for request: Specific(linear, 2)"),
    "no label": ("linear/labels/best", '{"inputs": 1}', 400, "Unrecognized servable version label: best"),
    "version too great": (
        "linear/versions/9223372036854775808",
        "{}",
        400,
        "Failed to convert version: 9223372036854775808 to numeric.",
    ),
    "empty": ("linear", "", 400, "JSON Parse error: The document is empty"),
    "spaces": ("linear", " \n", 400, "JSON Parse error: The document is empty. at offset: 2"),
    "no JSON": ("linear", "nope", 400, "JSON Parse error: Invalid value. at offset: 0"),
    "no name": ("linear", "{1: 2}", 400, "JSON Parse error: Missing a name for object member. at offset: 1"),
    "no colon": (
        "linear",
        '{"a" 1}',
        400,
        "JSON Parse error: Missing a colon after a name of object member. at offset: 5",
    ),
    "no comma in object": (
        "linear",
        '{"a": [1, "]"] "b": 1}',
        400,
        "JSON Parse error: Missing a comma or } after an object member. at offset: 15",
    ),
    "no comma in array": (
        "linear",
        '{"a": [{"b": "\\"["} 2]}',
        400,
        "JSON Parse error: Missing a comma or ] after an array element. at offset: 20",
    ),
    "two documents": (
        "linear",
        "{} {}",
        400,
        "JSON Parse error: The document root must not be followed by other values. at offset: 3",
    ),
    "open string": ("linear", '{"a', 400, "JSON Parse error: Missing a closing quotation mark in string. at offset: 1"),
    "nested": ("linear", "[" * 50_000, 400, "JSON Parse error: Values are nested too deeply."),
    "no object": ("linear", "[1]", 400, "JSON Value: [\n    1\n] Is not object"),
    "number too big": (
        "linear",
        '{"inputs": [[1e999, 0, 0]]}',
        400,
        "JSON Parse error: Number too big to be stored in double.",
    ),
    "name of signature": (
        "linear",
        '{"signature_name": 3}',
        400,
        'JSON Value: {\n    "signature_name": 3\n} not formatted correctly. '
        "'signature_name' key must be a string value.",
    ),
    "no signature": (
        "linear",
        '{"signature_name": "best", "inputs": 1}',
        400,
        'Serving signature name: "best" not found in signature def',
    ),
    "initialiser": (
        "linear",
        '{"signature_name": "__saved_model_init_op", "inputs": 1}',
        400,
        "Failed to get input map for signature: __saved_model_init_op",
    ),
    "neither": ("linear", "{}", 400, "Missing 'inputs' or 'instances' key"),
    "both": (
        "linear",
        '{"inputs": 1, "instances": [1]}',
        400,
        'JSON Value: {\n    "inputs": 1,\n    "instances": [\n        1\n    ]\n} Not formatted correctly '
        "expecting only one of 'inputs' or 'instances' keys to exist ",
    ),
    "instances no list": (
        "linear",
        '{"instances": 1}',
        400,
        "JSON Value: {\n    \"instances\": 1\n} Excepting 'instances' to be an list/array",
    ),
    "no instances": (
        "linear",
        '{"instances": []}',
        400,
        "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array",
    ),
    "plain rows": (
        "linear",
        '{"signature_name": "two", "instances": [[1, 2, 3]]}',
        400,
        "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
        "tensorinfo_map",
    ),
    "plain columns": (
        "linear",
        '{"signature_name": "two", "inputs": [[1, 2, 3]]}',
        400,
        "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
        "tensorinfo_map",
    ),
    "missing column": (
        "linear",
        '{"signature_name": "two", "inputs": {"a": [[1, 2, 3]]}}',
        400,
        "Missing named input: b in 'inputs' object.",
    ),
    "missing name in row": (
        "linear",
        '{"signature_name": "two", "instances": [{"a": [1, 2, 3]}]}',
        400,
        "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"a\": [\n        1,\n        "
        "2,\n        3\n    ]\n} keys must be equal to: a,b",
    ),
    "unknown name in row": (
        "linear",
        '{"instances": [{"z": 1}]}',
        400,
        "Failed to process element: 0 key: z of 'instances' list. Error: "
        + nested("JSON object: does not have named input: z"),
    ),
    "object, then list": (
        "linear",
        '{"instances": [{"x": [1, 2, 3]}, [1, 2, 3]]}',
        400,
        "Expecting object but got list at item 1 of input list",
    ),
    "list, then object": (
        "linear",
        '{"instances": [[1, 2, 3], {"x": [1, 2, 3]}]}',
        400,
        "Expecting value/list but got object at item 1 of input list",
    ),
    "uneven columns": (
        "linear",
        '{"inputs": [[1, 2, 3], [1, 2]]}',
        400,
        "Encountered list at unexpected size: 2 at level: 1 expected size: 3",
    ),
    "uneven rows": (
        "linear",
        '{"instances": [[1, 2, 3], [1, 2]]}',
        400,
        "Failed to process element: 1 of 'instances' list. Error: " + nested("Expecting tensor size: 3 but got: 2"),
    ),
    "rows of other shape": (
        "types",
        '{"signature_name": "int32", "instances": [[1, 2], [[1, 2]]]}',
        400,
        "Failed to process element: 1 of 'instances' list. Error: " + nested("Expecting shape [2] but got: [1,2]"),
    ),
    "value for a list": (
        "linear",
        '{"inputs": [[1, 2, 3], 4]}',
        400,
        "JSON Value: 4 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    "list for a value": (
        "linear",
        '{"inputs": [[1, 2, [3]]]}',
        400,
        "Encountered list at unexpected level: 2 expected < 2",
    ),
    "text for a number": (
        "linear",
        '{"inputs": [[1, 2, "3"]]}',
        400,
        'JSON Value: "3" Type: String is not of expected type: float',
    ),
    "text in a row": (
        "linear",
        '{"instances": [{"x": [1, "b", 3]}]}',
        400,
        "Failed to process element: 0 key: x of 'instances' list. Error: "
        + nested('JSON Value: "b" Type: String is not of expected type: float'),
    ),
    "null": ("linear", '{"inputs": [[null, 2, 3]]}', 400, "JSON Value: null Type: Null is not of expected type: float"),
    "true": ("linear", '{"inputs": [[true, 2, 3]]}', 400, "JSON Value: true Type: True is not of expected type: float"),
    "object": (
        "linear",
        '{"inputs": [[{}, 2, 3]]}',
        400,
        "JSON Value: {} Type: Object is not of expected type: float",
    ),
    "fraction for an integer": (
        "types",
        '{"signature_name": "int32", "inputs": [1.5]}',
        400,
        "JSON Value: 1.5 Type: Number is not of expected type: int32",
    ),
    "too great for a byte": (
        "types",
        '{"signature_name": "uint8", "inputs": [256]}',
        400,
        "JSON Value: 256 Type: Number is not of expected type: uint8",
    ),
    "lossy integer": (
        "types",
        '{"signature_name": "float32", "inputs": [16777216]}',
        400,
        "Cannot convert JSON value: 16777216 to float without loss of precision.",
    ),
    "too great for a float": (
        "types",
        '{"signature_name": "float32", "inputs": [-1e39]}',
        400,
        "Cannot convert JSON value: -1e+39 to float without loss of precision.",
    ),
    "number for text": (
        "types",
        '{"signature_name": "string", "inputs": [1]}',
        400,
        "JSON Value: 1 Type: Number is not of expected type: string",
    ),
    "not base64": ("types", '{"signature_name": "string", "inputs": [{"b64": "*"}]}', 400, "Unable to base64 decode"),
    "more than base64": (
        "types",
        '{"signature_name": "string", "inputs": [{"b64": "", "c": 1}]}',
        400,
        'JSON Value: {\n    "b64": "",\n    "c": 1\n} not formatted correctly for base64 data',
    ),
    "half a surrogate pair": (
        "types",
        '{"signature_name": "string", "inputs": ["\\ud800"]}',
        400,
        "JSON Parse error: The surrogate pair in string is invalid.",
    ),
    "shape": ("linear", '{"inputs": [[1, 2]]}', 400, "Input x has shape [1,2], but the signature asks for [?,3]."),
    "scalar in rows": (
        "linear",
        '{"signature_name": "scalar", "instances": [1, 2]}',
        400,
        "Tensor name: mean has no shape information ",
    ),
    "too many elements": (
        "odd",
        '{"signature_name": "large", "inputs": 200001}',
        429,
        "200001 elements in the outputs; at most 200000 are served.",
    ),
}

PLAIN: dict[str, tuple[str, str, int, str]] = {
    "no name": ("GET", "/v1/models", 400, "Missing model name in request."),
    "status of nobody": ("GET", "/v1/models/nobody", 404, "Could not find any versions of model nobody"),
    "status of no version": ("GET", "/v1/models/linear/versions/9", 404, "Could not find version 9 of model linear"),
    "status by label": ("GET", "/v1/models/linear/labels/x", 400, "Unrecognized servable version label: x"),
    "metadata of nobody": ("GET", "/v1/models/nobody/metadata", 404, "Servable not found for request: Latest(nobody)"),
    "GET of predict": ("GET", "/v1/models/linear:predict", 400, "Malformed request: GET /v1/models/linear:predict"),
    "POST without method": ("POST", "/v1/models/linear", 400, "Malformed request: POST /v1/models/linear"),
    "unknown method": ("POST", "/v1/models/linear:train", 400, "Malformed request: POST /v1/models/linear:train"),
    "DELETE": ("DELETE", "/v1/models/linear", 400, "Malformed request: DELETE /v1/models/linear"),
    "version no number": (
        "POST",
        "/v1/models/linear/versions/a:predict",
        400,
        "Malformed request: POST /v1/models/linear/versions/a:predict",
    ),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_answers(rest, case: str) -> None:
    model, body, expected = ANSWERS[case]
    status, answer = rest.request("POST", f"/v1/models/{model}:predict", body.encode())
    assert (status, answer) == (200, json.dumps(expected, ensure_ascii=False).encode())


@pytest.mark.parametrize("case", ERRORS)
def test_errors(rest, case: str) -> None:
    model, body, status, message = ERRORS[case]
    assert rest.request("POST", f"/v1/models/{model}:predict", body.encode()) == (
        status,
        json.dumps({"error": message}, ensure_ascii=False).encode(),
    )


@pytest.mark.parametrize("case", PLAIN)
def test_paths(rest, case: str) -> None:
    method, path, status, message = PLAIN[case]
    assert rest.json(method, path) == (status, {"error": message})


def test_status(rest) -> None:
    good = {"state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    rows = [{"version": "3", **good}, {"version": "1", **good}]
    assert rest.json("GET", "/v1/models/linear") == (200, {"model_version_status": rows})
    assert rest.json("GET", "/v1/models/linear/versions/3") == (200, {"model_version_status": rows[:1]})
    assert rest.json("GET", "/v1/models/linear/labels/stable") == (200, {"model_version_status": rows[1:]})


def test_metadata(rest) -> None:
    status, found = rest.json("GET", "/v1/models/linear/metadata")
    assert status == 200
    assert found["model_spec"] == {"name": "linear", "signature_name": "", "version": "3"}
    signature = found["metadata"]["signature_def"]["signature_def"]["two"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    dims = {name: [d["size"] for d in info["tensor_shape"]["dim"]] for name, info in signature["inputs"].items()}
    assert dims == {"a": ["-1", "3"], "b": ["-1"]}
    assert {name: info["dtype"] for name, info in signature["outputs"].items()} == {
        "total": "DT_FLOAT",
        "twice": "DT_INT64",
    }


@pytest.mark.parametrize(("method", "word"), [("classify", "classification"), ("regress", "regression")])
def test_examples_are_for_other_signatures(rest, method: str, word: str) -> None:
    path = f"/v1/models/linear:{method}"
    wrong = f"Expected {word} signature method_name to be tensorflow/serving/{method}. Was: tensorflow/serving/predict"
    assert rest.json("POST", path, {"examples": [{"x": 1.0}]}) == (400, {"error": wrong})
    missing = "When method is classify, key 'examples' is expected and was not found"
    assert rest.json("POST", path, {"instances": [1]})[1]["error"].endswith(missing)


def test_numbers_that_are_no_json(rest) -> None:
    body = b'{"signature_name": "float32", "inputs": [NaN, Infinity, -Infinity]}'
    assert rest.request("POST", "/v1/models/types:predict", body) == (200, b'{"outputs": [NaN, Infinity, -Infinity]}')


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.2, "0.2"), (1 / 3, "0.333333343"), (9e6, "9e+06"), (3e-5, "3e-05"), (123456.0, "123456.0"), (-0.0, "-0.0")],
)
def test_floats_are_written_as_tensorflow_serving_does(rest, value: float, text: str) -> None:
    body = json.dumps({"signature_name": "float32", "inputs": value}).encode()
    assert rest.request("POST", "/v1/models/types:predict", body)[1] == b'{"outputs": %s}' % text.encode()


def test_bytes_that_are_no_text(rest) -> None:
    raw = bytes(range(256))
    row = {"b64": base64.b64encode(raw).decode()}
    status, found = rest.json("POST", "/v1/models/types:predict", {"signature_name": "string", "inputs": [row]})
    assert (status, found) == (200, {"outputs": [row]})


def test_a_model_that_fails(rest) -> None:
    body = {"signature_name": "fails", "instances": [1.0]}
    status, found = rest.json("POST", "/v1/models/odd:predict", body)
    assert status == 400 and "x is not negative" in found["error"]
    assert not re.search(r"\.py|/(usr|work|home|root|tmp)/", found["error"]), "no path of this computer in an answer"


class TestEncodings:
    PATH = "/v1/models/linear:predict"
    BODY = json.dumps({"instances": ONES}).encode()

    def test_gzip(self, rest) -> None:
        headers = {"Content-Encoding": "gzip"}
        plain = rest.request("POST", self.PATH, self.BODY)
        assert rest.request("POST", self.PATH, gzip.compress(self.BODY), headers) == plain
        assert plain[0] == 200

    def test_a_bomb_is_refused(self, rest) -> None:
        bomb = gzip.compress(bytes(300 << 20), 9)  # 300 MiB in 300 kB; the limit of the fixture is 4 MiB
        status, answer = rest.request("POST", self.PATH, bomb, {"Content-Encoding": "gzip"})
        assert (status, json.loads(answer)["error"]) == (413, "The body has more than 4194304 bytes.")

    @pytest.mark.parametrize("body", [b"no gzip", gzip.compress(BODY)[:-5], gzip.compress(BODY) + b"more", b""])
    def test_damaged_gzip(self, rest, body: bytes) -> None:
        assert rest.request("POST", self.PATH, body, {"Content-Encoding": "gzip"})[0] == 400

    def test_other_encodings(self, rest) -> None:
        assert rest.request("POST", self.PATH, self.BODY, {"Content-Encoding": "br"})[0] == 415

    def test_a_large_body_is_refused(self, rest) -> None:
        assert rest.request("POST", self.PATH, b" " * (5 << 20))[0] == 413


MANY = 400_000
LATE_MISTAKES = {
    "a value among values": ("inputs", "1," * MANY + '"a"', "Type: String is not of expected type"),
    "a value among rows": ("instances", "1," * MANY + '"a"', f"Failed to process element: {MANY} of"),
    "a list among lists": ("inputs", "[1]," * (MANY // 2) + "[1,2]", "Encountered list at unexpected size: 2"),
    "a row among rows": ("instances", "[1]," * (MANY // 2) + "[1,2]", "Expecting tensor size: 1 but got: 2"),
    "a deep row": ("instances", "[1]," * (MANY // 2) + "[" * 40 + "]" * 40, "unexpected level: 32"),
}


@pytest.mark.parametrize("case", LATE_MISTAKES)
def test_a_mistake_at_the_end_is_found_in_time(rest, case: str) -> None:
    """Within the 20 s of a call, also on a busy computer: each value is looked at a few times, not each by itself."""
    key, values, message = LATE_MISTAKES[case]
    body = f'{{"signature_name": "int32", "{key}": [{values}]}}'.encode()
    status, answer = rest.request("POST", "/v1/models/types:predict", body)
    assert (status, message in json.loads(answer)["error"]) == (400, True), answer


def test_long_lists_of_mixed_strings(rest) -> None:
    """More than one chunk, plain and base64 by turns, come back in order."""
    texts = [f"{n}" if n % 7 else {"b64": base64.b64encode(b"%d" % n).decode()} for n in range(9000)]
    body = {"signature_name": "string", "inputs": [texts[:4500], texts[4500:]]}
    expected = [[f"{n}" for n in range(4500)], [f"{n}" for n in range(4500, 9000)]]
    assert rest.json("POST", "/v1/models/types:predict", body) == (200, {"outputs": expected})


def test_a_mel_spectrogram_comes_back_exactly(rest, rng) -> None:
    mel = rng.normal(-5, 3, (1, 1000, 80)).astype(np.float32)  # 5 s at 5 ms
    body = {"signature_name": "float32", "inputs": mel.tolist()}
    status, found = rest.json("POST", "/v1/models/types:predict", body)
    assert status == 200
    np.testing.assert_array_equal(np.array(found["outputs"], np.float32), mel)
    assert math.prod(mel.shape) == 80_000
