"""The calls that models answer: Predict as JSON and as gRPC messages, metadata, status."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from avsc_tf.service.codes import CallError, Code, invalid
from avsc_tf.service.model_process import json_predict, messages
from avsc_tf.service.model_process.descriptors import descriptor_set
from avsc_tf.service.model_process.json_reading import parse
from avsc_tf.service.model_process.json_writing import column_answer, row_answer
from avsc_tf.service.model_process.loaded import DEFAULT_SIGNATURE, LoadedModel, type_name
from avsc_tf.service.model_process.served import Served

METHODS = {"classify": "classification", "regress": "regression"}


class Calls:
    """Methods by name, each from a request's header and body to the body of its answer. Raises CallError."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._limits = served.limits
        self._methods: dict[str, Callable[[dict[str, Any], bytes, float], bytes]] = {
            "json_predict": self._json_predict,
            "json_metadata": self._json_metadata,
            "json_classify": self._json_examples,
            "json_regress": self._json_examples,
            "Predict": self._predict,
            "GetModelMetadata": self._metadata,
            "GetModelStatus": self._status,
            "Classify": self._examples,
            "Regress": self._examples,
            "descriptors": lambda header, body, deadline: descriptor_set(),
        }

    def answer(self, header: dict[str, Any], body: bytes, deadline: float) -> bytes:
        """Body of the answer to a request.

        Args:
            deadline: by `time.monotonic`, after which nobody waits.
        """
        if time.monotonic() >= deadline:
            raise CallError(Code.DEADLINE_EXCEEDED, "The deadline passed before a computation could start.")
        answer = self._methods[header["method"]](header, body, deadline)
        if len(answer) > self._limits.body_bytes:
            raise CallError(
                Code.RESOURCE_EXHAUSTED,
                f"The answer has {len(answer)} bytes; at most {self._limits.body_bytes} are sent.",
            )
        return answer

    def _json_predict(self, header: dict[str, Any], body: bytes, deadline: float) -> bytes:
        document = parse(body)
        name = json_predict.signature_name(document)
        model = self._served.model(header["name"], header.get("version"), header.get("label"))
        signature = model.signature(name)
        if signature is None:
            raise invalid(f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def')
        if not signature.inputs:
            raise invalid(f"Failed to get input map for signature: {name or 'DEFAULT'}")
        dtypes = {key: type_name(info) for key, info in sorted(signature.inputs.items())}
        inputs, in_rows = json_predict.named_tensors(document, dtypes)
        outputs = sorted(signature.outputs)
        if not outputs:
            raise invalid("Cannot convert empty tensor map to JSON")
        del document, body
        inputs = {key: model.completed(key, signature, array) for key, array in inputs.items()}
        found = model.run(signature, inputs, outputs, deadline - time.monotonic())
        types = {key: type_name(signature.outputs[key]) for key in outputs}
        return (row_answer if in_rows else column_answer)(found, types)

    def _json_examples(self, header: dict[str, Any], body: bytes, deadline: float) -> bytes:
        """Classify and Regress are for signatures of TensorFlow 1, which take serialised tf.Examples."""
        method = header["method"].removeprefix("json_")
        document = parse(body)
        name = json_predict.signature_name(document)
        examples = document.get("examples")
        if "examples" not in document:
            raise invalid("When method is classify, key 'examples' is expected and was not found")
        if not isinstance(examples, list):
            raise invalid("Expecting 'examples' value to be an list/array")
        if not examples:
            raise invalid("'examples' value is an empty array")
        model = self._served.model(header["name"], header.get("version"), header.get("label"))
        raise _no_examples(model, name, method)

    def _examples(self, header: dict[str, Any], body: bytes, deadline: float) -> bytes:
        kinds = {"Classify": classification_pb2.ClassificationRequest, "Regress": regression_pb2.RegressionRequest}
        request = messages.parsed(kinds[header["method"]], body)
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        model = self._asked(request.model_spec)
        raise _no_examples(model, request.model_spec.signature_name, header["method"].lower())

    def _json_metadata(self, header: dict[str, Any], body: bytes, deadline: float) -> bytes:
        model = self._served.model(header["name"], header.get("version"), header.get("label"))
        spec = model_pb2.ModelSpec(name=model.name)
        spec.version.value = model.version
        signatures = f'{{"signature_def": {_json(_signatures(model))}}}'
        return f'{{\n"model_spec":{_json(spec)},\n"metadata": {signatures}\n}}\n'.encode()

    def _predict(self, header: dict[str, Any], body: bytes, deadline: float) -> bytes:
        request = messages.parsed(predict_pb2.PredictRequest, body)
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        model = self._asked(request.model_spec)
        name = request.model_spec.signature_name or DEFAULT_SIGNATURE
        signature = model.signature(name)
        if signature is None:
            raise CallError(Code.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        inputs = self._message_inputs(request, signature)
        outputs = _wanted(list(request.output_filter), signature)
        found = model.run(signature, inputs, outputs, deadline - time.monotonic())
        response = predict_pb2.PredictResponse()
        response.model_spec.name = model.name
        response.model_spec.version.value = model.version
        response.model_spec.signature_name = name
        for key, array in found.items():
            messages.write_tensor(array, signature.outputs[key].dtype, response.outputs[key])
        return response.SerializeToString()

    def _message_inputs(self, request: Any, signature: Any) -> dict[str, np.ndarray]:
        given, known = set(request.inputs), set(signature.inputs)
        if given != known:
            raise invalid(
                f"input size does not match signature: {len(given)}!={len(known)} len({{{_names(given)}}}) != "
                f"len({{{_names(known)}}}). Sent extra: {{{_names(given - known)}}}. "
                f"Missing but required: {{{_names(known - given)}}}."
            )
        limit = self._limits.elements
        inputs = {}
        for key in sorted(known):
            dtype = tf.as_dtype(signature.inputs[key].dtype).name
            inputs[key] = messages.read_tensor(key, request.inputs[key], dtype, limit)
        return inputs

    def _metadata(self, header: dict[str, Any], body: bytes, deadline: float) -> bytes:
        request = messages.parsed(get_model_metadata_pb2.GetModelMetadataRequest, body)
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for field in request.metadata_field:
            if field != "signature_def":
                raise invalid(f"Metadata field {field} is not supported")
        model = self._asked(request.model_spec)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = model.name
        response.model_spec.version.value = model.version
        response.metadata["signature_def"].Pack(_signatures(model))
        return response.SerializeToString()

    def _status(self, header: dict[str, Any], body: bytes, deadline: float) -> bytes:
        request = messages.parsed(get_model_status_pb2.GetModelStatusRequest, body)
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        spec = request.model_spec
        number = spec.version.value if spec.HasField("version") else None
        response = get_model_status_pb2.GetModelStatusResponse()
        for state in self._served.states(spec.name, number, spec.version_label or None):
            row = response.model_version_status.add(version=state.version)
            row.state = get_model_status_pb2.ModelVersionStatus.State.Value(state.state)
            row.status.error_code = Code[state.error_code]
            row.status.error_message = state.error_message
        return response.SerializeToString()

    def _asked(self, spec: Any) -> LoadedModel:
        version = spec.version.value if spec.HasField("version") else None
        return self._served.model(spec.name, version, spec.version_label or None)


def _no_examples(model: LoadedModel, name: str, method: str) -> CallError:
    """Why a signature does not answer Classify or Regress."""
    signature = model.signature(name)
    if signature is None:
        return invalid(f"No signature was found with the name: {name or DEFAULT_SIGNATURE}")
    if signature.method_name != f"tensorflow/serving/{method}":
        return invalid(
            f"Expected {METHODS[method]} signature method_name to be tensorflow/serving/{method}. "
            f"Was: {signature.method_name}"
        )
    return CallError(Code.UNIMPLEMENTED, f"{method} is not served here: use predict.")


def _wanted(output_filter: list[str], signature: Any) -> list[str]:
    for number, name in enumerate(output_filter):
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{{{_names(set(signature.outputs))}}}."
            )
        if name in output_filter[:number]:
            raise invalid(f"duplicate output tensor alias: {name}")
    return output_filter or sorted(signature.outputs)


def _names(names: set[str]) -> str:
    return ",".join(sorted(names))


def _signatures(model: LoadedModel) -> Any:
    signatures = get_model_metadata_pb2.SignatureDefMap()
    for name, signature in model.signatures.items():
        signatures.signature_def[name].CopyFrom(signature)
    return signatures


def _json(message: Any) -> str:
    return json_format.MessageToJson(message, including_default_value_fields=True, preserving_proto_field_name=True)
