"""Rows of the study of local against global pruning, and the columns of its tables."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from bert_glue_tf.evaluation.significance import Difference
from bert_glue_tf.reports import formats
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.tables import Column
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import columns, local_global_claims, words
from bert_glue_tf.studies.zeros import RANKINGS


@dataclasses.dataclass(frozen=True)
class ScoreRow:
    """Both rankings at one sparsity.

    Attributes:
      sparsity: None for the unpruned model, which stands for both.
      groups: ranking -> its models; None where none was finished.
      against: ranking -> its difference to the unpruned model.
      difference: local minus global.
      removed: ranking -> share of the weights in scope that are zero, mean over the seeds.
      reason: why runs failed; empty where none did.
      majority: score of the best answer that is always the same; None where nothing was finished.
    """

    sparsity: float | None
    groups: Mapping[str, Group | None]
    against: Mapping[str, Comparison | None]
    difference: Comparison | None
    removed: Mapping[str, float | None]
    reason: str
    majority: float | None = None


@dataclasses.dataclass(frozen=True)
class OverviewRow:
    """One model: at how many sparsities either ranking is better.

    Attributes:
      title: of the model.
      unpruned: its models without pruning; None where none was finished.
      theirs: what was published of that model, unpruned; None where nothing was.
      majority: as in `ScoreRow`.
      better: ranking -> number of sparsities at which it is shown to be the better one.
      compared: number of sparsities at which both were finished.
      mean: local minus global over these.
    """

    title: str
    unpruned: Group | None
    theirs: float | None
    majority: float | None
    better: Mapping[str, int]
    compared: int
    mean: Difference | None


def _removed(ranking: str) -> Column[ScoreRow]:
    return Column(
        f"{ranking}'s zeros", lambda row: row.removed.get(ranking), formats.percent, spare=1
    )


def _against(ranking: str) -> Column[ScoreRow]:
    return Column(
        f"{ranking} - unpruned",
        lambda row: row.against.get(ranking),
        lambda found: words.interval(found) if found else "",
    )


_BETTER = {
    Outcome.BETTER: "local",
    Outcome.WORSE: "global",
    Outcome.NO_DIFFERENCE: "none shown",
    Outcome.UNDEFINED: "cannot be told",
}


def _better(found: Comparison | None) -> str:
    """Return which ranking is better, as the study counts it, with the p-value: `local, p 0.012`.

    The verdict beside it says nothing where either has collapsed.
    """
    if found is None:
        return ""
    outcome = local_global_claims.outcome(found)
    if outcome is Outcome.UNDEFINED:
        return _BETTER[outcome]
    p = formats.p_value(found.difference.p)
    return f"{_BETTER[outcome]}, p {p}" if p else _BETTER[outcome]


SCORES: tuple[Column[ScoreRow], ...] = (
    Column(
        "sparsity",
        lambda row: row.sparsity,
        lambda sparsity: "unpruned" if sparsity is None else words.percent(sparsity),
    ),
    columns.score("local", lambda row: row.groups["local"]),
    columns.score("global", lambda row: row.groups["global"]),
    *map(_removed, RANKINGS),
    columns.spread("local's range", lambda row: row.groups["local"]),
    columns.spread("global's range", lambda row: row.groups["global"]),
    columns.score_interval("local's interval", lambda row: row.groups["local"]),
    columns.score_interval("global's interval", lambda row: row.groups["global"]),
    Column("majority", lambda row: row.majority, formats.number),
    *map(_against, RANKINGS),
    Column("better", lambda row: row.difference, _better),
    *columns.difference(lambda row: row.difference),
    Column("why it failed", lambda row: row.reason),
)


def _interval(found: Difference | None) -> str:
    if found is None or not found.is_defined:
        return ""
    low, high = found.interval
    return f"{found.mean:+z.3f} ({low:+z.3f} to {high:+z.3f})"


OVERVIEW: tuple[Column[OverviewRow], ...] = (
    Column("model", lambda row: row.title, may_wrap=True),
    Column("published", lambda row: row.theirs, formats.number),
    columns.score("unpruned", lambda row: row.unpruned),
    columns.spread("range", lambda row: row.unpruned),
    columns.score_interval("score's interval", lambda row: row.unpruned),
    Column("majority", lambda row: row.majority, formats.number),
    Column("local better at", lambda row: row.better["local"]),
    Column("global better at", lambda row: row.better["global"]),
    Column("of", lambda row: row.compared),
    Column("local - global, mean", lambda row: row.mean, _interval, may_wrap=True),
)
# The columns of the tables that a terminal shows of a model.
FIRST = ("sparsity", "local", "global", "difference", "95 % interval", "better")
SPREADS = (
    "sparsity",
    *(f"{ranking}'s {what}" for ranking in RANKINGS for what in ("range", "interval")),
    "majority",
)
