"""Rows of the second report's Table 2 beside ours, and of what sharing costs and saves."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from bert_glue_tf.core import quantities
from bert_glue_tf.evaluation import sharing
from bert_glue_tf.evaluation.sharing import Account, Switches
from bert_glue_tf.reports import formats
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.tables import Column
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.studies import columns
from bert_glue_tf.studies.printed import Printed


@dataclasses.dataclass(frozen=True)
class Row:
    """A model of a network beside the report's.

    Attributes:
      network: encoder and task.
      training: how the network was trained, in words.
      size: name of the model among those of the network, which is its sparsity.
      theirs: the report's model; None where it has none.
      group: the finished models; None where there is none.
      difference: to the densest model of the same training; None for that one.
      kept_apart: bytes of its weights and their positions, where it is kept for itself.
      milliseconds: of its file; None where it was not timed with the others.
      reason: why runs failed; empty where none did.
    """

    network: str
    training: str
    size: str
    theirs: Printed | None
    group: Group | None
    difference: Comparison | None
    kept_apart: int | None
    milliseconds: float | None
    reason: str = ""

    @property
    def sparsity(self) -> float | None:
        """Mean sparsity over the seeds, among the weights that can be pruned."""
        models = self.group.models if self.group else ()
        found = [one.sparsity for one in models if one.sparsity is not None]
        return sum(found) / len(found) if found else None


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:g} s"


def _bytes(value: int | None) -> str:
    return "" if value is None else quantities.size(value)


COLUMNS: tuple[Column[Row], ...] = (
    Column("network", lambda row: row.network),
    Column("training", lambda row: row.training),
    Column("model", lambda row: float(row.size), lambda value: f"{value:g}"),
    Column("report, sparsity", lambda row: row.theirs and row.theirs.sparsity, _percent),
    Column("report, accuracy", lambda row: row.theirs and row.theirs.accuracy, _percent),
    Column("report, latency", lambda row: row.theirs and row.theirs.seconds, _seconds),
    Column("sparsity", lambda row: row.sparsity, _percent),
    columns.score("ours", lambda row: row.group),
    Column(
        "ours, 95 % interval", lambda row: row.group.interval if row.group else None, formats.span
    ),
    Column("seeds", lambda row: row.group.seeds if row.group else (), formats.listed),
    columns.spread("range", lambda row: row.group),
    *columns.difference(lambda row: row.difference),
    Column("kept apart", lambda row: row.kept_apart, _bytes),
    Column("ms", lambda row: row.milliseconds, formats.milliseconds),
    Column("why it failed", lambda row: row.reason),
)
# Those of a network's table on the page; all of them would be wider than any screen.
ON_PAGE = (
    "training",
    "model",
    "report, accuracy",
    "report, latency",
    "ours",
    "ours, 95 % interval",
    "difference",
    "95 % interval",
    "p",
    "verdict",
    "kept apart",
    "ms",
    "why it failed",
)


@dataclasses.dataclass(frozen=True)
class Cost:
    """The bytes that the models of a network cost and save by sharing their weights.

    Attributes:
      network: encoder and task.
      training: how the network was trained.
      account: bytes.
    """

    network: str
    training: str
    account: Account


COSTS: tuple[Column[Cost], ...] = (
    Column("network", lambda row: row.network),
    Column("training", lambda row: row.training),
    Column("weights that can be pruned", lambda row: row.account.prunable, formats.count),
    Column("other weights", lambda row: row.account.others, formats.count),
    Column("positions, bitmap", lambda row: row.account.bitmap, formats.size),
    Column("positions, run lengths", lambda row: row.account.run_lengths, formats.size),
    Column("each one's own", lambda row: row.account.own_bytes, formats.size),
    Column("weights not kept twice", lambda row: row.account.saved, formats.size),
    Column("shared, in all", lambda row: row.account.shared, formats.size),
    Column("kept apart, in all", lambda row: row.account.apart, formats.size),
    Column("pays from a sparsity of", lambda row: row.account.pays_from, _percent),
)


def energy(costs: Iterable[Cost], counts: Sequence[int]) -> dict[str, list[float]]:
    """Return the lines of a network's figure: name -> mJ of so many switches between its models.

    Both trainings have models of the same sparsity, and therefore mostly the same bytes: where
    one line would hide the other, one stands for both.

    Args:
      costs: of the network's trainings.
      counts: numbers of switches.
    """
    drawn: list[tuple[str, dict[str, list[float]]]] = []
    for cost in costs:
        spent = sharing.switches(cost.account, counts)
        own = {
            "kept apart": [1e3 * one.apart_joules for one in spent],
            "shared": [1e3 * one.shared_joules for one in spent],
        }
        if not any(_looks_same(own, other) for _, other in drawn):
            drawn.append((cost.training, own))
    return {
        label if len(drawn) == 1 else f"{training}, {label}": values
        for training, own in drawn
        for label, values in own.items()
    }


def _looks_same(one: Mapping[str, list[float]], other: Mapping[str, list[float]]) -> bool:
    """Return whether two sets of lines cannot be told apart in a figure: within 1 %."""
    return all(np.allclose(values, other[label], rtol=0.01) for label, values in one.items())


@dataclasses.dataclass(frozen=True)
class SwitchRow:
    """The cost of so many switches between the models of a network.

    Attributes:
      network: encoder and task.
      training: how the network was trained.
      spent: by the device.
    """

    network: str
    training: str
    spent: Switches


def _millijoules(value: float) -> str:
    return f"{1e3 * value:,.2f} mJ"


SWITCHES: tuple[Column[SwitchRow], ...] = (
    Column("network", lambda row: row.network),
    Column("training", lambda row: row.training),
    Column("switches", lambda row: row.spent.count, formats.count),
    Column("rewritten, apart", lambda row: row.spent.apart_bytes, formats.size),
    Column("rewritten, shared", lambda row: row.spent.shared_bytes, formats.size),
    Column("energy, apart", lambda row: row.spent.apart_joules, _millijoules),
    Column("energy, shared", lambda row: row.spent.shared_joules, _millijoules),
    Column("time, apart", lambda row: row.spent.apart_seconds, lambda value: f"{value:,.2f} s"),
    Column("time, shared", lambda row: row.spent.shared_seconds, lambda value: f"{value:,.2f} s"),
)
