"""TensorFlow Serving's protobuf messages <-> NumPy, with the sizes checked before any memory is taken."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from avsc_tf.service.codes import CallError, Code, invalid

BITS = {"float16": np.uint16, "bfloat16": np.uint16}  # in half_val as numbers of 16 bits
FIELDS = {
    "float32": "float_val",
    "float64": "double_val",
    "int64": "int64_val",
    "bool": "bool_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    **dict.fromkeys(("int32", "int16", "int8", "uint8", "uint16"), "int_val"),
}


def parsed(message_type: Any, body: bytes) -> Any:
    """A message of a client. Raises CallError."""
    try:
        return message_type.FromString(body)
    except DecodeError as error:
        raise invalid(f"The request is no {message_type.DESCRIPTOR.name}.") from error


def read_tensor(name: str, proto: Any, dtype: str, max_elements: int) -> np.ndarray:
    """Array of a TensorProto, from its content or its typed fields.

    Args:
        dtype: that the signature asks for, as NumPy calls it.

    Raises:
        CallError: another type, too many elements, fewer or more values than its shape has.
    """
    given = _dtype_name(proto.dtype)
    if given != dtype:
        raise invalid(f"Input {name} is {given}, but the signature asks for {dtype}.")
    dims = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(dims, default=0) < 0:
        raise invalid(f"tensor parsing error: {name}")
    if math.prod(dims) > max_elements:
        raise CallError(
            Code.RESOURCE_EXHAUSTED, f"{math.prod(dims)} elements in the inputs; at most {max_elements} are served."
        )
    try:
        array = tf.make_ndarray(proto)
    except (ValueError, TypeError) as error:
        raise invalid(f"tensor parsing error: {name}") from error
    if array.dtype == object:
        values = [_as_bytes(value) for value in array.ravel()]
        array = np.empty(array.shape, object)
        array.ravel()[:] = values
    return array


def _as_bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _dtype_name(number: int) -> str:
    try:
        return tf.as_dtype(number).name
    except TypeError:
        return "of an unknown type"


def write_tensor(array: np.ndarray, dtype: int, proto: Any) -> None:
    """Fill a TensorProto by its typed fields, as TensorFlow Serving answers."""
    proto.dtype = dtype
    for size in array.shape:
        proto.tensor_shape.dim.add().size = size
    name = tf.as_dtype(dtype).name
    if name == "string":
        proto.string_val.extend(_as_bytes(value) for value in array.ravel().tolist())
    elif name in BITS:
        proto.half_val.extend(np.ascontiguousarray(array).view(BITS[name]).ravel().tolist())
    elif name in FIELDS:
        getattr(proto, FIELDS[name]).extend(array.ravel().tolist())
    else:
        proto.tensor_content = np.ascontiguousarray(array).tobytes()
