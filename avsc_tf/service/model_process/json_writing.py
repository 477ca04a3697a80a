"""Tensors -> JSON of an answer, numbers written as TensorFlow Serving does (its util/json_tensor.cc).

A float has six digits where those give the same number again, else nine (a double: 17); whole ones end in ".0";
NaN, Infinity and -Infinity stand bare, which is not JSON by RFC 8259 but what its clients read.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from avsc_tf.service.codes import invalid

SHOWN_CHARACTERS = 1000  # of a value in an error
SHOWN_DEPTH = 40
DIGITS = {"float": 9, "half": 5, "bfloat16": 4, "double": 17}
INTEGERS = {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}


def row_answer(outputs: Mapping[str, np.ndarray], dtypes: Mapping[str, str]) -> bytes:
    """`predictions`: a list over the first dimension; with several outputs of objects. Raises CallError."""
    size = -1
    for name, array in outputs.items():
        if array.ndim == 0:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if size not in (-1, len(array)):
            raise invalid(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {size}")
        size = len(array)
    columns = {name: _parts(array, dtypes[name], name, 1) for name, array in outputs.items()}
    if len(columns) == 1:
        (rows,) = columns.values()
    else:
        keys = [json.dumps(name) for name in columns]
        rows = [
            "{" + ", ".join(f"{key}: {text}" for key, text in zip(keys, row, strict=True)) + "}"
            for row in zip(*columns.values(), strict=True)
        ]
    return ('{"predictions": [' + ", ".join(rows) + "]}").encode()


def column_answer(outputs: Mapping[str, np.ndarray], dtypes: Mapping[str, str]) -> bytes:
    """`outputs`: the tensor, or an object of them where there are several. Raises CallError."""
    texts = {name: _parts(array, dtypes[name], name, 0)[0] for name, array in outputs.items()}
    if len(texts) == 1:
        (content,) = texts.values()
    else:
        content = "{" + ", ".join(f"{json.dumps(name)}: {text}" for name, text in texts.items()) + "}"
    return ('{"outputs": ' + content + "}").encode()


def _parts(array: np.ndarray, dtype: str, name: str, levels: int) -> list[str]:
    """Text of each part of an array, cut at its first `levels` dimensions."""
    texts = _values(array, dtype, as_bytes=name.endswith("_bytes"))
    for level in range(array.ndim - 1, levels - 1, -1):
        length = array.shape[level]
        count = math.prod(array.shape[:level])
        texts = ["[" + ", ".join(texts[i * length : (i + 1) * length]) + "]" for i in range(count)]
    return texts


def _values(array: np.ndarray, dtype: str, *, as_bytes: bool) -> list[str]:
    if dtype in DIGITS:
        return decimals(array, DIGITS[dtype])
    if dtype in INTEGERS:
        return [str(number) for number in array.ravel().tolist()]
    if dtype == "bool":
        return ["true" if value else "false" for value in array.ravel().tolist()]
    if dtype == "string":
        return [_string(value, as_bytes=as_bytes) for value in array.ravel().tolist()]
    raise invalid(f"Failed to write JSON value for tensor type: {dtype}")


def _string(value: bytes | str, *, as_bytes: bool) -> str:
    raw = value.encode() if isinstance(value, str) else value
    if not as_bytes:
        try:
            return json.dumps(raw.decode(), ensure_ascii=False)
        except UnicodeDecodeError:
            pass  # bytes after all: TensorFlow Serving would write them as they are, which no client could read
    return json.dumps({"b64": base64.b64encode(raw).decode()})


def decimals(array: np.ndarray, digits: int) -> list[str]:
    """Each number in six digits, or in `digits` where six are not enough to get it back."""
    flat = array.ravel()
    doubles = flat.astype(np.float64)
    numbers = doubles.tolist()
    texts = _formatted("%.6g", numbers)
    with np.errstate(over="ignore"):
        again = np.array(texts, np.float64).astype(flat.dtype) if texts else flat
    odd = np.flatnonzero((again != flat) | ~np.isfinite(doubles)).tolist()
    for place, text in zip(odd, _formatted(f"%.{digits}g", [numbers[i] for i in odd]), strict=True):
        texts[place] = text
    return [text if "." in text or "e" in text else _whole(text) for text in texts]


def _formatted(pattern: str, numbers: list[float]) -> list[str]:
    return ((pattern + "\n") * len(numbers) % tuple(numbers)).split("\n")[:-1]


def _whole(text: str) -> str:
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text) or text + ".0"


def shown(value: Any) -> str:
    """A JSON value in an error, laid out as RapidJSON does; a long one is cut."""
    out: list[str] = []
    _show(value, 0, out)
    text = "".join(out)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


def _show(value: Any, depth: int, out: list[str]) -> None:
    if len(out) > SHOWN_CHARACTERS or depth > SHOWN_DEPTH:
        out.append("...")
    elif isinstance(value, dict | list) and value:
        opening, closing = ("{", "}") if isinstance(value, dict) else ("[", "]")
        items = value.items() if isinstance(value, dict) else ((None, item) for item in value)
        out.append(opening)
        for number, (key, item) in enumerate(items):
            if len(out) > SHOWN_CHARACTERS:
                break
            out.append(("," if number else "") + "\n" + "    " * (depth + 1))
            if key is not None:
                out.append(_short(key) + ": ")
            _show(item, depth + 1, out)
        out.append("\n" + "    " * depth + closing)
    elif isinstance(value, float):
        out.append(decimals(np.array(value), 17)[0])
    else:
        out.append(_short(value))


def _short(value: Any) -> str:
    cut = value[: SHOWN_CHARACTERS + 1] if isinstance(value, str) else value
    return json.dumps(cut, ensure_ascii=False).encode(errors="replace").decode()
