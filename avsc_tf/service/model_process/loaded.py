"""One SavedModel, checked, loaded and called: what TensorFlow Serving does with it, a session and its signatures."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session

from avsc_tf.errors import BundleError
from avsc_tf.service.codes import CallError, Code, invalid
from avsc_tf.service.model_limits import ModelLimits
from avsc_tf.service.model_process.folders import GRAPH_FILE
from avsc_tf.service.model_process.graph_rules import check_graph

DEFAULT_SIGNATURE = "serving_default"
METHODS = [f"tensorflow/serving/{name}" for name in ("predict", "classify", "regress")]
TAG = "serve"


class LoadedModel:
    """A version of a model in memory.

    Args:
        folder: with saved_model.pb and variables/.

    Raises:
        BundleError: no SavedModel, one that is too large or may do more than compute, or that does not load.
    """

    def __init__(self, name: str, version: int, folder: Path, limits: ModelLimits) -> None:
        self.name = name
        self.version = version
        self._limits = limits
        _check_sizes(folder, limits)
        _check_operations(folder / GRAPH_FILE)
        graph = tf.Graph()
        self._session = tf.compat.v1.Session(graph=graph)
        try:
            with graph.as_default():
                meta_graph = tf.compat.v1.saved_model.loader.load(self._session, [TAG], str(folder))
        except (tf.errors.OpError, ValueError, OSError, RuntimeError) as error:
            raise BundleError(f"{folder}: TensorFlow cannot load it: {_first_line(error)}") from error
        self.signatures: dict[str, Any] = dict(meta_graph.signature_def)
        graph.finalize()

    def signature(self, name: str) -> Any | None:
        """A signature by name ("": the default one), or None."""
        return self.signatures.get(name or DEFAULT_SIGNATURE)

    def run(
        self, signature: Any, inputs: Mapping[str, np.ndarray], outputs: Sequence[str], seconds: float
    ) -> dict[str, np.ndarray]:
        """Outputs of a signature, by name.

        Args:
            inputs: one array for each input of the signature.
            outputs: names of those wanted.
            seconds: until the computation is interrupted.

        Raises:
            CallError: shapes that do not fit, too many elements, what TensorFlow says.
        """
        if signature.method_name not in METHODS:  # the initialiser's, which is no computation for a client
            expected = f"{{{', '.join(METHODS)}}}"
            raise CallError(
                Code.FAILED_PRECONDITION,
                f"Expected prediction signature method_name to be one of {expected}. Was: {signature.method_name}",
            )
        feeds = {signature.inputs[name].name: self._fitting(name, signature, array) for name, array in inputs.items()}
        self._check_elements(list(inputs.values()), "inputs")
        options = tf.compat.v1.RunOptions(timeout_in_ms=max(1, round(1000 * seconds)))
        fetches = {name: signature.outputs[name].name for name in outputs}
        try:
            found = self._session.run(fetches, feeds, options=options)
        except tf.errors.OpError as error:
            raise _call_error(error) from error
        except (ValueError, TypeError, OverflowError) as error:
            raise invalid(_first_line(error)) from error
        except MemoryError as error:
            raise CallError(Code.RESOURCE_EXHAUSTED, "Not enough memory for this call.") from error
        arrays = {
            name: np.asarray(value, object if isinstance(value, bytes) else None) for name, value in found.items()
        }
        self._check_elements(list(arrays.values()), "outputs")
        return arrays

    def _fitting(self, name: str, signature: Any, array: np.ndarray) -> np.ndarray:
        info = signature.inputs[name]
        expected = tf.TensorShape(info.tensor_shape)
        if not expected.is_compatible_with(array.shape):
            wanted = ",".join("?" if d is None else str(d) for d in expected.as_list())
            given = ",".join(map(str, array.shape))
            raise invalid(f"Input {name} has shape [{given}], but the signature asks for [{wanted}].")
        return array

    def completed(self, name: str, signature: Any, array: np.ndarray) -> np.ndarray:
        """JSON has no lengths behind an empty list: `[[]]` for [?,?,80] means [1,0,80]."""
        expected = tf.TensorShape(signature.inputs[name].tensor_shape)
        if array.size or expected.rank is None or not 0 < array.ndim < expected.rank or array.shape[-1] != 0:
            return array
        return array.reshape((*array.shape, *(size or 0 for size in expected.as_list()[array.ndim :])))

    def _check_elements(self, arrays: Sequence[np.ndarray], what: str) -> None:
        count = sum(math.prod(array.shape) for array in arrays)
        if count > self._limits.elements:
            raise CallError(
                Code.RESOURCE_EXHAUSTED, f"{count} elements in the {what}; at most {self._limits.elements} are served."
            )

    def close(self) -> None:
        self._session.close()


def type_name(info: Any) -> str:
    """TensorFlow's short name of a tensor's type: "float", "string", ... as its messages have it."""
    return {"float32": "float", "float64": "double", "float16": "half"}.get(
        (name := tf.as_dtype(info.dtype).name), name
    )


def _check_sizes(folder: Path, limits: ModelLimits) -> None:
    graph = folder / GRAPH_FILE
    if not graph.is_file():
        raise BundleError(f"{folder}: no {GRAPH_FILE}.")
    if graph.stat().st_size > limits.graph_bytes:
        raise BundleError(f"{graph}: {graph.stat().st_size} bytes; at most {limits.graph_bytes} are read.")
    total = sum(path.stat().st_size for path in (folder / "variables").glob("*") if path.is_file())
    if total > limits.variables_bytes:
        raise BundleError(f"{folder}/variables: {total} bytes; at most {limits.variables_bytes} are read.")


def _check_operations(path: Path) -> None:
    from google.protobuf.message import DecodeError

    try:
        model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    except DecodeError as error:
        raise BundleError(f"{path}: not a SavedModel: {error}") from error
    fitting = [graph for graph in model.meta_graphs if set(graph.meta_info_def.tags) == {TAG}]
    if not fitting:
        raise BundleError(f"{path}: no graph tagged {TAG!r} in it.")
    operations = known_operations()
    for graph in model.meta_graphs:
        try:
            check_graph(graph, operations)
        except BundleError as error:
            raise BundleError(f"{path}: {error}") from error


def known_operations() -> dict[str, bool]:
    """TensorFlow's own operations, and whether each has state."""
    listed = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return {op.name: op.is_stateful for op in listed.op}


def _call_error(error: Any) -> CallError:
    code = Code(error.error_code) if error.error_code in Code._value2member_map_ else Code.UNKNOWN
    message = str(error.message).removeprefix("Graph execution error:\n\n").split("\n\nOriginal stack trace")[0]
    if code == Code.DEADLINE_EXCEEDED:
        message = "The computation took too long."
    return CallError(code, re.sub(r" *\(defined at [^)]*\)", "", message).strip())


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
