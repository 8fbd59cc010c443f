"""One .tflite file of several networks, whose constants stand once.

The signatures of all files come into one, behind the name of their network. A constant that equals
another one, or that is the beginning of a longer one, has no bytes of its own: the schema's buffers
may lie behind the flatbuffer, each by its offset and size
(https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs,
`table Buffer`), and nothing keeps them from lying in each other. No weight is sliced at run time.
A network of the first neurons of another one has the first rows of those matrices [out, in] that
give them; of the matrix behind, which reads them, it has the first columns, which lie apart, and
LiteRT has no view of a constant that skips some.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import flatbuffers
import numpy as np

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import flatbuffer
from bert_glue_tf.export.litert import SEPARATOR

SIZES, WHOLE = "sizes", "whole_size"  # In the metadata of such a file.
_ALIGNMENT = 64  # Bytes; LiteRT's kernels ask for 16.
_BEGINNING = 64  # Bytes by which constants are found that may begin alike.
_UNKNOWN = 2  # An offset's place is there in the flatbuffer where it is neither 0 nor 1.


def name_of(size: str, key: str) -> str:
    """Return the name of a signature of one of the networks."""
    return f"{size}{SEPARATOR}{key}"


def merge(files: Mapping[str, bytes], whole: str) -> bytes:
    """Return one file with the signatures of several.

    Its metadata are those of the whole network, its name, and below `sizes` those of each, without
    golden examples.

    Args:
      files: name of a network -> its file.
      whole: the network whose signatures keep their names, and which a client meets that knows of
        no others.
    """
    models = {name: flatbuffer.read(content) for name, content in files.items()}
    told = {name: flatbuffer.read_metadata(content) or {} for name, content in files.items()}
    for model in models.values():
        flatbuffer.drop_metadata(model)
        flatbuffer.drop_location(model)
    merged = models[whole]
    for name, model in models.items():
        if name != whole:
            _add(merged, model, name)
    own = {name: {**values, "golden": []} for name, values in told.items()}
    flatbuffer.add_metadata(merged, {**told[whole], WHOLE: whole, SIZES: own})
    return _write(merged)


def _add(merged: Any, model: Any, name: str) -> None:
    """Put another file's graphs, constants and signatures behind those of a file.

    Raises:
      UserError: an operator of the other file calls a graph by its number, which is another here.
    """
    operators, buffers = len(merged.operatorCodes), len(merged.buffers)
    graphs = len(merged.subgraphs)
    for graph in model.subgraphs:
        for operator in graph.operators:
            _require_no_call(operator, name)
            operator.opcodeIndex += operators
        for tensor in graph.tensors:
            tensor.buffer += buffers if tensor.buffer else 0  # 0 has no content in any file.
    for signature in model.signatureDefs:
        signature.subgraphIndex += graphs
        signature.signatureKey = name_of(name, signature.signatureKey.decode())
    merged.operatorCodes += model.operatorCodes
    merged.buffers += model.buffers
    merged.subgraphs += model.subgraphs
    merged.signatureDefs += model.signatureDefs


def _require_no_call(operator: Any, name: str) -> None:
    """Refuse an operator that calls another graph, as WHILE, IF and CALL_ONCE do."""
    for options in (operator.builtinOptions, operator.builtinOptions2):
        if options is not None and any("subgraph" in one.lower() for one in vars(options)):
            kind = type(options).__name__.removesuffix("OptionsT")
            raise UserError(
                f"--one_file: the file of the size {name} has the operator {kind}, which calls "
                "another graph of its file by number. Leave --one_file out: each size has a file "
                "of its own."
            )


@dataclasses.dataclass
class _Placed:
    """The constants of a file, one behind the other.

    Attributes:
      contents: those that have bytes of their own.
      offsets: of each, from the first one's.
      size: of all, with the gaps between them.
    """

    contents: list[np.ndarray] = dataclasses.field(default_factory=list)
    offsets: list[int] = dataclasses.field(default_factory=list)
    size: int = 0
    _alike: dict[bytes, list[int]] = dataclasses.field(default_factory=dict)

    def place(self, content: np.ndarray) -> int:
        """Return the offset of a constant; longer ones have to come first."""
        key = content[:_BEGINNING].tobytes()
        for number in self._alike.get(key, ()):
            if np.array_equal(self.contents[number][: len(content)], content):
                return self.offsets[number]
        self._alike.setdefault(key, []).append(len(self.contents))
        self.contents.append(content)
        self.offsets.append(self.size)
        self.size += -(-len(content) // _ALIGNMENT) * _ALIGNMENT
        return self.offsets[-1]


def _write(model: Any) -> bytes:
    """Return a file whose constants stand behind the flatbuffer, none of them twice."""
    about = {entry.buffer for entry in model.metadata or []}  # Read where the flatbuffer has it.
    placed = _Placed()
    # The shorter ones may lie in the longer ones; each is longer than what it is told apart by.
    inside = [
        one
        for place, one in enumerate(model.buffers)
        if place not in about and one.data is not None and len(one.data) >= _BEGINNING
    ]
    starts = {
        id(one): placed.place(np.asarray(one.data, np.uint8))
        for one in sorted(inside, key=lambda one: -len(one.data))
    }
    for one in inside:
        one.size, one.offset, one.data = len(one.data), _UNKNOWN, None
    first = -(-len(_packed(model)) // _ALIGNMENT) * _ALIGNMENT
    for one in inside:
        one.offset = first + starts[id(one)]
    content = bytearray(first + placed.size)
    head = _packed(model)
    content[: len(head)] = head
    for values, offset in zip(placed.contents, placed.offsets, strict=True):
        content[first + offset : first + offset + len(values)] = values.tobytes()
    return bytes(content)


def _packed(model: Any) -> bytes:
    """Return the flatbuffer of a file, whose constants may lie behind it."""
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), file_identifier=flatbuffer.IDENTIFIER)
    return bytes(builder.Output())
