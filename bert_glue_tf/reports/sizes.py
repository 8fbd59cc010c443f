"""The tables of networks that one set of weights holds: as trained, and in one file of all."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bert_glue_tf.data import tasks
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.export.one_file import OneFile
from bert_glue_tf.reports import formats
from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.runs import results
from bert_glue_tf.runs.paths import RunPaths
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Row:
    """A network in a file of several.

    Attributes:
      file: the record of the file.
      size: name of the network.
    """

    file: OneFile
    size: str

    @property
    def slower(self) -> float:
        """Return how many times as long it takes as in its own file, by the shortest times."""
        times = self.file.fastest[self.size]
        return times["shared"] / times["own"]


def trained(result: ExperimentResult, folder: RunFolder) -> Table[ExperimentResult]:
    """Return a row for each network that a run's weights hold, from the smallest on.

    Args:
      result: the run's record.
      folder: of the run.

    Raises:
      UserError: a record is damaged.
    """
    *smaller, _ = result.sizes["names"]
    own = [results.load(RunPaths(folder.sizes / name).results_file)[-1] for name in smaller]
    task = tasks.of(result)
    return Table(_trained_columns(task), (*own, result))


def _trained_columns(task: TaskSpec) -> tuple[Column[ExperimentResult], ...]:
    """Return the columns of `trained`; the size is the name under which it is asked for."""

    def score(name: str) -> Column[ExperimentResult]:
        return Column(name, lambda one: one.metrics[name], formats.number)

    def interval(name: str) -> Column[ExperimentResult]:
        return Column("95 % interval", lambda one: one.intervals.get(name), formats.span)

    names = [f"{task.primary_metric}{suffix}" for suffix in task.validation_splits]
    scores = [column for name in names for column in (score(name), interval(name))]
    return (
        Column("size", lambda one: (one.size,), lambda value: value[0]),
        *scores[:2],
        *scores[2::2],
        Column("parameters", lambda one: one.parameters["total"], formats.count),
        Column("non-zero", lambda one: one.parameters["nonzero"], formats.count),
        Column("saved model", lambda one: one.bytes["plain"], formats.size),
        Column("gzipped", lambda one: one.bytes["gzip"], formats.size),
    )


_COLUMNS: tuple[Column[Row], ...] = (
    Column("recipe", lambda row: row.file.recipe),
    Column("size", lambda row: row.size),
    Column("own file", lambda row: row.file.separate_bytes[row.size], formats.size),
    Column("all own files", lambda row: row.file.separate, formats.size),
    Column("one file", lambda row: row.file.bytes, formats.size),
    Column("ms, own", lambda row: row.file.milliseconds[row.size]["own"], formats.milliseconds),
    Column(
        "ms, one file", lambda row: row.file.milliseconds[row.size]["shared"], formats.milliseconds
    ),
    Column("times as long", lambda row: row.slower, lambda value: formats.number(value, 2)),
)


def table(found: Sequence[OneFile]) -> Table[Row]:
    """Return a row for each network of each file.

    Args:
      found: the records of the files.
    """
    return Table(_COLUMNS, tuple(Row(one, size) for one in found for size in one.separate_bytes))
