"""Mixed recipes: int4 for the halves of layers that stand it, int8 for those that do not.

A half of a layer is its attention or its feed-forward. What rounding one to int4 costs is measured
on training examples (`analysis`); what int8 costs instead, in bytes and milliseconds, is by the
cost tables of both recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bert_glue_tf.analysis.record import Sensitivity
from bert_glue_tf.models.quantization.recipes import ATTENTION, FEED_FORWARD, Half
from bert_glue_tf.search.costs import Cost, CostTable
from bert_glue_tf.search.structure import Sizes

INT4, INT8 = "int4", "dynamic_int8"  # The recipes that are mixed.
_HALVES = {"attention": ATTENTION, "feed_forward": FEED_FORWARD}


def costly(found: Iterable[Sensitivity]) -> list[Half]:
    """Return the halves whose rounding to int4 costs more than noise, the costliest first.

    Args:
      found: the lines of a run's sensitivity.
    """
    rises = {
        (one.layer, _HALVES[one.what]): one.rise
        for one in found
        if one.change == INT4 and one.what in _HALVES and one.rise > one.rise_error
    }
    return sorted(rises, key=lambda half: -rises[half])


def cost(sizes: Sizes, halves: Sequence[Half], int4: CostTable, int8: CostTable) -> Cost:
    """Return the predicted cost of a file with some halves in int8, and the others in int4.

    Args:
      sizes: of the network.
      halves: in int8.
      int4: table of `INT4`.
      int8: table of `INT8`.
    """
    total = int4.predict(sizes)
    kinds = {letter: kind for kind, letter in _HALVES.items()}
    for layer, letter in halves:
        place = layer - 1
        units = sizes.widths[place][letter == FEED_FORWARD]
        is_last = layer == len(sizes.heads)
        more = int8.block(kinds[letter], units, is_last)
        less = int4.block(kinds[letter], units, is_last)
        total = Cost(total.bytes + more.bytes - less.bytes, total.ms + more.ms - less.ms)
    return total


def choices(halves: Sequence[Half], fits: Callable[[Sequence[Half]], bool]) -> list[list[Half]]:
    """Return the sets of halves that are worth a file with them in int8: at most two.

    The first takes the costliest half, then the next one, and so on, as long as the file keeps the
    budget; the second takes the costlier part of them, which is smaller.

    Args:
      halves: as `costly` gives them.
      fits: says if a file with these halves in int8 keeps the budget by its prediction.
    """
    taken: list[Half] = []
    for half in halves:
        if fits([*taken, half]):
            taken.append(half)
    some = taken[: (len(taken) + 1) // 2]
    return [one for one in (taken, some if len(some) < len(taken) else []) if one]
