"""JSON of a client -> tensors, by the rules and with the messages of TensorFlow Serving (its util/json_tensor.cc).

Well-formed tensors take a fast way, level by level; where that finds anything odd, the slow way walks the values in
their order and tells the first mistake. It too takes whole chunks by the fast way, so that a mistake at the end of a
long list does not cost minutes.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import math
from itertools import chain
from typing import Any

import numpy as np

from avsc_tf.service.codes import CallError, Code, invalid
from avsc_tf.service.model_process.json_writing import shown

MAX_RANK = 32  # of NumPy's arrays
CHUNK = 4096  # values, or lists of them, that are looked at together
TYPE_NAMES = {dict: "Object", list: "Array", str: "String", int: "Number", float: "Number", type(None): "Null"}
INTEGERS: dict[str, Any] = {"int8": np.int8, "int16": np.int16, "int32": np.int32, "int64": np.int64}
INTEGERS |= {"uint8": np.uint8, "uint32": np.uint32, "uint64": np.uint64}
FLOATS: dict[str, Any] = {"float": np.float32, "double": np.float64}
WHOLE_NUMBERS = {"float": (1 << 24) - 1, "double": (1 << 53) - 1}  # greatest that each holds with all smaller ones
PARSE_ERRORS = {  # of Python's parser -> of RapidJSON
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Illegal trailing comma before end of object": "Missing a name for object member.",
    "Illegal trailing comma before end of array": "Invalid value.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Extra data": "The document root must not be followed by other values.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}


def parse(body: bytes) -> dict[str, Any]:
    """The object in a request's body. Raises CallError (INVALID_ARGUMENT)."""
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    try:
        document = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_first_of_each, parse_constant=_constant)
    except UnicodeDecodeError as error:
        raise invalid(f"JSON Parse error: Invalid encoding in string. at offset: {error.start}") from error
    except json.JSONDecodeError as error:
        raise invalid(f"JSON Parse error: {_reason(error)} at offset: {error.pos}") from error
    except RecursionError as error:
        raise invalid("JSON Parse error: Values are nested too deeply.") from error
    except ValueError as error:  # an integer of thousands of digits
        raise invalid("JSON Parse error: Number too big to be stored in double.") from error
    if not isinstance(document, dict):
        raise invalid(f"JSON Value: {shown(document)} Is not object")
    return document


def _first_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else dict(reversed(pairs))


class _Infinity(float):
    """Infinity that was written as such; 1e999 is a mistake."""


def _constant(name: str) -> float:
    return math.nan if name == "NaN" else _Infinity(name)


def _reason(error: json.JSONDecodeError) -> str:
    if error.msg == "Expecting ',' delimiter":
        inside = _innermost(error.doc, error.pos)
        return f"Missing a comma or {inside} after an {'array element' if inside == ']' else 'object member'}."
    if error.msg == "Expecting value" and not error.doc.strip(" \t\r\n"):
        return "The document is empty."
    message = next((ours for theirs, ours in PARSE_ERRORS.items() if error.msg.startswith(theirs)), None)
    return message or "Invalid value."


def _innermost(text: str, end: int) -> str:
    """The bracket that is to close what is open at `end`."""
    depth = 0
    quoted = False
    for place in range(end - 1, -1, -1):
        letter = text[place]
        if letter == '"':
            backslashes = place - len(text[:place].rstrip("\\")) if text[place - 1 : place] == "\\" else 0
            quoted ^= backslashes % 2 == 0
        elif not quoted and letter in "]}":
            depth += 1
        elif not quoted and letter in "[{":
            if depth == 0:
                return "]" if letter == "[" else "}"
            depth -= 1
    return "}"


def read_tensor(value: Any, dtype: str) -> np.ndarray:
    """A nested list or a plain value as an array; its shape follows from the first value at each level.

    Args:
        dtype: TensorFlow's name of it ("float", "string", ...).

    Raises:
        CallError: values of other types, lists of unequal lengths, a type that JSON cannot carry.
    """
    shape = dense_shape(value)
    array = _quickly(value, shape, dtype)
    if array is None:
        counted = _Reader(shape, dtype)
        counted.fill(value, 0)
        array = _slow_array(counted.values, dtype)
    return array.reshape(shape)


def read_alike(values: list[Any], dtype: str) -> np.ndarray | None:
    """Values of one shape and type as an array, the first dimension over them; None where they are not that."""
    try:
        shape = dense_shape(values)
    except CallError:
        return None
    array = _quickly(values, shape, dtype)
    return None if array is None else array.reshape(shape)


def _quickly(value: Any, shape: list[int], dtype: str) -> np.ndarray | None:
    leaves = _flat(value, shape)
    return None if leaves is None else _array(leaves, dtype)


def dense_shape(value: Any) -> list[int]:
    """Lengths of the first list at each level."""
    shape: list[int] = []
    while isinstance(value, list):
        if len(shape) == MAX_RANK:
            raise invalid(f"Encountered list at unexpected level: {MAX_RANK} expected < {MAX_RANK}")
        shape.append(len(value))
        if not value:
            break
        value = value[0]
    return shape


def _flat(value: Any, shape: list[int]) -> list[Any] | None:
    """All values in order, or None where lists are not of `shape`."""
    level: list[Any] = [value]
    for length in shape:
        if not all(type(item) is list and len(item) == length for item in level):
            return None
        level = list(chain.from_iterable(level))
    return None if any(type(item) is list for item in level) else level


def _array(leaves: list[Any], dtype: str) -> np.ndarray | None:
    """Values of one permitted kind as an array; None: something is to be looked at one by one."""
    kinds = set(map(type, leaves))
    if dtype in FLOATS and kinds <= {int, float}:
        return _floats(leaves, kinds, dtype)
    if dtype in INTEGERS and kinds <= {int}:
        limits = np.iinfo(INTEGERS[dtype])
        within = not leaves or (min(leaves) >= limits.min and max(leaves) <= limits.max)
        return np.array(leaves, INTEGERS[dtype]) if within else None
    if dtype == "bool" and kinds <= {bool}:
        return np.array(leaves, bool)
    if dtype == "string" and kinds <= {str}:
        with contextlib.suppress(UnicodeEncodeError):
            return _slow_array([text.encode() for text in leaves], dtype)
    return None


def _floats(leaves: list[Any], kinds: set[type], dtype: str) -> np.ndarray | None:
    if int in kinds and max(abs(x) for x in leaves if type(x) is int) > WHOLE_NUMBERS[dtype]:
        return None
    doubles = np.array(leaves, np.float64)
    if np.isinf(doubles).any():
        return None
    if dtype == "float" and (np.abs(doubles) > np.finfo(np.float32).max).any():
        return None
    return doubles.astype(FLOATS[dtype])


def _slow_array(values: list[Any], dtype: str) -> np.ndarray:
    if dtype == "string":
        array = np.empty(len(values), object)
        array[:] = values
        return array
    return np.array(values, FLOATS.get(dtype) or INTEGERS.get(dtype) or bool)


class _Reader:
    """Walks values in their order; the first that does not fit is told."""

    def __init__(self, shape: list[int], dtype: str) -> None:
        self.shape = shape
        self.dtype = dtype
        self.values: list[Any] = []

    def fill(self, value: Any, level: int) -> None:
        rank = len(self.shape)
        if not isinstance(value, list):
            if level != rank:
                raise invalid(
                    f"JSON Value: {shown(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                    f"Expected at level: {rank}"
                )
            self.values.append(_leaf(value, self.dtype))
            return
        if level >= rank:
            raise invalid(f"Encountered list at unexpected level: {level} expected < {rank}")
        if len(value) != self.shape[level]:
            raise invalid(
                f"Encountered list at unexpected size: {len(value)} at level: {level} "
                f"expected size: {self.shape[level]}"
            )
        inner = self.shape[level + 1 :]
        for start in range(0, len(value), CHUNK):
            chunk = value[start : start + CHUNK]
            array = _quickly(chunk, [len(chunk), *inner], self.dtype)
            if array is not None:
                self.values.extend(array.tolist())
            else:
                for item in chunk:
                    self.fill(item, level + 1)


def _leaf(value: Any, dtype: str) -> Any:
    kind = type(value)
    if dtype == "string" and kind is dict:
        return _base64(value)
    if dtype == "string" and kind is str:
        return _utf8(value)
    if dtype in FLOATS and kind is not dict and isinstance(value, int | float) and kind is not bool:
        _check_decimal(value, dtype)
        return float(value)
    if dtype in INTEGERS and kind is int and np.iinfo(INTEGERS[dtype]).min <= value <= np.iinfo(INTEGERS[dtype]).max:
        return value
    if dtype == "bool" and kind is bool:
        return value
    if dtype not in FLOATS and dtype not in INTEGERS and dtype not in ("bool", "string"):
        raise CallError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {shown(value)} to type: {dtype}")
    name = str(value) if kind is bool else TYPE_NAMES.get(kind, "Number")
    raise invalid(f"JSON Value: {shown(value)} Type: {name} is not of expected type: {dtype}")


def _check_decimal(value: float, dtype: str) -> None:
    if type(value) is int and -(1 << 63) <= value < 1 << 64:
        lossless = abs(value) <= WHOLE_NUMBERS[dtype]
    elif type(value) is float and math.isinf(value):
        raise invalid("JSON Parse error: Number too big to be stored in double.")
    else:
        greatest = float(np.finfo(FLOATS[dtype]).max)
        lossless = isinstance(value, _Infinity) or math.isnan(value) or abs(value) <= greatest
    if not lossless:
        raise invalid(f"Cannot convert JSON value: {shown(value)} to {dtype} without loss of precision.")


def is_base64(value: Any) -> bool:
    """Whether it is {"b64": "..."} and nothing more."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def _base64(value: dict[str, Any]) -> bytes:
    if not is_base64(value):
        raise invalid(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = value["b64"].rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid("Unable to base64 decode") from error


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise invalid("JSON Parse error: The surrogate pair in string is invalid.") from error
