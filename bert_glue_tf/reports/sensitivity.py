"""The tables of a sensitivity: what each part of a classifier costs when it goes or is rounded."""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Sequence

from bert_glue_tf.analysis.record import REMOVED, Sensitivity
from bert_glue_tf.reports import formats, tables
from bert_glue_tf.reports.tables import Column, Table

HEAD = "head"
_KINDS = {HEAD: "heads", "attention": "attentions", "feed_forward": "feed-forward blocks"}
_FEW = 3  # Parts of which an order says something.


@dataclasses.dataclass(frozen=True)
class Heads:
    """The heads of one layer.

    Attributes:
      layer: its number from 1.
      lines: of its heads, by number.
    """

    layer: int
    lines: Sequence[Sensitivity]

    @property
    def least(self) -> Sensitivity:
        """The head whose removal costs least; as estimated where no head was measured."""
        return min(self.lines, key=_cost)

    @property
    def most(self) -> Sensitivity:
        """The head whose removal costs most."""
        return max(self.lines, key=_cost)


def _cost(one: Sensitivity) -> float:
    return one.rise if one.is_measured else one.predicted


def parts(found: Sequence[Sensitivity]) -> Table[Sensitivity]:
    """Return the table of all parts but single heads, in the order of the network."""
    metric = found[0].of_what.metric if found else ""
    columns: tuple[Column[Sensitivity], ...] = (
        Column("part", lambda one: one.part, may_wrap=True),
        Column("change", lambda one: one.change),
        Column("weights", lambda one: one.weights, formats.count, spare=3),
        Column("gradient", lambda one: one.first_order, formats.number),
        Column("estimate", lambda one: one.predicted, formats.signed),
        Column("loss", lambda one: one.rise, formats.signed),
        Column("+-", lambda one: one.rise_error, formats.number, spare=1),
        Column(metric, lambda one: one.score_rise, formats.signed),
        Column("labels", lambda one: one.flips, formats.count, spare=2),
    )
    rows = (one for one in found if one.what != HEAD)
    return Table(columns, tuple(sorted(rows, key=lambda one: one.change != REMOVED)))


def heads(found: Sequence[Sensitivity]) -> Table[Heads]:
    """Return the table of the heads, a row for each layer."""
    return Table(
        (
            Column("layer", lambda one: one.layer),
            Column("heads", lambda one: len(one.lines)),
            Column("costs least", lambda one: one.least, _head),
            Column("costs most", lambda one: one.most, _head),
            Column("sum of all", lambda one: sum(map(_cost, one.lines)), formats.signed),
        ),
        tuple(_by_layer(found)),
    )


def each_head(found: Sequence[Sensitivity]) -> Table[Sensitivity]:
    """Return the table of all heads, for a file."""
    columns = parts(found).columns
    return Table(columns, tuple(one for one in found if one.what == HEAD))


def notes(found: Sequence[Sensitivity]) -> list[str]:
    """Return the facts that a reader of the tables has to know, a line each."""
    base = found[0].of_what
    kept = "held out by the run" if base.held_out else "that the run has trained on"
    told = [
        f"Measured on {base.examples:,} texts of the training split {kept}, without training; the "
        f"loss is {base.loss:.4f} and {base.metric} {base.score:.4f} there. Validation and test "
        "texts are not looked at.",
        "To first order, without making the change: estimate, the rise of the loss (the sum of "
        "change * gradient), and gradient, the mean over batches of its absolute value, by which "
        "pruning by gradient ranks. Measured: loss, by how much it rises; +-, the standard error "
        "of that; labels, the texts whose label changes.",
        "removed: zeros in the part's last product, so that what comes in skips it; its layer "
        "norms stay. Recipes: the part's weights on the grid of the recipe's file, activations in "
        "float.",
    ]
    for kind, name in _KINDS.items():
        estimated, by_size = agrees(found, kind)
        if not math.isnan(estimated):
            told.append(
                f"The order of the {name} as measured: Spearman {estimated:+.2f} with that of "
                f"their estimates, {by_size:+.2f} with that of their gradients."
            )
    return told


def agrees(found: Sequence[Sensitivity], kind: str) -> tuple[float, float]:
    """Return Spearman's correlations of the measured rise with `predicted` and `first_order`.

    Over the removals of a kind; NaN where there are too few, or all cost the same.
    """
    some = [one for one in found if one.what == kind and one.change == REMOVED and one.is_measured]
    columns = [[one.rise for one in some]]
    columns += [[one.predicted for one in some], [one.first_order for one in some]]
    if len(some) < _FEW or any(len(set(values)) == 1 for values in columns):
        return math.nan, math.nan
    from scipy import stats

    measured, *others = columns
    estimated, by_size = (float(stats.spearmanr(measured, one).statistic) for one in others)
    return estimated, by_size


def markdown(found: Sequence[Sensitivity]) -> str:
    """Return all tables as one Markdown text."""
    base = found[0].of_what
    return "\n".join(
        [
            f"# Sensitivity of {base.run}\n",
            *(f"{note}\n" for note in notes(found)),
            "## Parts\n",
            tables.markdown(parts(found)),
            "## Heads\n",
            tables.markdown(each_head(found)),
        ]
    )


def _by_layer(found: Sequence[Sensitivity]) -> list[Heads]:
    layers: dict[int, list[Sensitivity]] = defaultdict(list)
    for one in found:
        if one.what == HEAD:
            layers[one.layer].append(one)
    return [
        Heads(number, sorted(layers[number], key=lambda one: one.head)) for number in sorted(layers)
    ]


def _head(one: Sensitivity) -> str:
    if not one.is_measured:
        return f"{one.head} ({formats.signed(one.predicted)} estimated)"
    return f"{one.head} ({formats.signed(one.rise)})"
