"""Which operator of one subgraph is which of another that computes the same.

The converter sorts the operators of each subgraph for itself, so that their places differ where
the shapes do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ai_edge_litert import schema_py_generated as schema


def places(one: Any, other: Any, names: Sequence[str], others: Sequence[str]) -> dict[int, int]:
    """Return the places of operators in one subgraph -> those of the same ones in another.

    Both are gone through from their outputs to their inputs, as far as the numbers are float: how
    ids come to a table may differ.

    Args:
      one: subgraph, of `flatbuffer.read`.
      other: another one of the same file.
      names: of the operators of `one`, in their order.
      others: of those of `other`.

    Raises:
      ValueError: they do not compute the same.
    """
    makers, other_makers = _makers(one), _makers(other)
    found: dict[int, int] = {}
    waiting = list(zip(one.outputs, other.outputs, strict=True))
    while waiting:
        tensor, another = waiting.pop()
        if tensor < 0 or one.tensors[tensor].type != schema.TensorType.FLOAT32:
            continue
        place, there = makers.get(tensor), other_makers.get(another)
        if place is None and there is None:  # A constant.
            continue
        if place is None or there is None or names[place] != others[there]:
            raise ValueError("the signatures' subgraphs differ in their operators")
        if place not in found:
            found[place] = there
            inputs = one.operators[place].inputs, other.operators[there].inputs
            waiting += zip(*inputs, strict=True)
        elif found[place] != there:
            raise ValueError("the signatures' subgraphs differ in how they are connected")
    return found


def _makers(graph: Any) -> dict[int, int]:
    """Return a tensor -> the place of the operator that makes it."""
    return {
        int(output): place
        for place, operator in enumerate(graph.operators)
        for output in operator.outputs
    }
