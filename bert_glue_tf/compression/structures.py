"""Which weights a method may prune, and the units in which it removes them.

A unit is what is kept or removed as a whole: one weight, a row, a block, an attention head.
A `Group` is a set of units that are ranked together (those of one matrix, the heads of one
layer); its `Member`s are the weights of which the units are parts.
"""

from __future__ import annotations

import collections
import dataclasses
import difflib
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.bert import native

# The matrices of a layer that the documents prune, as canonical names have them.
_LAYER = re.compile(
    r"transformer/layer_(\d+)/"
    r"(?:self_attention/(?:query|key|value|attention_output)|intermediate|output)/kernel$"
)
_CLASSIFIER = "classifier"
SEARCH_SECONDS = 10.0  # For what takes milliseconds, on a machine that does other things as well.
_SEARCH = """
import json, re, sys
pattern, names = json.load(sys.stdin)
print(*(int(re.search(pattern, name) is not None) for name in names), sep="", end="")
"""


@dataclasses.dataclass(frozen=True)
class Member:
    """A weight of which each unit of a group is a part.

    Attributes:
      name: of the weight.
      variable: the weight itself.
      view: shape to which the weight is brought, of the same number of elements.
      unit_axes: axes of the view that number the units, in the order of the group's; a unit is
        all elements along the other axes.
    """

    name: str
    variable: tf.Variable
    view: tuple[int, ...]
    unit_axes: tuple[int, ...]

    @property
    def unit_size(self) -> int:
        """Number of weights that a unit has here."""
        return math.prod(self.view) // math.prod(self.view[axis] for axis in self.unit_axes)

    def expand(self, units: tf.Tensor) -> tf.Tensor:
        """A value for each unit (the group's shape) to one for each weight (the weight's)."""
        if len(self.unit_axes) == len(self.view):
            return tf.reshape(units, self.variable.shape)  # A unit is one weight.
        shape = [n if axis in self.unit_axes else 1 for axis, n in enumerate(self.view)]
        spread = tf.broadcast_to(tf.reshape(units, shape), self.view)
        return tf.reshape(spread, self.variable.shape)

    @property
    def others(self) -> tuple[int, ...]:
        """Axes of the view along which a unit extends."""
        return tuple(axis for axis in range(len(self.view)) if axis not in self.unit_axes)

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums of a value for each weight over the units: the weight's shape to the group's."""
        return values.reshape(self.view).sum(self.others) if self.others else values


@dataclasses.dataclass(frozen=True)
class Group:
    """Units that are ranked together.

    Attributes:
      name: of the weight, or of the layer whose units these are.
      units: shape of what numbers the units.
      members: the weights; the last one is where a unit leaves what it has computed.
      what: the unit's name in messages ("weight", "row", ...).
    """

    name: str
    units: tuple[int, ...]
    members: tuple[Member, ...]
    what: str = "weight"

    @property
    def count(self) -> int:
        """Number of units."""
        return math.prod(self.units)

    @property
    def unit_size(self) -> int:
        """Number of weights of a unit, over all members."""
        return sum(member.unit_size for member in self.members)

    @property
    def is_elementwise(self) -> bool:
        """Whether a unit is a single weight, so that a whole matrix of them may go."""
        return self.what == "weight"


def name_of(variable: tf.Variable) -> str:
    """A variable's canonical name; its own, without a replica's number, where it has none."""
    own = re.sub(r"/replica_\d+", "", variable.name)
    return native.canonical_name(own) or own.split(":")[0]


def _part(name: str, rank: int) -> str:
    """The scope that a weight belongs to; empty for biases, layer norms and scalars."""
    if rank < 2 or "norm" in name.lower() or name.endswith("bias"):
        return ""
    if _LAYER.search(name):
        return "encoder"
    if "embedding" in name:
        return "embeddings"
    if name.startswith((_CLASSIFIER, "pooler")):
        return "head"
    return "encoder"  # A matrix of an opaque encoder, under a name of its own.


def _searched(pattern: str, names: Sequence[str]) -> set[str]:
    """The names that a user's regular expression is found in.

    Python's `re` can take longer than anyone lives for one name ('(.+)+!'), and nothing but the
    end of its process stops it; TensorFlow's own expressions (RE2) cannot, but know no (?!...).

    Raises:
      UserError: the search has not ended in time.
    """
    if not pattern:
        return set(names)
    try:
        done = subprocess.run(
            # Without the environment's packages and settings: this starts within 20 ms.
            [sys.executable, "-I", "-S", "-c", _SEARCH],
            input=json.dumps([pattern, names]),
            capture_output=True,
            text=True,
            check=True,
            timeout=SEARCH_SECONDS,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(
            f"--pruning_weights={pattern}: the process that was to search the names for it has "
            f"failed ({error}). Give the same command again, on a machine with memory left."
        ) from None
    except subprocess.TimeoutExpired:
        raise UserError(
            f"--pruning_weights={pattern}: the search for it in {len(names)} names has not ended "
            f"within {SEARCH_SECONDS:g} seconds. Give an expression without a repetition inside of "
            "another, as query instead of (.*query)+."
        ) from None
    return {name for name, is_found in zip(names, done.stdout, strict=True) if is_found == "1"}


def in_scope(
    variables: Iterable[tf.Variable], scope: str, pattern: str = ""
) -> dict[str, tf.Variable]:
    """The weights that may be pruned, by name.

    Args:
      variables: of the model.
      scope: head (pooler and classifier), encoder (the matrices of its layers), embeddings, all.
      pattern: regular expression that a name must have somewhere; empty for any.

    Raises:
      UserError: nothing matches; the message lists names that are near. Or two weights have one
        name.
    """
    named = [(name_of(variable), variable) for variable in variables]
    parts = {name: _part(name, len(variable.shape)) for name, variable in named}
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


def matrix_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """A kernel as a matrix [in, out]: an attention kernel keeps its heads on one side of it."""
    if len(shape) == 2:
        return shape[0], shape[1]
    if "attention_output" in name:
        return math.prod(shape[:-1]), shape[-1]
    return shape[0], math.prod(shape[1:])


def elements(weights: Mapping[str, tf.Variable]) -> list[Group]:
    """Each weight for itself."""
    return [
        Group(name, shape, (Member(name, weight, shape, tuple(range(len(shape)))),))
        for name, weight in weights.items()
        for shape in [tuple(weight.shape)]
    ]


def lines(weights: Mapping[str, tf.Variable], side: int, what: str) -> list[Group]:
    """All weights of one input (side 0) or of one output (side 1) of a matrix."""
    groups = []
    for name, weight in weights.items():
        view = matrix_shape(name, tuple(weight.shape))
        groups.append(Group(name, (view[side],), (Member(name, weight, view, (side,)),), what=what))
    return groups


def blocks(weights: Mapping[str, tf.Variable], rows: int, columns: int, option: str) -> list[Group]:
    """Blocks of a matrix [in, out], `rows` inputs by `columns` outputs.

    Raises:
      UserError: the blocks do not divide a matrix; `option` names the setting.
    """
    groups = []
    for name, weight in weights.items():
        height, width = matrix_shape(name, tuple(weight.shape))
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
    """The divisors of `size` that are nearest to a number."""
    divisors = [n for n in range(1, size + 1) if size % n == 0]
    return " or ".join(map(str, sorted(sorted(divisors, key=lambda n: abs(n - near))[:2])))


def heads(
    weights: Mapping[str, tf.Variable], variables: Iterable[tf.Variable], option: str
) -> list[Group]:
    """The attention heads of each layer whose output matrix is among `weights`."""
    axes = {"kernel": 1, "bias": 0}
    parts = [(part, leaf, axes[leaf]) for part in ("query", "key", "value") for leaf in axes]
    return _layers(
        weights,
        variables,
        "self_attention/attention_output/kernel",
        [(f"self_attention/{part}/{leaf}", axis) for part, leaf, axis in parts],
        "head",
        option,
    )


def neurons(
    weights: Mapping[str, tf.Variable], variables: Iterable[tf.Variable], option: str
) -> list[Group]:
    """The feed-forward neurons of each layer whose output matrix is among `weights`."""
    return _layers(
        weights,
        variables,
        "output/kernel",
        [("intermediate/kernel", 1), ("intermediate/bias", 0)],
        "neuron",
        option,
    )


def _layers(
    weights: Mapping[str, tf.Variable],
    variables: Iterable[tf.Variable],
    last: str,
    others: list[tuple[str, int]],
    what: str,
    option: str,
) -> list[Group]:
    """Units that run through several weights of a layer; in `last` they number the first axis."""
    named = {name_of(variable): variable for variable in variables}
    groups = []
    for name in weights:
        found = re.fullmatch(rf"(transformer/layer_\d+/){re.escape(last)}", name)
        if not found:
            continue
        parts = [*others, (last, 0)]
        members = []
        for part, axis in parts:
            variable = named[found.group(1) + part]
            members.append(Member(found.group(1) + part, variable, tuple(variable.shape), (axis,)))
        units = members[-1].view[0]
        groups.append(Group(f"{found.group(1)}{what}s", (units,), tuple(members), what=what))
    if not groups:
        raise UserError(
            f"--pruning_method={option}: no weight of the scope is a layer's .../{last}, whose "
            f"{what}s could be removed. It needs --pruning_scope=encoder or all, and "
            "--pruning_weights that leaves such weights in."
        )
    return groups
