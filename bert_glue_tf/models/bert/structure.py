"""The parts of BERT that its variables make up: layers, tables, attention heads and neurons.

Names are those of `transformer_names`.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_glue_tf.models.parts import Part
from bert_glue_tf.models.transformer_names import name_of
from bert_glue_tf.models.units import Group, Member

if TYPE_CHECKING:
    import tensorflow as tf

LAYERS = "transformer/"  # What the names of all layers' weights begin with.
TABLE = "word_embeddings/embeddings"
POSITIONS = "position_embedding/embeddings"


def layer_name(index: int) -> str:
    """Return what the names of a layer's weights begin with."""
    return f"{LAYERS}layer_{index}/"


def numbered_anew(named: Mapping[str, Any], keep: Sequence[int]) -> dict[str, Any]:
    """Return what is named after weights without that of other layers, which are numbered anew.

    Args:
      named: canonical name -> anything.
      keep: indices of the layers that stay, ascending.
    """
    found = {name: one for name, one in named.items() if not name.startswith(LAYERS)}
    for new, old in enumerate(keep):
        at, there = layer_name(old), layer_name(new)
        found |= {
            there + name.removeprefix(at): one for name, one in named.items() if name.startswith(at)
        }
    return found


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


def layer_units(kind: str, weights: Iterable[str], variables: Iterable[tf.Variable]) -> list[Group]:
    """Return the units of each layer whose output matrix is among the weights.

    Args:
      kind: of the units: head or neuron; a BERT has none of another kind.
      weights: names of the weights that may be pruned.
      variables: all of the model's.
    """
    if (found := LAYER_UNITS.get(kind)) is None:
        return []
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


def parts(variables: Iterable[tf.Variable]) -> list[Part]:
    """Return the parts that zeros take out of a BERT's layers: themselves, their halves and heads.

    The attention of a layer, or its feed-forward block, is gone where its last product gives zeros:
    what comes in then skips it. The layer norms stay.

    Args:
      variables: of the whole model.
    """
    shapes = {name_of(variable): tuple(variable.shape) for variable in variables}
    found: list[Part] = []
    numbers = (re.match(r"transformer/layer_(\d+)/", name) for name in shapes)
    for index in sorted({int(number[1]) for number in numbers if number}):
        found += _of_layer(f"{LAYERS}layer_{index}/", index + 1, shapes)
    return found


def _of_layer(prefix: str, number: int, shapes: Mapping[str, tuple[int, ...]]) -> list[Part]:
    """Return the parts of a layer whose weights' names begin with `prefix`, `number` from 1."""
    sizes = {
        name.removeprefix(prefix): math.prod(shape)
        for name, shape in shapes.items()
        if name.startswith(prefix) and "layer_norm" not in name
    }
    attention = sum(size for name, size in sizes.items() if name.startswith("self_attention/"))
    last = f"{prefix}self_attention/attention_output"
    ends: list[dict[str, int | None]] = [
        {f"{end}/{leaf}": None for leaf in ("kernel", "bias")} for end in (last, f"{prefix}output")
    ]
    heads = shapes[f"{last}/kernel"][0]
    # The bias behind the heads belongs to none of them.
    of_head = (attention - sizes["self_attention/attention_output/bias"]) // heads
    name = f"layer {number}"
    return [
        Part("layer", name, number, 0, ends[0] | ends[1], sum(sizes.values())),
        Part("attention", f"{name}, attention", number, 0, ends[0], attention),
        *(
            Part("head", f"{name}, head {i + 1}", number, i + 1, {f"{last}/kernel": i}, of_head)
            for i in range(heads)
        ),
        Part(
            "feed_forward",
            f"{name}, feed-forward",
            number,
            0,
            ends[1],
            sum(sizes.values()) - attention,
        ),
    ]
