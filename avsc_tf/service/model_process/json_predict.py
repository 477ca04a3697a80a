"""Predict over JSON: a request's `instances` or `inputs` -> named tensors, by TensorFlow Serving's rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from avsc_tf.service.codes import CallError, invalid
from avsc_tf.service.model_process.json_reading import CHUNK, is_base64, read_alike, read_tensor
from avsc_tf.service.model_process.json_writing import shown


def signature_name(document: dict[str, Any]) -> str:
    """The signature asked for, "" where none is."""
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {shown(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name


def named_tensors(document: dict[str, Any], dtypes: Mapping[str, str]) -> tuple[dict[str, np.ndarray], bool]:
    """Tensors of a request, and whether they came in rows (`instances`).

    Args:
        dtypes: TensorFlow's name of the type of each input of the signature.

    Raises:
        CallError: neither or both forms, names or values that do not fit the signature.
    """
    if "instances" in document and "inputs" in document:
        raise invalid(
            f"JSON Value: {shown(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if "instances" in document:
        instances = document["instances"]
        if not isinstance(instances, list):
            raise invalid(f"JSON Value: {shown(document)} Excepting 'instances' to be an list/array")
        if not instances:
            raise invalid(f"JSON Value: {shown(document)} No values in 'instances' array")
        return _rows(instances, dtypes), True
    if "inputs" in document:
        return _columns(document["inputs"], dtypes), False
    raise invalid("Missing 'inputs' or 'instances' key")


def _rows(instances: list[Any], dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not isinstance(instances[0], dict) and len(dtypes) > 1:
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    if _is_object(instances[0]):
        return _rows_of_objects(instances, dtypes)
    for number, element in enumerate(instances):
        if _is_object(element):
            raise invalid(f"Expecting value/list but got object at item {number} of input list")
    (name,) = list(dtypes)[:1]
    return {name: _stacked(instances, dtypes[name], "Failed to process element: {} of 'instances' list. Error: {}")}


def _rows_of_objects(instances: list[Any], dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    for number, element in enumerate(instances):
        if not _is_object(element):
            raise invalid(f"Expecting object but got list at item {number} of input list")
        for name in element:
            if name not in dtypes:
                reason = f"INVALID_ARGUMENT: JSON object: does not have named input: {name}"
                raise invalid(f"Failed to process element: {number} key: {name} of 'instances' list. Error: {reason}")
        if len(element) != len(dtypes):
            raise invalid(
                f"Failed to process element: {number} of 'instances' list. JSON object: {shown(element)} keys must be "
                f"equal to: {','.join(sorted(dtypes))}"
            )
    template = "Failed to process element: {{}} key: {} of 'instances' list. Error: {{}}"
    return {
        name: _stacked([element[name] for element in instances], dtype, template.format(_braced(name)))
        for name, dtype in dtypes.items()
    }


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and not is_base64(value)


def _braced(name: str) -> str:
    return name.replace("{", "{{").replace("}", "}}")


def _stacked(elements: list[Any], dtype: str, template: str) -> np.ndarray:
    """Elements of one shape as a tensor, the first dimension over them."""
    try:
        return read_tensor(elements, dtype)
    except CallError:
        return _one_by_one(elements, dtype, template)


def _one_by_one(elements: list[Any], dtype: str, template: str) -> np.ndarray:
    """The same, slowly: tells the first element that does not fit."""
    first: np.ndarray | None = None

    def read(number: int, element: Any) -> np.ndarray:
        try:
            array = read_tensor(element, dtype)
            if first is not None and array.size != first.size:
                raise invalid(f"Expecting tensor size: {first.size} but got: {array.size}")
            if first is not None and array.shape != first.shape:
                raise invalid(f"Expecting shape {_shape(first)} but got: {_shape(array)}")
        except CallError as error:
            raise CallError(error.code, template.format(number, f"{error.code.name}: {error.message}")) from error
        return array

    first = read(0, elements[0])
    parts = []
    for start in range(0, len(elements), CHUNK):
        chunk = elements[start : start + CHUNK]
        part = read_alike(chunk, dtype)
        if part is None or part.shape[1:] != first.shape:
            part = np.stack([read(start + k, element) for k, element in enumerate(chunk)])
        parts.append(part)
    return np.concatenate(parts)


def _shape(array: np.ndarray) -> str:
    return "[" + ",".join(map(str, array.shape)) + "]"


def _columns(inputs: Any, dtypes: Mapping[str, str]) -> dict[str, np.ndarray]:
    if not _is_object(inputs):
        if len(dtypes) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        (name,) = dtypes
        return {name: read_tensor(inputs, dtypes[name])}
    for name in dtypes:
        if name not in inputs:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: read_tensor(inputs[name], dtype) for name, dtype in dtypes.items()}
