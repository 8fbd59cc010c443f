"""Files of integers alone: that they are, and the C arrays that microcontrollers take them as."""

from __future__ import annotations

import textwrap
from typing import Any

from ai_edge_litert import schema_py_generated as schema

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.export import flatbuffer
from bert_glue_tf.export.folder import ExportFolder

_TYPES = {code: name for name, code in vars(schema.TensorType).items() if isinstance(code, int)}
# Of what operators compute with, and of the sums and shapes beside it.
_GOOD = frozenset({schema.TensorType.INT8, schema.TensorType.INT32})
_WIDTH = 96  # Of a line of a C file.


def others(model: Any) -> dict[str, str]:
    """Return the tensors that are no integers of 8 or, as biases and shapes are, of 32 bits.

    Args:
      model: of `flatbuffer.read`.

    Returns:
      Name -> type, of each tensor that an operator reads or writes, and of inputs and outputs.
    """
    found = {}
    for graph in model.subgraphs:
        used = {index for operator in graph.operators for index in operator.inputs if index >= 0}
        written = {index for operator in graph.operators for index in operator.outputs}
        for index in used | written | set(graph.inputs) | set(graph.outputs):
            tensor = graph.tensors[index]
            is_activation = index in written or index in graph.inputs
            if tensor.type not in ({schema.TensorType.INT8} if is_activation else _GOOD):
                found[tensor.name.decode()] = _TYPES[tensor.type]
    return found


def require(model: Any, what: str) -> None:
    """Refuse a file that computes with anything but integers.

    Args:
      model: of `flatbuffer.read`.
      what: begins the message.

    Raises:
      UserError: naming the first tensor that is none.
    """
    left = others(model)
    if left:
        name, kind = next(iter(left.items()))
        raise UserError(
            f"{what}: {len(left)} tensor(s) are no integers, as {name} ({kind.lower()}): LiteRT's "
            "quantizer has no int8 for an operator of this network."
        )


def write_c(folder: ExportFolder, recipe: str, content: bytes) -> None:
    """Write a file as a C array beside it: source and header, as TFLite Micro takes them.

    The array is aligned to 16 bytes, as the interpreter asks for, and its length stands beside it.
    What the file says of itself is left out: it is in <recipe>.json.

    Args:
      folder: of the export.
      recipe: whose file it is.
      content: of the file.
    """
    model = flatbuffer.read(content)
    flatbuffer.drop_metadata(model)
    bare = flatbuffer.write(model)
    name = f"g_{recipe}"
    guard = f"{recipe.upper()}_H_"
    source, header = folder.sources(recipe)
    numbers = textwrap.fill(", ".join(f"0x{one:02x}" for one in bare), _WIDTH)
    write_atomically(
        header,
        f"// The model of {recipe}.tflite, made by bert_glue_tf.\n"
        f"#ifndef {guard}\n#define {guard}\n\n"
        f"extern const unsigned char {name}[];\n"
        f"extern const unsigned int {name}_len;\n\n"
        f"#endif  // {guard}\n",
    )
    write_atomically(
        source,
        f'#include "{header.name}"\n\n'
        f"alignas(16) const unsigned char {name}[] = {{\n{numbers}}};\n"
        f"const unsigned int {name}_len = {len(bare)};\n",
    )
