"""The process that holds exported SavedModels: requests for predictions in, answers out, one at a time.

Started with one argument of JSON, `{"folders": [FOLDER, ...], "elements": ..., "memory_bytes": ...}`. Sends
`{"signatures": {...}}` for each folder or ends with `{"error": ...}`; then answers each call
`{"model": INDEX, "seconds": ..., "body": JSON}`, its body as the client sent it, by `{"status": ..., "body": JSON}`.
"""

from __future__ import annotations

import base64
import json
import resource
import sys
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.python.saved_model.loader_impl import parse_saved_model

from avsc_tf.core.errors import BundleError
from avsc_tf.service.model_check import check_graph
from avsc_tf.service.processes import LineChannel
from avsc_tf.service.refusals import RefusedError

PREDICT = "tensorflow/serving/predict"  # method of the signatures that can be called
STATUS = {"InvalidArgumentError": 400, "ResourceExhaustedError": 413, "DeadlineExceededError": 504}


class ServedModel:
    """The SavedModel of a folder. Raises BundleError: it may do more than compute, or TensorFlow cannot load it."""

    def __init__(self, folder: Path) -> None:
        self._session = tf.compat.v1.Session(graph=tf.Graph())
        try:
            for meta_graph in parse_saved_model(str(folder)).meta_graphs:
                check_graph(meta_graph)
            with self._session.graph.as_default():
                loaded = tf.compat.v1.saved_model.loader.load(self._session, ["serve"], str(folder))
        except (tf.errors.OpError, ValueError, OSError, RuntimeError) as error:
            raise BundleError(f"TensorFlow cannot load it: {str(error).strip().splitlines()[0]}") from error
        self.signatures = {name: s for name, s in loaded.signature_def.items() if s.method_name == PREDICT}

    def predict(self, body: str, seconds: float, elements: int) -> str:
        """JSON that answers a request's; interrupted after `seconds`. Raises RefusedError (also above `elements`)."""
        document = _parse(body)
        name = document.get("signature_name", "serving_default")
        if name not in list(self.signatures):
            raise RefusedError(400, f"no signature {str(name)[:50]}; there are {', '.join(sorted(self.signatures))}")
        signature = self.signatures[name]
        values = _named_values(document, sorted(signature.inputs))
        feeds = {info.name: to_array(key, values[key], info) for key, info in signature.inputs.items()}
        fetches = {key: info.name for key, info in sorted(signature.outputs.items())}
        options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, round(1000 * seconds)))
        try:
            outputs = self._session.run(fetches, feeds, options=options)
        except tf.errors.OpError as error:
            reason = error.message.removeprefix("Graph execution error:").strip().splitlines()[0]
            raise RefusedError(STATUS.get(type(error).__name__, 500), reason) from error
        if (count := sum(map(np.size, outputs.values()))) > elements:
            raise RefusedError(413, f"the outputs have {count} elements; at most {elements} are sent. Ask for less.")
        return _to_json(outputs, in_rows="instances" in document)


def _parse(body: str) -> dict[str, Any]:
    try:
        document = json.loads(body, object_hook=_decode_bytes)
    except (ValueError, TypeError, RecursionError) as error:
        raise RefusedError(400, f"the body is not JSON, or a b64 not base64: {error}") from error
    if not isinstance(document, dict) or ("instances" in document) == ("inputs" in document):
        raise RefusedError(400, 'the body must be an object with either "instances" or "inputs"')
    return document


def _decode_bytes(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["b64"], validate=True) if value.keys() == {"b64"} else value


def _encode_bytes(value: bytes) -> Any:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _named_values(document: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Value by input of the signature. A single input needs no name."""
    in_rows = "instances" in document
    rows = document["instances"] if in_rows else [document["inputs"]]
    if not isinstance(rows, list) or not rows:
        raise RefusedError(400, "instances must be a list of at least one row")
    rows = [row if isinstance(row, dict) else dict.fromkeys(names[:1], row) for row in rows]
    for number, row in enumerate(rows):
        if sorted(row) != names:
            place = f"instances[{number}]" if in_rows else "inputs"
            raise RefusedError(400, f"{place} must name {', '.join(names)}; it names {', '.join(row)[:200]}")
    return {name: [row[name] for row in rows] if in_rows else rows[0][name] for name in names}


def to_array(name: str, value: Any, info: Any) -> np.ndarray:
    """Nested lists as the array of the input `info`; `[[]]` for [?, ?, 80] means [1, 0, 80]. Raises RefusedError."""
    dtype, shape = tf.as_dtype(info.dtype), tf.TensorShape(info.tensor_shape)
    try:
        array = _to_texts(value) if dtype == tf.string else _to_numbers(value, dtype)
    except (ValueError, AttributeError) as error:  # NumPy's, or of `encode`
        raise RefusedError(400, f"input {name} needs values of type {dtype.name}, in lists of equal lengths") from error
    if not array.size and shape.rank is not None and 0 < array.ndim < shape.rank and not array.shape[-1]:
        array = array.reshape((*array.shape, *(length or 0 for length in shape.as_list()[array.ndim :])))
    if not shape.is_compatible_with(array.shape):
        raise RefusedError(400, f"input {name} has the shape {array.shape}; the signature asks for {shape}")
    return array


def _to_numbers(value: Any, dtype: Any) -> np.ndarray:
    given = np.asarray(value)
    if given.size and given.dtype.kind not in ("b" if dtype.is_bool else "iu" if dtype.is_integer else "iuf"):
        raise ValueError("values of another type")
    with np.errstate(over="ignore"):
        array = given.astype(dtype.as_numpy_dtype)
    if not np.all(array == given if dtype.is_integer else np.isfinite(array) | ~np.isfinite(given)):
        raise ValueError("a number out of range")
    return array


def _to_texts(value: Any) -> np.ndarray:
    array = np.array(value, object)
    flat = [item if isinstance(item, bytes) else item.encode() for item in array.ravel()]
    return np.array(flat, object).reshape(array.shape)


def _to_json(outputs: dict[str, Any], *, in_rows: bool) -> str:
    """Numbers with all digits, so that a float32 comes back to the bit. NaN and Infinity are written as such."""
    lists = {name: value if isinstance(value, bytes) else value.tolist() for name, value in outputs.items()}
    content: Any = lists if len(lists) > 1 else lists.popitem()[1]
    if in_rows and len({np.shape(value)[:1] for value in outputs.values()} | {()}) != 2:
        raise RefusedError(400, 'the outputs have no rows in common: send "inputs" in place of "instances"')
    if in_rows and len(lists) > 1:
        content = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    return json.dumps({"predictions" if in_rows else "outputs": content}, default=_encode_bytes)


def answer(model: ServedModel, call: dict[str, Any], elements: int) -> dict[str, Any]:
    """The message that answers a call, whatever goes wrong; `log` has what is our fault."""
    try:
        return {"status": 200, "body": model.predict(call["body"], call["seconds"], elements)}
    except RefusedError as error:
        status, message, log = error.status, str(error), ""
    except MemoryError:
        status, message, log = 413, "there is not enough memory for this call. Ask for less.", ""
    except Exception:
        status, message, log = 500, "the service is at fault; its log has the reason", traceback.format_exc()
    return {"status": status, "body": json.dumps({"error": message}), "log": log}


def main() -> None:
    """Load, then answer until standard input ends. Neither models nor crashes may write files."""
    channel, asked, models = LineChannel(), json.loads(sys.argv[1]), []
    for limit in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE):
        resource.setrlimit(limit, (0, 0))
    for folder in asked["folders"]:
        try:
            models.append(ServedModel(Path(folder)))
        except BundleError as error:
            return channel.say(error=str(error))
        options = {"preserving_proto_field_name": True, "including_default_value_fields": True}
        signatures = models[-1].signatures.items()
        channel.say(signatures={name: json_format.MessageToDict(s, **options) for name, s in signatures})
    used = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + asked["memory_bytes"], resource.RLIM_INFINITY))
    while True:
        call = channel.messages.get()
        channel.say(**answer(models[call["model"]], call, asked["elements"]))
