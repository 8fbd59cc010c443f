"""The shapes of a small network and the names of its weights. No TensorFlow is needed here."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from bert_glue_tf.models.small.designs import DESIGNS, INPUT, WHOLE, Design, Layer
from bert_glue_tf.models.units import Group, Member, Reader

if TYPE_CHECKING:
    import tensorflow as tf

MEAN, DEVIATION = "inputs/mean", "inputs/deviation"
# Leaves of a layer that is normalized, which are read beside its kernel and bias.
NORM = ("scale", "mean", "variance")
_LEAVES = "|".join(("kernel", "bias", *NORM))
_NAME = re.compile(rf"(?:^|/)(inputs/(?:mean|deviation)|conv/\w+/(?:{_LEAVES}))(?::0)?$")
_KERNEL = re.compile(r"conv/(\w+)/kernel")


def weight_of(layer: str, leaf: str) -> str:
    """Return the name of a layer's weight: kernel [height, width, in, out], or a leaf [out]."""
    return f"conv/{layer}/{leaf}"


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The shapes of a network.

    Attributes:
      design: name of one of `DESIGNS`.
      shape: of an example.
      filters: layer -> number of its filters, where it is not the design's.
      dropout: rate before the last layer.

    Raises:
      ValueError: there is no such design, or it does not take examples of the shape.
    """

    design: str
    shape: tuple[int, ...]
    filters: Mapping[str, int] = dataclasses.field(default_factory=dict)
    dropout: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(map(int, self.shape)))
        object.__setattr__(self, "filters", {n: int(count) for n, count in self.filters.items()})
        if self.design not in DESIGNS:
            raise ValueError(f"no design {self.design!r}; {', '.join(DESIGNS)}")
        if len(self.shape) != len(self.of_design.shape) or min(self.shape) < 1:
            raise ValueError(
                f"{self.design} takes examples as {list(self.of_design.shape)}, and these have the "
                f"shape {list(self.shape)}"
            )
        unknown = set(self.filters) - {layer.name for layer in self.of_design.layers}
        if unknown or min(self.filters.values(), default=1) < 1:
            raise ValueError(f"filters {self.filters}: of its own layers, at least one each")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout {self.dropout}: in [0, 1)")
        self.maps()

    @property
    def of_design(self) -> Design:
        """Return the design."""
        return DESIGNS[self.design]

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Return the layers with as many filters as they have."""
        return tuple(
            dataclasses.replace(layer, filters=self.filters.get(layer.name, layer.filters))
            for layer in self.of_design.layers
        )

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Return height, width and channels of an example as a convolution reads it."""
        sides = self.shape if self.of_design.channels_last else (*self.shape, 1)
        height, *width, channels = sides
        return height, width[0] if width else 1, channels

    @property
    def hidden(self) -> int:
        """Return the features of an example behind the last layer."""
        return self.layers[-1].filters

    def maps(self) -> dict[str, tuple[int, int, int]]:
        """Return layer -> height, width and channels of what it gives, the input's among them.

        Raises:
          ValueError: an example is too small.
        """
        found = {INPUT: self.map_shape}
        for layer in self.layers:
            sides = []
            for axis in range(2):
                below = found[layer.reads][axis]
                size = below if layer.size == WHOLE else layer.size[axis]
                side = below if layer.padding == "SAME" else below - size + 1
                side = -(-side // layer.stride[axis])
                step = layer.pool_stride[axis] or layer.pool[axis]
                sides.append(-(-side // step) if layer.pool != (1, 1) else side)
            if min(sides) < 1:
                raise ValueError(f"examples {list(self.shape)} are too small for {self.design}")
            found[layer.name] = (sides[0], sides[1], layer.filters)
        return found

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the name and the shape of each weight, in their order."""
        maps = self.maps()
        found: dict[str, tuple[int, ...]] = {MEAN: self.shape[-1:], DEVIATION: self.shape[-1:]}
        for layer in self.layers:
            height, width, channels = maps[layer.reads]
            size = (height, width) if layer.size == WHOLE else layer.size
            found[weight_of(layer.name, "kernel")] = (*size, channels, layer.filters)
            found[weight_of(layer.name, "bias")] = (layer.filters,)
            for leaf in NORM if layer.norm else ():
                found[weight_of(layer.name, leaf)] = (layer.filters,)
        return found

    def readers(self, name: str) -> list[str]:
        """Return the layers that read one as their input."""
        return [layer.name for layer in self.of_design.layers if layer.reads == name]

    def is_summed(self, name: str) -> bool:
        """Tell whether a layer's output is added to another one's, or the other way round."""
        layers = self.of_design.layers
        return any((layer.name == name and layer.adds) or layer.adds == name for layer in layers)

    def is_part_of(self, other: Architecture) -> bool:
        """Tell whether it is another one with, at most, some of its filters gone."""
        mine, theirs = ({layer.name: layer.filters for layer in a.layers} for a in (self, other))
        same = (self.design, self.shape) == (other.design, other.shape)
        return same and all(mine[name] <= theirs[name] for name in mine)

    def with_dropout(self, rate: float) -> Architecture:
        """Return the same with another rate of dropout."""
        return dataclasses.replace(self, dropout=rate)

    def with_dropout_of(self, other: Architecture) -> Architecture:
        """Return the same with another one's rate of dropout."""
        return self.with_dropout(other.dropout)

    def of_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> Architecture:
        """Return the same with as many filters as weights of these shapes have, by their names."""
        counts = {
            layer.name: int(shapes[weight_of(layer.name, "bias")][0])
            for layer in self.of_design.layers
        }
        own = {layer.name: layer.filters for layer in self.of_design.layers}
        fewer = {name: count for name, count in counts.items() if count != own[name]}
        return dataclasses.replace(self, filters=fewer)


def known_name(name: str) -> str | None:
    """Return the name of a weight of such a network below any prefix; None for other names."""
    found = _NAME.search(name)
    return found.group(1) if found else None


def name_of(variable: tf.Variable) -> str:
    """Return a variable's name without what Keras puts around it."""
    own = re.sub(r"/replica_\d+", "", variable.name)
    return known_name(own) or own.split(":")[0]


def by_name(variables: Iterable[tf.Variable]) -> dict[str, tf.Variable]:
    """Return the variables of the network among those of a model, by their names."""
    named = ((known_name(variable.name), variable) for variable in variables)
    return {name: variable for name, variable in named if name}


def scope_of(name: str, rank: int) -> str:
    """Return the pruning scope of a weight; empty for biases and what belongs to a norm."""
    if rank < 2:
        return ""
    return "encoder" if _KERNEL.fullmatch(name) else "classifier"


def matrix_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return a kernel's shape as a matrix [in, out]: each filter is a column."""
    del name
    return math.prod(shape[:-1]), shape[-1]


def part_of(name: str) -> str:
    """Return the part of the network that a weight belongs to: its layer, or the classifier."""
    layer = re.match(r"conv/(\w+)/", name)
    if layer:
        return layer.group(1)
    return next((part for part in ("inputs", "classifier") if name.startswith(f"{part}/")), name)


def place_of(part: str) -> tuple[int, int]:
    """Return what sorts the parts of `part_of` from bottom to top."""
    if part == "inputs":
        return 0, 0
    for design in DESIGNS.values():
        names = [layer.name for layer in design.layers]
        if part in names:
            return 1, names.index(part)
    return 2, 0


def region_of(names: Collection[str]) -> str:
    """Return the region of the network that weights make up, for a reader."""
    if all(_KERNEL.fullmatch(name) for name in names):
        return "convolutions"
    return ", ".join(sorted({part_of(name) for name in names}))


# The kinds of units, and whether the last layer has them too: what a channel is to be judged by are
# the filters that read it.
UNITS: Mapping[str, bool] = {"filter": True, "channel": False}


def units(kind: str, weights: Iterable[str], variables: Iterable[tf.Variable]) -> list[Group]:
    """Return the filters of each convolution, or the channels that they make.

    Both are numbered by a convolution's filters, and consist of a filter's kernel and bias: without
    these the channel is zero. A convolution whose output is summed with another one's has none: its
    channel would go on with the other one's.

    Args:
      kind: "filter" or "channel"; a channel is that of a filter which other convolutions read, and
        knows the weights by which it is read.
      weights: names of those that may be pruned; a convolution counts if its kernel is one.
      variables: all of the model's.
    """
    named = by_name(variables)
    layers = {found[1] for name in named if (found := _KERNEL.fullmatch(name))}
    own = [name for name, one in DESIGNS.items() if {la.name for la in one.layers} == layers]
    wanted, groups = set(weights), []
    for design in own[:1]:
        architecture = Architecture(design, DESIGNS[design].shape)
        for layer in architecture.of_design.layers:
            kernel_name = weight_of(layer.name, "kernel")
            readers = architecture.readers(layer.name)
            is_last = layer is architecture.of_design.layers[-1]
            if kernel_name not in wanted or architecture.is_summed(layer.name):
                continue
            if is_last and not UNITS[kind]:
                continue
            kernel, bias_name = named[kernel_name], weight_of(layer.name, "bias")
            groups.append(
                Group(
                    f"conv/{layer.name}/{kind}s",
                    (kernel.shape[-1],),
                    (
                        Member(bias_name, named[bias_name], (kernel.shape[-1],), (0,)),
                        Member(kernel_name, kernel, tuple(kernel.shape), (3,)),
                    ),
                    what=kind,
                    readers=tuple(Reader(named[weight_of(one, "kernel")], 2, 0) for one in readers),
                )
            )
    return groups
