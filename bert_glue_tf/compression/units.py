"""The weights that a method may prune, and the units in which it removes them."""

from __future__ import annotations

import collections
import difflib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import regex

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.units import Group, Member

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.models.backbone import Backbone

OTHERS = "others"  # Of --region_sparsities.
SEARCH_SECONDS = 10.0  # For what takes milliseconds, on a machine that does other things as well.


def _searched(pattern: str, names: Sequence[str]) -> set[str]:
    """Return the names that a user's regular expression is found in.

    Python's `re` can take longer than anyone lives for one name ('(.+)+!'), and nothing but the
    end of its process stops it; the package `regex` knows the same expressions and a time limit.

    Raises:
      UserError: the search has not ended in time.
    """
    if not pattern:
        return set(names)
    expression = regex.compile(pattern)
    end = time.monotonic() + SEARCH_SECONDS
    try:
        return {
            name
            for name in names
            if expression.search(name, timeout=max(end - time.monotonic(), 0.001))
        }
    except TimeoutError:
        raise UserError(
            f"--pruning_weights={pattern}: the search for it in {len(names)} names has not ended "
            f"within {SEARCH_SECONDS:g} seconds. Give an expression without a repetition inside of "
            "another, as query instead of (.*query)+."
        ) from None


def in_scope(
    backbone: Backbone, variables: Iterable[tf.Variable], scope: str, pattern: str = ""
) -> dict[str, tf.Variable]:
    """Return the weights that may be pruned, by name.

    Args:
      backbone: the encoder, which knows the scopes of its variables.
      variables: of the model.
      scope: classifier (and the dense layer before it), encoder (the matrices of its layers),
        embeddings, all.
      pattern: regular expression that a name must have somewhere; empty for any.

    Raises:
      UserError: nothing matches; the message lists names that are near. Or two weights have one
        name.
    """
    named = [(backbone.name_of(variable), variable) for variable in variables]
    parts = backbone.scopes(variable for _, variable in named)
    scoped = {n: v for n, v in named if parts[n] and scope in ("all", parts[n])}
    matching = _searched(pattern, [name for name, part in parts.items() if part])
    found = {name: v for name, v in scoped.items() if name in matching}
    twice = next(
        (
            n
            for n, count in collections.Counter(n for n, _ in named).items()
            if count > 1 and n in found
        ),
        None,
    )
    if twice:
        raise UserError(
            f"--pruning_scope={scope}: the model has several weights named {twice}, and a mask is "
            "kept by its weight's name. Save the encoder with a name for each variable, or leave "
            "them out with --pruning_weights."
        )
    if found:
        return found
    if not scoped:
        raise UserError(
            f"--pruning_scope={scope}: the model has no such weights. It has: "
            f"{', '.join(sorted({part for part in parts.values() if part}))}."
        )
    elsewhere = [n for n, part in parts.items() if part and n in matching]
    if elsewhere:
        raise UserError(
            f"--pruning_weights={pattern}: found in no weight of --pruning_scope={scope}, but in "
            f"{elsewhere[0]} of --pruning_scope={parts[elsewhere[0]]}."
        )
    near = difflib.get_close_matches(pattern, scoped, n=3, cutoff=0.0)
    raise UserError(
        f"--pruning_weights={pattern}: found in no weight of --pruning_scope={scope}. "
        f"Names that are near: {', '.join(near)}."
    )


def of_regions(
    backbone: Backbone, groups: Sequence[Group], regions: Mapping[str, float]
) -> list[float | None]:
    """Return for each group the value of the part of the network that its last weight is of.

    Args:
      backbone: the encoder, which knows the parts of its weights.
      groups: of units.
      regions: part (`part_of`), or region (`region_of` of the weight alone) -> value. `OTHERS` are
        those that no other one names.

    Returns:
      None for a group of which none is said.

    Raises:
      UserError: a name is of no group.
    """
    names = {
        group.name: (
            backbone.part_of(group.members[-1].name),
            backbone.region_of({group.members[-1].name}),
        )
        for group in groups
    }
    known = {name for pair in names.values() for name in pair}
    unknown = [name for name in regions if name not in (*known, OTHERS)]
    if unknown:
        raise UserError(
            f"--region_sparsities: {unknown[0]!r} is no part of what is pruned. Good: "
            f"{', '.join(sorted(known))}, {OTHERS}."
        )
    found: list[float | None] = []
    for pair in names.values():
        of_it = next((value for name, value in regions.items() if name in pair), None)
        found.append(regions.get(OTHERS) if of_it is None else of_it)
    return found


def elements(weights: Mapping[str, tf.Variable]) -> list[Group]:
    """Return each weight as a unit of its own."""
    return [
        Group(name, shape, (Member(name, weight, shape, tuple(range(len(shape)))),))
        for name, weight in weights.items()
        for shape in [tuple(weight.shape)]
    ]


def lines(
    backbone: Backbone, weights: Mapping[str, tf.Variable], side: int, what: str
) -> list[Group]:
    """Return as a unit all weights of one input (side 0) or of one output (side 1) of a matrix."""
    groups = []
    for name, weight in weights.items():
        view = backbone.matrix_shape(name, tuple(weight.shape))
        groups.append(Group(name, (view[side],), (Member(name, weight, view, (side,)),), what=what))
    return groups


def block_size(option: str, value: str) -> tuple[int, int]:
    """Return `16x1` as (16, 1).

    Raises:
      UserError: it is not of that form; the message names the option.
    """
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", value)
    if not found:
        raise UserError(
            f"--pruning_options: {option}={value} is no size of a block. Good: {option}=16x16."
        )
    return int(found.group(1)), int(found.group(2))


def blocks(
    backbone: Backbone, weights: Mapping[str, tf.Variable], size: tuple[int, int], option: str
) -> list[Group]:
    """Return the blocks of a matrix [in, out], each of `size` inputs by outputs.

    Raises:
      UserError: the blocks do not divide a matrix; `option` names the setting.
    """
    groups = []
    rows, columns = size
    for name, weight in weights.items():
        height, width = backbone.matrix_shape(name, tuple(weight.shape))
        if height % rows or width % columns:
            raise UserError(
                f"--pruning_options: {option}={rows}x{columns} does not divide {name}, which is "
                f"{height}x{width}. Good here: {_divisors(height, rows)} for the first and "
                f"{_divisors(width, columns)} for the second number."
            )
        view = (height // rows, rows, width // columns, columns)
        member = Member(name, weight, view, (0, 2))
        groups.append(Group(name, (view[0], view[2]), (member,), what="block"))
    return groups


def _divisors(size: int, near: int) -> str:
    """Return the divisors of `size` that are nearest to a number."""
    divisors = [n for n in range(1, size + 1) if size % n == 0]
    return " or ".join(map(str, sorted(sorted(divisors, key=lambda n: abs(n - near))[:2])))


def of_layers(
    backbone: Backbone,
    kind: str,
    weights: Mapping[str, tf.Variable],
    variables: Iterable[tf.Variable],
    method: str,
) -> list[Group]:
    """Return the units of each layer whose output matrix is among the weights.

    Args:
      backbone: the encoder, which knows its layers.
      kind: of the units: head, neuron, filter or channel.
      weights: those that may be pruned, by name.
      variables: all of the model's.
      method: that asks for them, for the message.

    Raises:
      UserError: no layer's output matrix is among `weights`.
    """
    groups = backbone.units(kind, weights, variables)
    if not groups:
        raise UserError(
            f"--pruning_method={method}: no weight of the scope is a layer's "
            f".../{backbone.output_of(kind)}, whose {kind}s could be removed. It needs "
            "--pruning_scope=encoder or all, and --pruning_weights that leaves such weights in."
        )
    return groups
