"""What a SavedModel's graph may do: compute. One that reads or writes files or calls Python is refused.

A SavedModel is a program, and TensorFlow runs it with all of TensorFlow's operations, among them ReadFile and
WriteFile. Every operation that a signature, the initialiser or the restoring of variables can reach must be one of
TensorFlow's own and either have no state and be none of `REFUSED`, or be one of `WITH_STATE`. Only the restoring may
use RestoreV2, and only on the file that it is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from avsc_tf.errors import BundleError

VARIABLES = """VarHandleOp ReadVariableOp AssignVariableOp AssignAddVariableOp AssignSubVariableOp VarIsInitializedOp
    VariableShape VariableV2 Variable ResourceGather ResourceGatherNd ResourceScatterAdd ResourceScatterUpdate
    ResourceScatterNdUpdate ResourceScatterNdAdd ResourceStridedSliceAssign DisableCopyOnRead"""
CONTROL = """StatefulPartitionedCall While If Case Assert CheckNumerics CheckNumericsV2 GuaranteeConst Empty DeepCopy
    StatelessRandomGetAlg Timestamp"""
RANDOM = """RandomStandardNormal RandomUniform RandomUniformInt TruncatedNormal RandomShuffle Multinomial RandomGamma
    RandomPoisson RandomPoissonV2 ParameterizedTruncatedNormal StatefulStandardNormalV2 StatefulUniform
    StatefulUniformInt StatefulUniformFullInt StatefulTruncatedNormal RngReadAndSkip RngSkip"""
ARRAYS = """TensorArrayV3 TensorArrayReadV3 TensorArrayWriteV3 TensorArrayGatherV3 TensorArrayScatterV3
    TensorArrayConcatV3 TensorArraySplitV3 TensorArraySizeV3 TensorArrayCloseV3 StackV2 StackPushV2 StackPopV2
    StackCloseV2"""
TABLES = """HashTable HashTableV2 MutableHashTable MutableHashTableV2 MutableDenseHashTableV2 LookupTableFindV2
    LookupTableInsertV2 LookupTableImportV2 LookupTableExportV2 LookupTableSizeV2 LookupTableRemoveV2
    InitializeTableV2"""
RECURRENT = "CudnnRNN CudnnRNNV2 CudnnRNNV3"
WITH_STATE = frozenset(" ".join((VARIABLES, CONTROL, RANDOM, ARRAYS, TABLES, RECURRENT)).split())
REFUSED = re.compile(
    "ReadFile|MatchingFiles|InitializeTableFromTextFile|GenerateVocabRemapping|DecodeProtoV2|EncodeProto"  # files
    "|Reader.*|.*Dataset.*|.*Iterator.*|ShardedFilename|ShardedFilespec"
    "|PyFuncStateless|TRTEngineOp|TfLiteSubgraphExecute|MlirPassthroughOp|RemoteFusedGraphExecute"  # other code
    "|Xla.*|TPU.*|Tpu.*|DTensor.*|BatchFunction|Abort|Debug.*|_.*"
)
PYTHON = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})  # refused wherever they stand


class _Graph:
    """Nodes and functions of a meta graph, and what reaches what."""

    def __init__(self, meta_graph: Any) -> None:
        self.nodes = {node.name: node for node in meta_graph.graph_def.node}
        self.functions = {f.signature.name: f for f in meta_graph.graph_def.library.function}

    def reached(self, names: Iterable[str]) -> Iterator[tuple[Any, Any]]:
        """Each node that computing `names` may run, with the function it stands in (None: the graph itself)."""
        waiting = list(names)
        seen: set[str] = set()
        functions: set[str] = set()
        while waiting:
            name = node_name(waiting.pop())
            node = self.nodes.get(name)
            if name in seen or node is None:
                continue
            seen.add(name)
            waiting.extend(node.input)
            yield node, None
            yield from self._inside(node, functions)

    def _inside(self, node: Any, functions: set[str]) -> Iterator[tuple[Any, Any]]:
        waiting = [node]
        while waiting:
            for name in _called(waiting.pop()):
                function = self.functions.get(name)
                if function is None or name in functions:
                    continue
                functions.add(name)
                for inner in function.node_def:
                    yield inner, function
                    waiting.append(inner)


def node_name(tensor: str) -> str:
    """`scope/name` of "^scope/name" or "scope/name:0"."""
    return tensor.removeprefix("^").split(":")[0]


def _called(node: Any) -> Iterator[str]:
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        for function in value.list.func:
            yield function.name


def check_graph(meta_graph: Any, operations: dict[str, bool]) -> None:
    """Refuse a meta graph that may do more than compute.

    Args:
        operations: TensorFlow's own ones, and whether each has state.

    Raises:
        BundleError: an operation that is not allowed, or is unknown.
    """
    graph = _Graph(meta_graph)
    everywhere = [*graph.nodes.values(), *(node for f in graph.functions.values() for node in f.node_def)]
    for node in everywhere:
        if node.op in PYTHON:
            raise BundleError(f"node {node.name}: {node.op} calls Python code, which no model may do here.")
        if node.op not in operations and node.op not in graph.functions:
            raise BundleError(f"node {node.name}: {node.op} is no operation of TensorFlow itself.")
    restoring = meta_graph.saver_def.restore_op_name
    for node, _ in graph.reached(_roots(meta_graph)):
        _check(node, graph, operations)
    for node, function in graph.reached([restoring] if restoring else []):
        if node.op == "RestoreV2":
            _check_source(node, graph, function, meta_graph.saver_def.filename_tensor_name)
        else:
            _check(node, graph, operations)


def _roots(meta_graph: Any) -> Iterator[str]:
    """Everything that may be computed, but for saving and restoring."""
    for signature in meta_graph.signature_def.values():
        for info in [*signature.inputs.values(), *signature.outputs.values()]:
            yield info.name
            yield from (part.name for part in info.composite_tensor.components)
            yield from (info.coo_sparse.values_tensor_name, info.coo_sparse.indices_tensor_name)
            yield info.coo_sparse.dense_shape_tensor_name
    for key, collection in meta_graph.collection_def.items():
        if key in ("saved_model_main_op", "legacy_init_op"):
            yield from collection.node_list.value


def _check(node: Any, graph: _Graph, operations: dict[str, bool]) -> None:
    if node.op in graph.functions:
        return
    refused = node.op not in WITH_STATE if operations[node.op] else REFUSED.fullmatch(node.op)
    if refused:
        raise BundleError(f"node {node.name}: {node.op} is refused: a served model may only compute.")


def _check_source(node: Any, graph: _Graph, function: Any, filename: str) -> None:
    """RestoreV2 reads the file that the loader names, in the graph itself or in a function called with it."""
    wanted = node_name(filename)
    if function is None:
        right = _origin(node.input[0], graph.nodes) == wanted
    else:
        arguments = [argument.name for argument in function.signature.input_arg]
        source = _origin(node.input[0], {inner.name: inner for inner in function.node_def})
        name = function.signature.name
        callers = [caller for caller in graph.nodes.values() if name in _called(caller)]
        deeper = any(name in _called(inner) for f in graph.functions.values() for inner in f.node_def)
        right = source in arguments and not deeper
        right = right and all(_origin(c.input[arguments.index(source)], graph.nodes) == wanted for c in callers)
    if not right:
        raise BundleError(f"node {node.name}: RestoreV2 of a file other than the model's own variables is refused.")


def _origin(tensor: str, nodes: dict[str, Any]) -> str:
    """Name of the node a tensor comes from, past copies of it."""
    name = node_name(tensor)
    for _ in range(len(nodes)):
        if name not in nodes or nodes[name].op != "Identity":
            break
        name = node_name(nodes[name].input[0])
    return name
