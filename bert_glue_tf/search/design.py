"""The small networks that a cost table is made of, and the table that their files give.

Most of them have units in one kind of block alone, at a few numbers; two have the depth of the real
network. What a unit costs is what all files together say by least squares, in which no unit costs
less than nothing: a single difference of two times is mostly the noise of the clock.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import optimize

from bert_glue_tf.models.blocks import ATTENTION, FEED_FORWARD, KINDS, EncoderSizes
from bert_glue_tf.search import costs
from bert_glue_tf.search.costs import LAST, PIECES

INNER = 2  # Layers before the last one that are measured together, of networks that have them.
_PIECES = (1000, 5000)  # Rows of the tables of word embeddings that are measured.
_SHARES = (1 / 16, 1 / 4, 1 / 2, 1)  # Of the neurons; the last layer has two of them.
_LARGE = 3e7  # Weights of layers from which the whole network is none of the small ones.
_DEEP = 2.0  # How much a file of the real depth counts, of which predictions are made.

Widths = tuple[tuple[int, int], ...]


@dataclasses.dataclass(frozen=True)
class Small:
    """A small network whose file is measured.

    Attributes:
      widths: heads and neurons of each layer.
      pieces: rows of the word embeddings.
    """

    widths: Widths
    pieces: int = _PIECES[0]


@dataclasses.dataclass(frozen=True)
class Design:
    """The small networks of a table.

    Attributes:
      networks: all of them, each once.
      knots: name of `costs.CURVES` -> the units between which a cost is linear, without 0.
      layers: of the real network.
    """

    networks: tuple[Small, ...]
    knots: Mapping[str, tuple[int, ...]]
    layers: int

    @classmethod
    def of(cls, sizes: EncoderSizes) -> Design:
        """Return the networks for an encoder."""
        layers = len(sizes.layers)
        inner = min(INNER, layers - 1)
        networks = [Small(((0, 0),), pieces) for pieces in _PIECES]
        networks.append(Small(((0, 0),) * (inner + 1)))
        knots: dict[str, tuple[int, ...]] = {PIECES: _PIECES[1:]}
        for kind in KINDS:
            most = max(layer.units(kind) for layer in sizes.layers)
            knots[kind] = _knots(kind, most) if inner else ()
            knots[LAST[kind]] = _last_knots(kind, most)
            for units in knots[kind]:
                networks.append(Small((_only(kind, units),) * inner + ((0, 0),)))
            for units in knots[LAST[kind]]:
                networks.append(Small(((0, 0),) * inner + (_only(kind, units),)))
        heads, neurons = (max(one.units(kind) for one in sizes.layers) for kind in KINDS)
        networks.append(Small(((max(1, heads // 2), max(1, neurons // 2)),) * layers))
        if sizes.weights <= _LARGE:
            networks.append(Small(((heads, neurons),) * layers))
        return cls(tuple(dict.fromkeys(networks)), knots, layers)

    def table(self, measured: Mapping[Small, tuple[float, float]]) -> dict[str, Any]:
        """Return `rest`, `layer` and `curves` of a table.

        Args:
          measured: bytes and milliseconds of each network's file.
        """
        rows = np.array([self._row(network) for network in self.networks])
        deep = np.array([len(network.widths) == self.layers for network in self.networks])
        weights = np.where(deep & (self.layers > INNER + 1), _DEEP, 1.0)
        names = self._names()
        found = np.zeros((len(names), 2))
        for place in range(2):
            values = np.array([measured[network][place] for network in self.networks])
            # How many rows a table has tells no time.
            told = [i for i, (name, _) in enumerate(names) if place == 0 or name != PIECES]
            scaled = rows[:, told] * (weights / values)[:, None]
            found[told, place], _ = optimize.nnls(scaled, weights)
        curves: dict[str, list[tuple[int, float, float]]] = {
            name: [(0, 0.0, 0.0)] for name in costs.CURVES
        }
        for (name, units), (bytes_, ms) in zip(names[2:], found[2:], strict=True):
            _, before, earlier = curves[name][-1]
            curves[name].append((units, before + float(bytes_), earlier + float(ms)))
        return {"rest": found[0].tolist(), "layer": found[1].tolist(), "curves": curves}

    def _names(self) -> list[tuple[str, int]]:
        """Return what is solved for: the rest, an empty layer, and the steps of each curve."""
        steps = [(name, units) for name in costs.CURVES for units in self.knots[name]]
        return [("rest", 0), ("layer", 0), *steps]

    def _row(self, network: Small) -> list[float]:
        """Return how often a network has each of `_names`."""
        counts = dict.fromkeys(self._names(), 0.0)
        counts["rest", 0], counts["layer", 0] = 1.0, len(network.widths) - 1.0
        self._count(counts, PIECES, network.pieces)
        for index, widths in enumerate(network.widths):
            is_last = index == len(network.widths) - 1
            for kind, units in zip((ATTENTION, FEED_FORWARD), widths, strict=True):
                self._count(counts, LAST[kind] if is_last else kind, units)
        return list(counts.values())

    def _count(self, counts: dict[tuple[str, int], float], name: str, units: int) -> None:
        """Add how much of each step of a curve some units have."""
        before, knots = 0, self.knots[name]
        for knot in knots:
            share = (units - before) / (knot - before)
            counts[name, knot] += max(0.0, share if knot == knots[-1] else min(1.0, share))
            before = knot


def _only(kind: str, units: int) -> tuple[int, int]:
    """Return the widths of a layer with one kind of units."""
    return (units, 0) if kind == ATTENTION else (0, units)


def _knots(kind: str, most: int) -> tuple[int, ...]:
    """Return the units that are measured of a block in the layers before the last one."""
    if kind == ATTENTION:
        return tuple(sorted({1, max(1, most // 4), max(1, most // 2), most}))
    return tuple(sorted({max(1, round(most * share)) for share in _SHARES}))


def _last_knots(kind: str, most: int) -> tuple[int, ...]:
    """Return those of the last layer."""
    return tuple(sorted({1 if kind == ATTENTION else max(1, most // 16), most}))
