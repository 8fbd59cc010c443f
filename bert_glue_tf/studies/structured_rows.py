"""A row of the second report's Table 1, and the columns that show it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.reports import formats, tables
from bert_glue_tf.reports.formats import Score
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import Interval
from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.studies import columns, printed

UNPRUNED = "unpruned"
DEVLIN = "BERT-base, Devlin et al. 2019"  # As the report prints it, above a BERT-base of its own.


@dataclasses.dataclass(frozen=True)
class Row:
    """A task's model beside the report's.

    Attributes:
      task: its name.
      model: the cell's label.
      metric: of the report for the task, by which all are scored.
      theirs: the report's score as a fraction; None for a model or a task that it has not.
      is_above: whether that is above the answer that is always the same.
      group: the finished models; None where there is none.
      constant: the score of that answer, in its own row; else None.
      difference: to the unpruned model.
      reason: why runs failed; empty where none did.
    """

    task: str
    model: str
    metric: str
    theirs: float | None = None
    is_above: bool = True
    group: Group | None = None
    constant: float | None = None
    difference: Comparison | None = None
    reason: str = ""

    @property
    def ours(self) -> Score | None:
        """Mean over the seeds of our score, or the constant answer's."""
        if self.constant is not None:
            return Score(self.constant, None)
        return Score(self.group.mean_of(self.metric), self.group.mark) if self.group else None

    @property
    def spread(self) -> Interval | None:
        """Smallest and largest score over the seeds; None of one seed."""
        if self.group is None or len(self.group.seeds) < 2:
            return None
        return self.group.spread_of(self.metric)

    @property
    def interval(self) -> Interval | None:
        """95 % interval of our score over the examples."""
        return self.group.interval_of(self.metric) if self.group else None

    @property
    def epochs(self) -> tuple[int, ...]:
        """After how many epochs the training of each seed has stopped."""
        histories = [model.history for model in self.group.models] if self.group else []
        return tuple(map(len, histories)) if all(histories) else ()

    @property
    def still_falling(self) -> float | None:
        """Mean change of the training loss from the last but one epoch to the last, as a fraction.

        The report trains on until it stands still. None where an epoch is all there is.
        """
        histories = [model.history for model in self.group.models] if self.group else []
        if not histories or any(len(history) < 2 for history in histories):
            return None
        changes = [
            float(last["loss"]) / float(before["loss"]) - 1
            for *_, before, last in histories
            if float(before["loss"])
        ]
        return sum(changes) / len(changes) if changes else None

    @property
    def sparsity(self) -> float | None:
        """Mean sparsity over the seeds; None without pruning."""
        found = [m.sparsity for m in self.group.models if m.sparsity] if self.group else []
        return sum(found) / len(found) if found else None


def _theirs(found: tuple[float | None, bool]) -> str:
    value, is_above = found
    if value is None:
        return ""
    return f"{value:.3f}" if is_above else f"{value:.3f} (*)"


COLUMNS: tuple[Column[Row], ...] = (
    Column("task", lambda row: row.task),
    Column("model", lambda row: row.model),
    Column("metric", lambda row: row.metric),
    Column("report", lambda row: (row.theirs, row.is_above), _theirs),
    Column("ours", lambda row: row.ours, columns.score_text, columns.score_tone, may_wrap=True),
    Column("seeds", lambda row: row.group.seeds if row.group else (), formats.listed),
    Column("range", lambda row: row.spread, formats.span),
    Column("score's interval", lambda row: row.interval, formats.span),
    Column(
        "sparsity",
        lambda row: row.sparsity,
        lambda value: "" if value is None else f"{value:.2%}",
    ),
    *columns.difference(lambda row: row.difference),
    Column("epochs", lambda row: row.epochs, formats.listed),
    Column(
        "loss, last epoch",
        lambda row: row.still_falling,
        lambda value: "" if value is None else f"{value:+.1%}",
    ),
    Column("why it failed", lambda row: row.reason),
)


def whole_table() -> Table[Mapping[str, str]]:
    """Return the report's own Table 1, with BERT-base by its paper first, as the report has it.

    Scores at the one answer to everything are marked.
    """
    rows = []
    named = {
        UNPRUNED if name == NO_PRUNING else name: of for name, of in printed.structures().items()
    }
    for model, of_task in {DEVLIN: printed.devlin(), **named}.items():
        cells = {"model": model}
        for task, score in of_task.items():
            known = printed.MAJORITY.get(task)
            star = "" if known is None or printed.is_above(score, *known) else " (*)"
            cells[printed.names([task])] = f"{score:.3f}{star}"
        rows.append(cells)
    return tables.of(rows)
