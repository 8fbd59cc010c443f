"""Small .tflite files with a classifier's signatures, written without TensorFlow."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.export import flatbuffer
from bert_glue_tf.export.litert import SIGNATURE

_FLOAT, _INT = schema.TensorType.FLOAT32, schema.TensorType.INT32
_ADD, _CAST, _DENSE = 0, 1, 2  # Places among the model's operator codes.
_CODES = (
    schema.BuiltinOperator.ADD,
    schema.BuiltinOperator.CAST,
    schema.BuiltinOperator.FULLY_CONNECTED,
)


class _Model:
    """The schema's objects of a file while it grows."""

    def __init__(self) -> None:
        self.model = schema.ModelT()
        self.model.version = 3
        self.model.buffers = [schema.BufferT()]
        self.model.subgraphs, self.model.signatureDefs = [], []
        self.model.operatorCodes = []
        self.kernels: dict[tuple[int, int], int] = {}
        for code in _CODES:
            made = schema.OperatorCodeT()
            made.builtinCode = made.deprecatedBuiltinCode = code
            made.version = 1
            self.model.operatorCodes.append(made)

    def kernel(self, narrow: int, wide: int, are_apart: bool) -> int:
        """Return the place of the constants of a dense layer; layers of one shape share them."""
        if (narrow, wide) not in self.kernels:
            made = schema.BufferT()
            values = np.full((narrow, wide), 1 / wide, np.float32)
            if are_apart:
                values *= np.linspace(0.1, -0.1, narrow, dtype=np.float32)[:, None]
            made.data = np.frombuffer(values.tobytes(), np.uint8)
            self.kernels[narrow, wide] = len(self.model.buffers)
            self.model.buffers.append(made)
        return self.kernels[narrow, wide]

    def add(self, length: int, width: int, layers: int, logits: int) -> None:
        """Add a signature: the sum of the inputs, then dense layers, the last of the logits."""
        self.graph = schema.SubGraphT()
        self.graph.tensors, self.graph.operators = [], []
        inputs = [self.tensor((1, length), _INT, name) for name in INPUTS]
        first, second, third = inputs
        total = self.tensor((1, length), _INT, "sum")
        both = self.tensor((1, length), _INT, "both")
        self.operator(_ADD, [first, second], both, schema.AddOptionsT(), "AddOptions")
        self.operator(_ADD, [both, third], total, schema.AddOptionsT(), "AddOptions")
        value = self.tensor((1, length), _FLOAT, "cast")
        options = schema.CastOptionsT()
        options.inDataType, options.outDataType = _INT, _FLOAT
        self.operator(_CAST, [total], value, options, "CastOptions")
        widths = [length, *[width] * layers, logits]
        for place, (wide, narrow) in enumerate(itertools.pairwise(widths)):
            kernel = self.kernel(narrow, wide, are_apart=place == layers and logits != 2)
            weights = self.tensor((narrow, wide), _FLOAT, f"w{place}", kernel)
            result = self.tensor((1, narrow), _FLOAT, f"dense{place}")
            dense = schema.FullyConnectedOptionsT()
            self.operator(_DENSE, [value, weights, -1], result, dense, "FullyConnectedOptions")
            value = result
        self.graph.inputs, self.graph.outputs = inputs, [value]
        signature = schema.SignatureDefT()
        signature.signatureKey = SIGNATURE.format(length)
        signature.subgraphIndex = len(self.model.subgraphs)
        signature.inputs = [self.named(*pair) for pair in zip(INPUTS, inputs, strict=True)]
        signature.outputs = [self.named("logits", value)]
        self.model.subgraphs.append(self.graph)
        self.model.signatureDefs.append(signature)

    @staticmethod
    def named(name: str, place: int) -> schema.TensorMapT:
        """Return the name of a tensor in a signature."""
        made = schema.TensorMapT()
        made.name, made.tensorIndex = name, place
        return made

    def tensor(self, shape: Sequence[int], kind: int, name: str, buffer: int = 0) -> int:
        """Add a tensor, and return its place."""
        made = schema.TensorT()
        made.shape, made.type, made.name, made.buffer = list(shape), kind, name, buffer
        self.graph.tensors.append(made)
        return len(self.graph.tensors) - 1

    def operator(self, code: int, inputs: list[int], output: int, options, kind: str) -> None:
        """Add an operator with one output."""
        made = schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = code, inputs, [output]
        made.builtinOptions = options
        made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
        self.graph.operators.append(made)


def write(*lengths: int, width: int = 8, layers: int = 1, logits: int = 2) -> bytes:
    """Return a file's content; its cost rises with `width` squared times `layers`.

    Its two logits are equal; of another number of them the first is the largest.
    """
    made = _Model()
    for length in lengths:
        made.add(length, width, layers, logits)
    return flatbuffer.write(made.model)
