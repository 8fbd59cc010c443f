"""The shapes of a network of convolutions over word vectors. No TensorFlow is needed here."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bert_glue_tf.models.units import Group, Member, Reader

if TYPE_CHECKING:
    import tensorflow as tf

# A convolution: its filters, and over how many words each of them looks (an odd number, so that a
# word has as many neighbours on its left as on its right).
Convolution = tuple[int, int]
_NAME = re.compile(r"(?:^|/)(words/\w+/embeddings|conv_\d+/width_\d+/(?:kernel|bias))(?::0)?$")
_KERNEL = re.compile(r"conv_(\d+)/width_(\d+)/kernel")


def kernel_of(layer: int, width: int) -> str:
    """Return the name of a convolution's kernel [width, in, filters]; layers count from 1."""
    return f"conv_{layer}/width_{width}/kernel"


def bias_of(kernel: str) -> str:
    """Return the name of the bias [filters] that belongs to a kernel."""
    return kernel.removesuffix("kernel") + "bias"


def table_of(name: str) -> str:
    """Return the name of the table [rows, width] of word vectors that are called so."""
    return f"words/{name}/embeddings"


@dataclasses.dataclass(frozen=True)
class Architecture:
    """The shapes of the network, and its dropout.

    Attributes:
      rows: words of the vocabulary, special tokens included.
      tables: name and width of each table of word vectors; a word's vectors stand side by side.
      layers: the convolutions of each layer, which all read the layer below; what they give stands
        side by side, in their order.
      dropouts: rate before each layer.

    Raises:
      ValueError: there is no table or no layer; a number is none that it can be; two convolutions
        of a layer have one width.
    """

    rows: int
    tables: tuple[tuple[str, int], ...]
    layers: tuple[tuple[Convolution, ...], ...]
    dropouts: tuple[float, ...]

    def __post_init__(self) -> None:
        plain: dict[str, Any] = {  # JSON has lists.
            "tables": tuple((str(name), int(width)) for name, width in self.tables),
            "layers": tuple(tuple((int(n), int(w)) for n, w in one) for one in self.layers),
            "dropouts": tuple(map(float, self.dropouts)),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        widths = [[width for _, width in layer] for layer in self.layers]
        if not (self.tables and self.layers and all(self.layers) and self.rows > 0):
            raise ValueError("it needs a word, a table of vectors and a layer of convolutions")
        if any(width % 2 == 0 or width < 1 for layer in widths for width in layer):
            raise ValueError(f"widths {widths}: a convolution looks at 1, 3, 5, ... words")
        if any(len(set(layer)) < len(layer) for layer in widths):
            raise ValueError(f"widths {widths}: convolutions of a layer have different widths")
        if any(filters < 1 for layer in self.layers for filters, _ in layer):
            raise ValueError("a convolution has at least one filter")
        if len(self.dropouts) != len(self.layers) or not all(0 <= d < 1 for d in self.dropouts):
            raise ValueError(
                f"dropouts {list(self.dropouts)}: as many as layers ({len(self.layers)}), in [0, 1)"
            )

    @property
    def hidden(self) -> int:
        """Return the features of a word behind the last layer."""
        return sum(filters for filters, _ in self.layers[-1])

    def inputs_of(self, layer: int) -> int:
        """Return the features that a layer reads of each word; layers count from 1."""
        below = self.tables if layer == 1 else [(n, n) for n, _ in self.layers[layer - 2]]
        return sum(width for _, width in below)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the name and the shape of each weight, in their order."""
        found: dict[str, tuple[int, ...]] = {
            table_of(name): (self.rows, width) for name, width in self.tables
        }
        for layer, convolutions in enumerate(self.layers, 1):
            for filters, width in convolutions:
                kernel = kernel_of(layer, width)
                found[kernel] = (width, self.inputs_of(layer), filters)
                found[bias_of(kernel)] = (filters,)
        return found

    def is_part_of(self, other: Architecture) -> bool:
        """Tell whether it is another one with, at most, some of its filters gone."""
        widths = [[[width for _, width in layer] for layer in one.layers] for one in (self, other)]
        return (self.rows, self.tables, widths[0]) == (other.rows, other.tables, widths[1]) and all(
            mine <= theirs
            for own, others in zip(self.layers, other.layers, strict=True)
            for (mine, _), (theirs, _) in zip(own, others, strict=True)
        )

    def with_dropout(self, rate: float) -> Architecture:
        """Return the same with one rate of dropout before every layer."""
        return dataclasses.replace(self, dropouts=(rate,) * len(self.layers))

    def with_dropout_of(self, other: Architecture) -> Architecture:
        """Return the same with another one's rates of dropout."""
        return dataclasses.replace(self, dropouts=other.dropouts)

    def of_shapes(self, shapes: Mapping[str, tuple[int, ...]]) -> Architecture:
        """Return the same with as many filters as weights of these shapes have, by their names."""
        layers = tuple(
            tuple((shapes[kernel_of(layer, width)][-1], width) for _, width in convolutions)
            for layer, convolutions in enumerate(self.layers, 1)
        )
        return dataclasses.replace(self, layers=layers)


# Features of the filters of the two documents: 128 that look at few words, then 256s.
_CONV_4 = (((128, 3),), ((256, 5),), ((256, 5),), ((256, 5),))
_DE_CNN = (((128, 5), (128, 3)), ((256, 5),), ((256, 5),), ((256, 5),))


@dataclasses.dataclass(frozen=True)
class Design:
    """A network that is known by its name.

    Attributes:
      layers: as in `Architecture`.
      dropouts: as in `Architecture`.
      tables: names of the word vectors that it reads.
    """

    layers: tuple[tuple[Convolution, ...], ...]
    dropouts: tuple[float, ...]
    tables: tuple[str, ...]


# Conv-4 and Conv-6 are the study's of local and global pruning (Mishra and Chakraborty). DE-CNN is
# Xu et al. 2018, "Double Embeddings and CNN-based Sequence Labeling for Aspect Extraction",
# section 3 (https://arxiv.org/abs/1805.04601): its first layer reads general and domain vectors,
# after a dropout of 0.55.
DESIGNS: Mapping[str, Design] = MappingProxyType(
    {
        "conv4": Design(_CONV_4, (0.45,) * 4, ("general",)),
        "conv6": Design((*_CONV_4, *_CONV_4[-2:]), (0.465,) * 6, ("general",)),
        "de_cnn": Design(_DE_CNN, (0.55, 0.45, 0.45, 0.45), ("general", "domain")),
    }
)


def name_of(variable: tf.Variable) -> str:
    """Return a variable's name without what Keras puts around it."""
    own = re.sub(r"/replica_\d+", "", variable.name)
    return known_name(own) or own.split(":")[0]


def known_name(name: str) -> str | None:
    """Return the name of a weight of such a network below any prefix; None for other names."""
    found = _NAME.search(name)
    return found.group(1) if found else None


def by_name(variables: Iterable[tf.Variable]) -> dict[str, tf.Variable]:
    """Return the variables of the network among those of a model, by their names."""
    named = ((known_name(variable.name), variable) for variable in variables)
    return {name: variable for name, variable in named if name}


def scope_of(name: str, rank: int) -> str:
    """Return the pruning scope of a weight; empty for biases."""
    if rank < 2:
        return ""
    if name.startswith("words/"):
        return "embeddings"
    return "encoder" if _KERNEL.fullmatch(name) else "classifier"


def matrix_shape(name: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return a kernel's shape as a matrix [in, out]: each filter is a column."""
    del name
    return math.prod(shape[:-1]), shape[-1]


# Beginning of a name -> what a table calls that part behind the convolutions, from bottom to top.
_HEAD = {"word_head/": "head", "classifier/": "classifier"}


def part_of(name: str) -> str:
    """Return the part of the network that a weight belongs to: "layer 1", a table, or the head."""
    layer = re.match(r"conv_(\d+)/", name)
    if layer:
        return f"layer {layer.group(1)}"
    table = re.match(r"words/(\w+)/", name)
    if table:
        return f"{table.group(1)} vectors"
    return next((told for start, told in _HEAD.items() if name.startswith(start)), name)


def place_of(part: str) -> tuple[int, int]:
    """Return what sorts the parts of `part_of` from bottom to top."""
    if part.startswith("layer "):
        return 1, int(part.removeprefix("layer "))
    if part.endswith(" vectors"):
        order = ("general vectors", "domain vectors")
        return 0, order.index(part) if part in order else len(order)
    return 2, list(_HEAD.values()).index(part) if part in _HEAD.values() else 0


def region_of(names: Collection[str]) -> str:
    """Return the region of the network that weights make up, for a reader."""
    parts = {part_of(name) for name in names}
    if all(part.startswith("layer ") for part in parts):
        return "convolutions"
    if all(part.endswith(" vectors") for part in parts):
        return "word vectors"
    return ", ".join(sorted(parts))


# The kinds of units, and whether the last layer has them too: what a channel is to be judged by are
# the filters that read it.
UNITS: Mapping[str, bool] = MappingProxyType({"filter": True, "channel": False})


def units(kind: str, weights: Iterable[str], variables: Iterable[tf.Variable]) -> list[Group]:
    """Return the filters of each convolution, or the channels that they make.

    Both are numbered by the filters of one convolution, and consist of a filter's kernel and bias:
    without these the channel is zero, and what reads it adds nothing.

    Args:
      kind: "filter" or "channel"; a channel is that of a filter which another convolution reads,
        and knows the weights by which it is read.
      weights: names of those that may be pruned; a convolution counts if its kernel is one.
      variables: all of the model's.
    """
    named = by_name(variables)
    kernels = {name: found for name in named if (found := _KERNEL.fullmatch(name))}
    wanted, groups = set(weights), []
    for name, found in kernels.items():
        layer = int(found[1])
        above = [other for other, its in kernels.items() if int(its[1]) == layer + 1]
        if name not in wanted or not (above or UNITS[kind]):
            continue
        kernel, bias = named[name], named[bias_of(name)]
        beside = [other for other, its in kernels.items() if int(its[1]) == layer]
        start = sum(named[other].shape[-1] for other in beside[: beside.index(name)])
        groups.append(
            Group(
                f"{name.removesuffix('/kernel')}/{kind}s",
                (kernel.shape[-1],),
                (
                    Member(bias_of(name), bias, tuple(bias.shape), (0,)),
                    Member(name, kernel, tuple(kernel.shape), (2,)),
                ),
                what=kind,
                readers=tuple(Reader(named[other], 1, start) for other in above),
            )
        )
    return groups
