"""The names that tf-models-official gives the variables of its text encoders, and what they say.

BERT's are among them, and so are those of most SavedModels on TF-Hub, whatever their family:
`transformer/layer_0/self_attention/query/kernel`, below a prefix of the model's own. A name that
is none of these says nothing here: the weight is a matrix of the encoder, and a part of its own.
No TensorFlow is needed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from bert_glue_tf.models.parts import Part

if TYPE_CHECKING:
    import tensorflow as tf

_CANONICAL = re.compile(
    r"(?:^|/)((?:word_embeddings|position_embedding|type_embeddings)/embeddings"
    r"|embeddings/layer_norm/(?:gamma|beta)|embedding_projection/(?:kernel|bias)"
    r"|transformer/layer_\d+/[^:]+|pooler_transform/(?:kernel|bias))(?::0)?$"
)
# The matrices of a layer that the documents prune.
_LAYER = re.compile(
    r"transformer/layer_(\d+)/"
    r"(?:self_attention/(?:query|key|value|attention_output)|intermediate|output)/kernel$"
)
_CLASSIFIER = ("classifier", "pooler", "word_head")
# Part of a name -> what a table calls that part of the network, from bottom to top.
_PARTS = {
    "word_embeddings": "words",
    "position_embedding": "positions",
    "type_embeddings": "types",
    "embedding_projection": "projection",
    "pooler_transform": "pooler",
    "word_head": "head",
    "classifier": "classifier",
}
_BELOW = ("words", "positions", "types", "projection")


def canonical_name(name: str) -> str | None:
    """Return `word_embeddings/embeddings` for `prefix/word_embeddings/embeddings:0`, and so on.

    None is returned for a name that says nothing.
    """
    found = _CANONICAL.search(name)
    return found.group(1) if found else None


def name_of(variable: tf.Variable) -> str:
    """Return a variable's canonical name; its own, without a replica's number, if it has none."""
    own = re.sub(r"/replica_\d+", "", variable.name)
    return canonical_name(own) or own.split(":")[0]


def scope_of(name: str, rank: int) -> str:
    """Return the scope that a weight belongs to; empty for biases, layer norms and scalars.

    Nor are the scores of tags behind tags in any: they are multiplied with nothing.

    Args:
      name: from `name_of`.
      rank: number of axes of the weight.
    """
    if rank < 2 or "norm" in name.lower() or name.endswith(("bias", "transitions")):
        return ""
    if _LAYER.search(name):
        return "encoder"
    if "embedding" in name:
        return "embeddings"
    if name.startswith(_CLASSIFIER):
        return "classifier"
    return "encoder"  # A matrix under a name of the encoder's own.


def matrix_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return a kernel's shape as a matrix [in, out], with the heads on one side of it."""
    if len(shape) == 2:
        return shape[0], shape[1]
    if "attention_output" in name:
        return math.prod(shape[:-1]), shape[-1]
    return shape[0], math.prod(shape[1:])


def part_of(name: str) -> str:
    """Return the part of the network that a weight belongs to: "layer 1" and so on, or a table."""
    layer = re.search(r"\blayer_(\d+)/", name)
    if layer:
        return f"layer {int(layer.group(1)) + 1}"
    return next((told for start, told in _PARTS.items() if start in name), name)


def place_of(part: str) -> tuple[int, int]:
    """Return what sorts the parts of `part_of` from bottom to top."""
    if part.startswith("layer "):
        return 1, int(part.removeprefix("layer "))
    order = list(_PARTS.values())
    if part not in order:
        return 1, 0
    return (0 if part in _BELOW else 2), order.index(part)


def tables(variables: Iterable[tf.Variable]) -> list[Part]:
    """Return the tables whose rows are summed up for each token; zeros take them out of the sum.

    Args:
      variables: of the whole model.
    """
    sizes = {name_of(variable): math.prod(variable.shape) for variable in variables}
    return [
        Part("embedding", part_of(name), 0, 0, {name: None}, size)
        for name, size in sizes.items()
        if name.endswith("/embeddings") and canonical_name(name)
    ]


def region_of(names: Collection[str]) -> str:
    """Return the region of the network that weights make up, for a reader.

    Where all are of layers that is "attention", "feed-forward" or "encoder"; else the parts of
    `part_of`, separated by commas.
    """
    parts = {part_of(name) for name in names}
    if all(part.startswith("layer ") for part in parts):
        attention = any("attention" in name for name in names)
        other = any("attention" not in name for name in names)
        return "encoder" if attention and other else "attention" if attention else "feed-forward"
    return ", ".join(sorted(parts))


class TransformerNames:
    """The methods of a backbone that ask for names and places, for one with these names.

    A base of such a backbone, in front of `Backbone`, whose methods these are.
    """

    @staticmethod
    def name_of(variable: tf.Variable) -> str:
        """Return `name_of` of this module."""
        return name_of(variable)

    @staticmethod
    def scope_of(name: str, rank: int) -> str:
        """Return `scope_of` of this module."""
        return scope_of(name, rank)

    @staticmethod
    def matrix_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
        """Return `matrix_shape` of this module."""
        return matrix_shape(name, shape)

    @classmethod
    def part_of(cls, name: str) -> str:
        """Return `part_of` of this module."""
        return part_of(name)

    @classmethod
    def place_of(cls, part: str) -> tuple[int, int]:
        """Return `place_of` of this module."""
        return place_of(part)

    @classmethod
    def parts(cls, variables: Iterable[tf.Variable]) -> list[Part]:
        """Return `tables` of this module."""
        return tables(variables)

    @classmethod
    def region_of(cls, names: Collection[str]) -> str:
        """Return `region_of` of this module."""
        return region_of(names)
