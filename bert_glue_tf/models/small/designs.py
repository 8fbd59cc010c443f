"""The designs of small networks: their layers, each a convolution. No TensorFlow is needed here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

# What stands for the size of a kernel that covers the whole map that its layer reads.
WHOLE = (0, 0)
INPUT = ""  # What the first layer reads.


@dataclasses.dataclass(frozen=True)
class Layer:
    """A convolution with what follows it: normalization, a sum, ReLU, pooling.

    Attributes:
      name: of the layer.
      filters: number of them.
      size: height and width of a kernel; `WHOLE` for those of what it reads.
      reads: name of the layer that it reads; `INPUT` for the network's input.
      stride: of the convolution, along height and width.
      padding: "SAME" or "VALID".
      norm: whether its outputs are normalized over a batch (Ioffe and Szegedy 2015,
        https://arxiv.org/abs/1502.03167).
      adds: name of a layer whose output is added to its own; empty for none.
      relu: whether negative outputs become zero, behind the sum.
      pool: size of the windows of which the largest value stays; (1, 1) for none.
      pool_stride: of these windows; (0, 0) for their size.
    """

    name: str
    filters: int
    size: tuple[int, int]
    reads: str
    stride: tuple[int, int] = (1, 1)
    padding: str = "SAME"
    norm: bool = False
    adds: str = ""
    relu: bool = True
    pool: tuple[int, int] = (1, 1)
    pool_stride: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True)
class Design:
    """A network that is known by its name.

    Attributes:
      layers: in an order in which each one's inputs come before it.
      shape: of an example, which others may have in other sizes, but not in other axes.
      channels_last: whether the last axis of an example holds channels; else it is an axis of the
        map, which then has one channel.
      title: what it is, for help texts.
    """

    layers: tuple[Layer, ...]
    shape: tuple[int, ...]
    channels_last: bool
    title: str


def chain(*layers: Layer) -> tuple[Layer, ...]:
    """Return layers of which each reads the one before it, whatever it says."""
    names = [INPUT, *(layer.name for layer in layers)]
    return tuple(
        dataclasses.replace(layer, reads=below) for layer, below in zip(layers, names, strict=False)
    )


def _conv(name: str, filters: int, size: tuple[int, int], **more: object) -> Layer:
    return Layer(name, filters, size, INPUT, **more)  # type: ignore[arg-type]


# LeCun et al. 1998, "Gradient-based learning applied to document recognition", section II: C1, S2,
# C3, S4, C5 and F6, with ReLU and the largest value of a window in the place of their sigmoids and
# means, every map of C3 read from all of S2, and the pictures padded by the first convolution.
_LENET5 = chain(
    _conv("c1", 6, (5, 5), pool=(2, 2)),
    _conv("c3", 16, (5, 5), padding="VALID", pool=(2, 2)),
    _conv("c5", 120, WHOLE, padding="VALID"),
    _conv("f6", 84, (1, 1)),
)
# The report names its network for windows of nine sensors and says no sizes; these are ours.
_HAR_NET = chain(
    _conv("conv_1", 32, (5, 1), norm=True, pool=(2, 1)),
    _conv("conv_2", 64, (5, 1), norm=True, pool=(2, 1)),
    _conv("conv_3", 64, (3, 1), norm=True, pool=(2, 1)),
)
# Nor does it say those of its network for keywords. 3 x 3 kernels, as patterns need them.
_OKG_NET = chain(
    _conv("conv_1", 32, (3, 3), norm=True, pool=(2, 2)),
    _conv("conv_2", 48, (3, 3), norm=True, pool=(2, 2)),
    _conv("conv_3", 64, (3, 3), norm=True, pool=(2, 1)),
    _conv("conv_4", 64, (3, 3), norm=True),
)


def _block(name: str, reads: str, inputs: int, outputs: int, stride: int) -> Sequence[Layer]:
    """Return a block of SqueezeNext: two that squeeze, two that look around, one that expands.

    Gholami et al. 2018, figure 2 (https://arxiv.org/abs/1803.10615); where the stride or the number
    of channels changes, the sum's other side is a convolution of one pixel. The first squeezes to a
    half, and to a whole where the map becomes smaller, as in the authors' networks.
    """
    squeezed = inputs if stride == 2 else inputs // 2
    steps = (stride, stride)
    shortcut = reads
    found: list[Layer] = []
    if stride != 1 or inputs != outputs:
        shortcut = f"{name}_shortcut"
        found.append(Layer(shortcut, outputs, (1, 1), reads, steps, norm=True))
    found += [
        Layer(f"{name}_squeeze_1", squeezed, (1, 1), reads, steps, norm=True),
        Layer(f"{name}_squeeze_2", squeezed // 2, (1, 1), f"{name}_squeeze_1", norm=True),
        Layer(f"{name}_rows", squeezed, (3, 1), f"{name}_squeeze_2", norm=True),
        Layer(f"{name}_columns", squeezed, (1, 3), f"{name}_rows", norm=True),
        Layer(name, outputs, (1, 1), f"{name}_columns", norm=True, adds=shortcut),
    ]
    return found


def squeeze_next(stem: Layer, blocks: Sequence[int], widths: Sequence[int]) -> tuple[Layer, ...]:
    """Return a SqueezeNext: a first convolution, sections of blocks, and a last convolution.

    Args:
      stem: the first convolution.
      blocks: of each section.
      widths: channels that each section gives; each but the first halves the map.
    """
    found, below, inputs = [stem], stem.name, stem.filters
    for section, (count, outputs) in enumerate(zip(blocks, widths, strict=True), 1):
        for number in range(1, count + 1):
            name = f"section_{section}_block_{number}"
            stride = 2 if section > 1 and number == 1 else 1
            found += _block(name, below, inputs, outputs, stride)
            below, inputs = name, outputs
    found.append(Layer("last", widths[-1] // 2, (1, 1), below, norm=True))
    return tuple(found)


# 1.0-SqNxt-23 (21 blocks and two convolutions), with a first convolution of 5 x 5 for pictures of
# 64 x 64 in the place of 7 x 7 for those of 227 x 227.
_SQNXT_23 = squeeze_next(
    _conv("stem", 64, (5, 5), stride=(2, 2), norm=True, pool=(3, 3), pool_stride=(2, 2)),
    (6, 6, 8, 1),
    (32, 64, 128, 256),
)

DESIGNS: Mapping[str, Design] = MappingProxyType(
    {
        "lenet5": Design(_LENET5, (28, 28, 1), True, "LeNet-5 for pictures"),
        "har_net": Design(_HAR_NET, (128, 9), True, "a CNN for windows of sensors"),
        "okg_net": Design(_OKG_NET, (49, 10), False, "a CNN for MFCCs of words"),
        "sqnxt23": Design(_SQNXT_23, (64, 64, 3), True, "SqueezeNext for pictures"),
    }
)
