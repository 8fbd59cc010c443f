"""BERT's variables by their names: scopes, matrices, heads and neurons, parts of a table.

Names are canonical, those of the published TF-Hub encoders
(`transformer/layer_0/self_attention/query/kernel`); a classifier's own parts begin with
`classifier` and `pooler`.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from bert_glue_tf.models.bert.architecture import canonical_name
from bert_glue_tf.models.units import Group, Member

if TYPE_CHECKING:
    import tensorflow as tf

# The matrices of a layer that the documents prune.
_LAYER = re.compile(
    r"transformer/layer_(\d+)/"
    r"(?:self_attention/(?:query|key|value|attention_output)|intermediate|output)/kernel$"
)
_CLASSIFIER = ("classifier", "pooler")
LAYERS = "transformer/"  # What the names of all layers' weights begin with.
TABLE = "word_embeddings/embeddings"
POSITIONS = "position_embedding/embeddings"
# Part of a name -> what a table calls that part of the network, from bottom to top.
_PARTS = {
    "word_embeddings": "words",
    "position_embedding": "positions",
    "type_embeddings": "types",
    "pooler_transform": "pooler",
    "classifier": "classifier",
}
_BELOW = ("words", "positions", "types")


@dataclasses.dataclass(frozen=True)
class LayerUnits:
    """A kind of unit that runs through several weights of a layer.

    Attributes:
      output: name, within the layer, of the matrix where a unit leaves what it has computed;
        the units number its first axis.
      others: name within the layer -> axis that numbers the units, of the other weights.
    """

    output: str
    others: Mapping[str, int]


# What removes whole parts of a layer: attention heads and feed-forward neurons.
LAYER_UNITS: Mapping[str, LayerUnits] = types.MappingProxyType(
    {
        "head": LayerUnits(
            "self_attention/attention_output/kernel",
            {
                f"self_attention/{part}/{leaf}": axis
                for part in ("query", "key", "value")
                for leaf, axis in (("kernel", 1), ("bias", 0))
            },
        ),
        "neuron": LayerUnits("output/kernel", {"intermediate/kernel": 1, "intermediate/bias": 0}),
    }
)


def name_of(variable: tf.Variable) -> str:
    """Return a variable's canonical name; its own, without a replica's number, if it has none."""
    own = re.sub(r"/replica_\d+", "", variable.name)
    return canonical_name(own) or own.split(":")[0]


def scope_of(name: str, rank: int) -> str:
    """Return the scope that a weight belongs to; empty for biases, layer norms and scalars.

    Args:
      name: canonical, of the weight; one of an encoder of another family has a name of its own.
      rank: number of axes of the weight.
    """
    if rank < 2 or "norm" in name.lower() or name.endswith("bias"):
        return ""
    if _LAYER.search(name):
        return "encoder"
    if "embedding" in name:
        return "embeddings"
    if name.startswith(_CLASSIFIER):
        return "classifier"
    return "encoder"  # A matrix of an encoder held as a SavedModel, under its own name.


def matrix_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return a kernel's shape as a matrix [in, out], with the heads on one side of it."""
    if len(shape) == 2:
        return shape[0], shape[1]
    if "attention_output" in name:
        return math.prod(shape[:-1]), shape[-1]
    return shape[0], math.prod(shape[1:])


def layer_units(kind: str, weights: Iterable[str], variables: Iterable[tf.Variable]) -> list[Group]:
    """Return the units of each layer whose output matrix is among the weights.

    Args:
      kind: of the units: head or neuron.
      weights: names of the weights that may be pruned.
      variables: all of the model's.
    """
    found = LAYER_UNITS[kind]
    named = {name_of(variable): variable for variable in variables}
    groups = []
    for name in weights:
        layer = re.fullmatch(rf"(transformer/layer_\d+/){re.escape(found.output)}", name)
        if not layer:
            continue
        members = []
        for part, axis in (*found.others.items(), (found.output, 0)):
            full = layer.group(1) + part
            members.append(Member(full, named[full], tuple(named[full].shape), (axis,)))
        units = members[-1].view[0]
        groups.append(Group(f"{layer.group(1)}{kind}s", (units,), tuple(members), what=kind))
    return groups


def part_of(name: str) -> str:
    """Return the part of the network that a weight belongs to: "layer 1" and so on, or a table.

    A weight whose name tells nothing, as in an encoder of another family, is a part of its own.
    """
    layer = re.search(r"\blayer_(\d+)/", name)
    if layer:
        return f"layer {int(layer.group(1)) + 1}"
    return next((told for start, told in _PARTS.items() if start in name), name)


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


def place_of(part: str) -> tuple[int, int]:
    """Return what sorts the parts of `part_of` from bottom to top."""
    if part.startswith("layer "):
        return 1, int(part.removeprefix("layer "))
    order = list(_PARTS.values())
    if part not in order:
        return 1, 0
    return (0 if part in _BELOW else 2), order.index(part)
