"""The signatures of a .tflite file: the order of what goes in, and what comes out."""

from __future__ import annotations

from typing import Any

from ai_edge_litert import schema_py_generated as schema

from bert_glue_tf.data.problems.probabilities import SIGMOID, SOFTMAX
from bert_glue_tf.export import flatbuffer
from bert_glue_tf.export.defaults import LOGITS, PROBABILITIES

_OPERATORS = {
    SOFTMAX: schema.BuiltinOperator.SOFTMAX,
    SIGMOID: schema.BuiltinOperator.LOGISTIC,
}


def inputs(model: Any) -> list[str]:
    """Return the names of a file's inputs in the order that they have in its first subgraph.

    A signature gives them by name, and so is a file to be used. A client that knows of no
    signatures sees their order alone.

    Args:
      model: of `flatbuffer.read`.
    """
    signature = model.signatureDefs[0]
    names = {one.tensorIndex: one.name.decode() for one in signature.inputs}
    return [names[index] for index in model.subgraphs[signature.subgraphIndex].inputs]


def add_probabilities(model: Any, function: str, tensor: str = PROBABILITIES) -> None:
    """Put the function that makes probabilities of logits behind each signature of a file.

    Args:
      model: of `flatbuffer.read`, whose outputs are logits.
      function: `SOFTMAX` or `SIGMOID`.
      tensor: name of the tensor that comes out; the signature's name is `PROBABILITIES`.
    """
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = _OPERATORS[function]
    code.version = 1
    model.operatorCodes.append(code)
    for signature in model.signatureDefs:
        graph = model.subgraphs[signature.subgraphIndex]
        (output,) = signature.outputs
        logits = output.tensorIndex
        made = schema.TensorT()
        made.name, made.type = tensor, schema.TensorType.FLOAT32
        made.shape, made.buffer = graph.tensors[logits].shape, 0
        graph.tensors.append(made)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(model.operatorCodes) - 1
        operator.inputs, operator.outputs = [logits], [len(graph.tensors) - 1]
        if function == SOFTMAX:
            options = schema.SoftmaxOptionsT()
            options.beta = 1.0
            operator.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
            operator.builtinOptions = options
        graph.operators.append(operator)
        graph.outputs = [len(graph.tensors) - 1]
        output.name, output.tensorIndex = PROBABILITIES, len(graph.tensors) - 1


def drop_probabilities(model: Any) -> None:
    """Take out what `add_probabilities` has put behind the signatures, so that logits come out."""
    for signature in model.signatureDefs:
        graph = model.subgraphs[signature.subgraphIndex]
        (output,) = signature.outputs
        if output.name.decode() != PROBABILITIES:
            continue
        last = graph.operators.pop()
        graph.tensors.pop()
        graph.outputs = [last.inputs[0]]
        output.name, output.tensorIndex = LOGITS, last.inputs[0]


def keep_one(model: Any, key: str) -> None:
    """Keep one signature, and of the constants those that its subgraph reads.

    Args:
      model: of `flatbuffer.read`, without metadata.
      key: name of the signature.

    Raises:
      ValueError: there is no such signature.
    """
    flatbuffer.only_signature(model, key)
    used = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    for place, buffer in enumerate(model.buffers):
        if place not in used:
            buffer.data = None
