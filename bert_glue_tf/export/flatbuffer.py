"""The flatbuffer of a .tflite file: read, changed and written.

The schema's own object API does the reading and writing (it comes with LiteRT); here stands
only what this project asks of a file. TensorFlow is not needed.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError

IDENTIFIER = b"TFL3"
_BESIDE_CONSTANTS = 1 << 20  # Bytes of a file's operators and names.
METADATA = "bert_glue_tf"
# Says that the constants stand behind the flatbuffer, as the converter writes large ones; `read`
# has found them, and `write` puts them inside.
_LOCATION = b"buffer_location"
_OPERATORS = schema.BuiltinOperator
_NAMES = {code: name for name, code in vars(_OPERATORS).items() if isinstance(code, int)}


def read(model: bytes) -> Any:
    """Read a file's content as the schema's objects (`ModelT`)."""
    # A view, so that the constants are not copied.
    content = flatbuffer_utils.read_model_from_bytearray(memoryview(model))
    for buffer in content.buffers:
        if isinstance(buffer.data, (bytes, bytearray, memoryview)):
            # Anything but an array is packed byte by byte: 30 seconds for 50 MB.
            buffer.data = np.frombuffer(buffer.data, np.uint8)
    return content


class _Builder(flatbuffers.Builder):
    """A builder that writes an array where it belongs; its base makes three copies on the way."""

    def CreateNumpyVector(self, x: np.ndarray) -> int:
        """Write an array of one dimension, and return its offset."""
        values = np.ascontiguousarray(x, x.dtype.newbyteorder("<"))
        self.StartVector(x.itemsize, x.size, x.dtype.alignment)
        self.head -= values.nbytes
        memoryview(self.Bytes)[self.head : self.head + values.nbytes] = values.view(np.uint8).data
        self.vectorNumElems = x.size
        offset: int = self.EndVector()
        return offset


def write(model: Any) -> bytes:
    """Return the schema's objects as a file's content; the objects lose their constants by it."""
    # As large as the constants from the start: a builder that grows holds them twice and more, and
    # so does one that is asked for its output.
    size = sum(len(buffer.data) for buffer in model.buffers if buffer.data is not None)
    builder = _Builder(size + _BESIDE_CONSTANTS)
    root = model.Pack(builder)
    model.buffers = []  # Else the constants would be held three times now.
    builder.Finish(root, file_identifier=IDENTIFIER)
    return bytes(memoryview(builder.Bytes)[builder.Head() :])


def _code(operator_code: Any) -> int:
    # Codes up to 127 once had a field of one byte; old files fill only that.
    return max(operator_code.builtinCode, operator_code.deprecatedBuiltinCode)


def operators(model: Any) -> list[list[str]]:
    """Return the names of the operators of each subgraph, in the order in which they run.

    A custom or a TensorFlow operator ("flex") is named `CUSTOM(<its own name>)`.
    """
    names = []
    for operator_code in model.operatorCodes:
        name = _NAMES[_code(operator_code)]
        if name == "CUSTOM":
            name = f"CUSTOM({operator_code.customCode.decode()})"
        names.append(name)
    return [[names[op.opcodeIndex] for op in graph.operators] for graph in model.subgraphs]


def operator_counts(model: Any) -> dict[str, int]:
    """Count the operators of all subgraphs by name, the most frequent first."""
    return dict(collections.Counter(itertools.chain(*operators(model))).most_common())


def dense_input_widths(model: Any) -> list[int]:
    """Return the input width of each FULLY_CONNECTED: the second dimension of [out, in] weights."""
    return [
        int(graph.tensors[op.inputs[1]].shape[1])
        for graph in model.subgraphs
        for op in graph.operators
        if _code(model.operatorCodes[op.opcodeIndex]) == _OPERATORS.FULLY_CONNECTED
    ]


@dataclasses.dataclass(frozen=True)
class SparseTensor:
    """A constant that the file holds without (most of) its zeros.

    The encoding is TFLite's `SparsityParameters`
    (https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs).

    Attributes:
      name: of the tensor.
      shape: as if it were dense; [out, in] for the weights of FULLY_CONNECTED.
      block: what is stored or left out as a whole, along the same dimensions: (1, 4) is four
        inputs of one output; (1, 1) single values.
      values: number of values stored, zeros inside blocks among them.
      bytes: of the values and of the numbers that say where they belong.
      consumers: names of the operators that read it. DENSIFY makes it dense when the model
        is loaded; only another operator can make use of the zeros.
    """

    name: str
    shape: tuple[int, ...]
    block: tuple[int, ...]
    values: int
    bytes: int
    consumers: tuple[str, ...]


_VALUE_BYTES = {
    schema.TensorType.FLOAT32: 4,
    schema.TensorType.FLOAT16: 2,
    schema.TensorType.INT8: 1,
}
_INDEX_TYPES = {
    schema.SparseIndexVector.Int32Vector: np.int32,
    schema.SparseIndexVector.Uint16Vector: np.uint16,
    schema.SparseIndexVector.Uint8Vector: np.uint8,
}


def _index_bytes(sparsity: Any) -> int:
    """Count the bytes of the row boundaries and of the columns of a sparse tensor."""
    return sum(
        len(vector.values) * np.dtype(_INDEX_TYPES[kind]).itemsize
        for dimension in sparsity.dimMetadata
        for kind, vector in (
            (dimension.arraySegmentsType, dimension.arraySegments),
            (dimension.arrayIndicesType, dimension.arrayIndices),
        )
        if vector is not None
    )


def sparse_tensors(model: Any) -> list[SparseTensor]:
    """Return the constants of all subgraphs that are stored sparse."""
    found = []
    for names, graph in zip(operators(model), model.subgraphs, strict=True):
        consumers = collections.defaultdict(list)
        for name, op in zip(names, graph.operators, strict=True):
            for index in op.inputs:
                consumers[int(index)].append(name)
        for index, tensor in enumerate(graph.tensors):
            sparsity = tensor.sparsity
            if sparsity is None:
                continue
            rank = len(tensor.shape)
            block = [1] * rank
            for dimension, metadata in zip(
                sparsity.traversalOrder, sparsity.dimMetadata, strict=True
            ):
                if dimension >= rank:  # An inner dimension of a block.
                    block[sparsity.blockMap[dimension - rank]] = metadata.denseSize
            stored = len(model.buffers[tensor.buffer].data)
            found.append(
                SparseTensor(
                    tensor.name.decode(),
                    tuple(map(int, tensor.shape)),
                    tuple(map(int, block)),
                    stored // _VALUE_BYTES[tensor.type],
                    stored + _index_bytes(sparsity),
                    tuple(consumers[index]),
                )
            )
    return found


def dense_weight_bytes(model: Any) -> int:
    """Count the bytes of the weights of all FULLY_CONNECTED; those that subgraphs share count once.

    Of sparse weights the values stored and their places count, whether or not a DENSIFY stands
    between them and the operator. Subgraphs share the values, but each has the places anew.
    """
    total = 0
    counted: set[int] = set()
    for names, graph in zip(operators(model), model.subgraphs, strict=True):
        origin = {
            op.outputs[0]: op.inputs[0]
            for name, op in zip(names, graph.operators, strict=True)
            if name == "DENSIFY"
        }
        for name, op in zip(names, graph.operators, strict=True):
            if name != "FULLY_CONNECTED":
                continue
            tensor = graph.tensors[origin.get(op.inputs[1], op.inputs[1])]
            data = model.buffers[tensor.buffer].data
            if data is None:
                continue
            if tensor.buffer not in counted:
                counted.add(tensor.buffer)
                total += len(data)
            if tensor.sparsity is not None:
                total += _index_bytes(tensor.sparsity)
    return total


def output_name(graph: Any, place: int) -> str:
    """Return the name of the first output of the operator at `place` in a subgraph."""
    return graph.tensors[graph.operators[place].outputs[0]].name.decode()


def require_builtin(model: Any, what: str) -> None:
    """Check that plain LiteRT has all operators of a file.

    Raises:
      UserError: it lacks one.
    """
    foreign = [name for name in operator_counts(model) if name.startswith("CUSTOM")]
    if foreign:
        raise UserError(
            f"{what}: needs operators that are not built into LiteRT: {', '.join(foreign)}. "
            "A phone's runtime cannot run it; train with a standard BERT encoder."
        )


def use_embedding_lookup(model: Any) -> None:
    """Read the rows of constant matrices by EMBEDDING_LOOKUP instead of GATHER.

    Both do the same, but only EMBEDDING_LOOKUP has kernels for int8 and int4 rows that give
    float ones, and more than half of a small BERT is its embedding matrix.
    """
    lookup: int | None = None
    for graph in model.subgraphs:
        for op in graph.operators:
            if _code(model.operatorCodes[op.opcodeIndex]) != _OPERATORS.GATHER:
                continue
            table, ids = op.inputs
            is_constant = model.buffers[graph.tensors[table].buffer].data is not None
            shapes = len(graph.tensors[table].shape), len(graph.tensors[ids].shape)
            options = op.builtinOptions
            if not is_constant or shapes != (2, 1) or options.axis or options.batchDims:
                continue
            if lookup is None:
                operator_code = schema.OperatorCodeT()
                operator_code.builtinCode = _OPERATORS.EMBEDDING_LOOKUP
                operator_code.deprecatedBuiltinCode = _OPERATORS.EMBEDDING_LOOKUP
                operator_code.version = 1
                model.operatorCodes.append(operator_code)
                lookup = len(model.operatorCodes) - 1
            op.opcodeIndex, op.inputs = lookup, [ids, table]
            op.builtinOptionsType, op.builtinOptions = schema.BuiltinOptions.NONE, None


def replace_constant(model: Any, old: np.ndarray, new: np.ndarray) -> None:
    """Put a matrix into a file in the place of another one of as many columns.

    Args:
      model: of `read`.
      old: float32 [m, width], which the file holds, once or several times.
      new: float32 [n, width]; no copy is made of it.

    Raises:
      ValueError: the file does not hold `old`.
    """
    sought = old.tobytes()
    places = [
        place
        for place, buffer in enumerate(model.buffers)
        if buffer.data is not None
        and len(buffer.data) == len(sought)
        and bytes(buffer.data) == sought
    ]
    if not places:
        raise ValueError(f"the file has no constant of the shape {list(old.shape)} to replace")
    for tensor in (tensor for graph in model.subgraphs for tensor in graph.tensors):
        if tensor.buffer in places:
            tensor.buffer, tensor.shape = places[0], np.array(new.shape, np.int32)
    for place in places[1:]:
        model.buffers[place].data = None
    model.buffers[places[0]].data = np.ascontiguousarray(new).reshape(-1).view(np.uint8)


def clip_constants(model: Any, lowest: float) -> int:
    """Raise each single float32 constant below `lowest` to it, and return their number.

    For encoders whose graph is not ours: the number that an attention mask adds (-1e9, -1e4)
    stands in the graph as such a constant.
    """
    clipped: set[int] = set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            is_number = tensor.type == schema.TensorType.FLOAT32 and np.prod(tensor.shape) == 1
            if data is None or not is_number or tensor.buffer in clipped:
                continue
            if np.frombuffer(bytes(data), np.float32)[0] < lowest:
                model.buffers[tensor.buffer].data = np.frombuffer(
                    np.float32(lowest).tobytes(), np.uint8
                )
                clipped.add(tensor.buffer)
    return len(clipped)


def replace_zero_scales(model: Any) -> int:
    """Give a scale of 1 to channels and blocks whose scale is 0, and return their number.

    `ai-edge-quantizer`'s OCTAV leaves 0 where all weights are zero, as pruning leaves them, and
    XNNPACK refuses the file. The integers there are 0, so that any scale says the same.
    """
    replaced, seen = 0, set()
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            quantization = tensor.quantization
            if quantization is None:
                continue
            if quantization.scale is not None:
                scales = np.asarray(quantization.scale)
                replaced += int(np.count_nonzero(scales == 0))
                quantization.scale = np.where(scales == 0, np.float32(1), scales)
            blocks = quantization.details
            if isinstance(blocks, schema.BlockwiseQuantizationT):
                place = graph.tensors[blocks.scales].buffer
                if place not in seen:
                    seen.add(place)
                    scales = np.frombuffer(bytes(model.buffers[place].data), np.float16)
                    replaced += int(np.count_nonzero(scales == 0))
                    scales = np.where(scales == 0, np.float16(1), scales)
                    model.buffers[place].data = np.frombuffer(scales.tobytes(), np.uint8)
    return replaced


def only_signature(model: Any, key: str) -> None:
    """Keep one signature and its subgraph alone.

    Raises:
      ValueError: there is no such signature.
    """
    for signature in model.signatureDefs:
        if signature.signatureKey.decode() == key:
            model.subgraphs = [model.subgraphs[signature.subgraphIndex]]
            signature.subgraphIndex = 0
            model.signatureDefs = [signature]
            return
    raise ValueError(f"no signature {key!r}")


def add_metadata(model: Any, values: Mapping[str, Any]) -> None:
    """Put `values` into the file as JSON, under the name `bert_glue_tf`."""
    buffer = schema.BufferT()
    buffer.data = np.frombuffer(json.dumps(values, sort_keys=True).encode(), np.uint8)
    model.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = METADATA, len(model.buffers) - 1
    model.metadata = [*(model.metadata or []), entry]


def drop_location(model: Any) -> None:
    """Take out what says that the constants stand behind the flatbuffer."""
    _drop_metadata(model, _LOCATION)


def drop_metadata(model: Any) -> None:
    """Take out the entry of `add_metadata`."""
    _drop_metadata(model, METADATA.encode())


def _drop_metadata(model: Any, name: bytes) -> None:
    for entry in list(model.metadata or []):
        if entry.name in (name, name.decode()):
            model.metadata.remove(entry)
            if entry.buffer == len(model.buffers) - 1:
                model.buffers.pop()


def read_metadata(model: bytes) -> dict[str, Any] | None:
    """Read the entry of `add_metadata`; None where the file holds none."""
    root = schema.Model.GetRootAs(model, 0)
    for index in range(root.MetadataLength()):
        entry = root.Metadata(index)
        if entry.Name().decode() == METADATA:
            return strict_json.loads(bytes(root.Buffers(entry.Buffer()).DataAsNumpy()))
    return None
