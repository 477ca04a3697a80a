"""What the graph of a SavedModel may do: compute. TensorFlow would also run ReadFile, WriteFile or Python for it.

Every operation that a signature, the initialiser or the restoring of variables can reach must be TensorFlow's own and
either have no state and not be in `REFUSED`, or be in `WITH_STATE`. Restoring also reads the model's own variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tensorflow.python.framework import op_def_registry

from avsc_tf.core.errors import BundleError

WITH_STATE = re.compile(
    "VarHandleOp|(Read|Assign|AssignAdd|AssignSub)VariableOp|VarIsInitializedOp|VariableShape|ResourceGather(Nd)?"
    "|DisableCopyOnRead|StatefulPartitionedCall|While|If|Case|Assert|CheckNumericsV2|Timestamp|CudnnRNN(V[23])?"
    "|Random(StandardNormal|Uniform|UniformInt|Shuffle|Gamma|PoissonV2)|TruncatedNormal|Multinomial"
)
REFUSED = re.compile(
    "ReadFile|MatchingFiles|InitializeTableFromTextFile|GenerateVocabRemapping|DecodeProtoV2|EncodeProto"  # files
    "|Reader.*|.*Dataset.*|.*Iterator.*|ShardedFilename|ShardedFilespec"
    "|PyFuncStateless|TRTEngineOp|TfLiteSubgraphExecute|MlirPassthroughOp|RemoteFusedGraphExecute"  # other code
    "|Xla.*|TPU.*|Tpu.*|DTensor.*|BatchFunction|Abort|Debug.*|_.*"
)


def check_graph(meta_graph: Any) -> None:
    """Raise BundleError for a meta graph that may do more than compute; it names the node and its operation."""
    saver, collections = meta_graph.saver_def, meta_graph.collection_def
    nodes = {node.name: node for node in meta_graph.graph_def.node}
    functions = {function.signature.name: function for function in meta_graph.graph_def.library.function}
    tensors = [t.name for s in meta_graph.signature_def.values() for t in (*s.inputs.values(), *s.outputs.values())]
    tensors += [name for key in collections if key.endswith("_op") for name in collections[key].node_list.value]
    bodies = []
    if restoring := nodes.get(node_name(saver.restore_op_name)):  # calls (file, variables) -> RestoreV2, assignments
        tensors += restoring.input
        body = functions.get(restoring.attr["f"].func.name)
        is_own = [node_name(name) for name in restoring.input[:1]] == [node_name(saver.filename_tensor_name)]
        if restoring.op != "StatefulPartitionedCall" or body is None or not is_own:
            raise BundleError(f"node {restoring.name}: restores another file than the model's own variables.")
        file = body.signature.input_arg[0].name
        bodies = [node for node in body.node_def if node.op != "RestoreV2" or node.input[0] != file]
    for node in _reached(nodes, functions, tensors, bodies):
        known = op_def_registry.get(node.op)
        if known is None:
            is_good = node.op in functions
        else:
            is_good = bool(WITH_STATE.fullmatch(node.op)) if known.is_stateful else not REFUSED.fullmatch(node.op)
        if not is_good:
            raise BundleError(f"node {node.name}: {node.op} is refused: a served model may only compute.")


def node_name(tensor: str) -> str:
    """`scope/name` of "^scope/name" or "scope/name:0"."""
    return tensor.removeprefix("^").split(":")[0]


def _reached(nodes: dict[str, Any], functions: dict[str, Any], tensors: list[str], bodies: list) -> Iterator[Any]:
    """Nodes that computing tensors, and the nodes `bodies` of a function, may run; emptied on the way."""
    seen_nodes: set[str] = set()
    seen_functions: set[str] = set()
    while tensors or bodies:
        if bodies:
            node = bodies.pop()  # all nodes of its function are looked at
        elif (name := node_name(tensors.pop())) in nodes and name not in seen_nodes:
            seen_nodes.add(name)
            node = nodes[name]
            tensors += node.input
        else:
            continue
        yield node
        for name in ({node.op, *_called(node.attr)} & functions.keys()) - seen_functions:
            seen_functions.add(name)
            bodies += functions[name].node_def


def _called(attributes: Any) -> Iterator[str]:
    for value in attributes.values():
        for function in (value.func, *value.list.func):
            yield function.name
            yield from _called(function.attr)  # handed on to the function
