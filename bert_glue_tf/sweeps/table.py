"""The table of a sweep: its records, a row for each setting of the grid."""

from __future__ import annotations

import collections
import dataclasses
import math
import statistics
import textwrap
from collections.abc import Mapping, Sequence

from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.reports import reading, terminal
from bert_glue_tf.runs import config
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.sweeps import plan
from bert_glue_tf.sweeps.plan import Run


def scores(record: ExperimentResult) -> str:
    """Return the primary metric of each validation split: `matthews 0.7682`."""
    return ", ".join(f"{key} {_number(record.metrics[key])}" for key in _primary(record))


def _primary(record: ExperimentResult) -> list[str]:
    task = tasks.of(record)
    return [f"{task.primary_metric}{suffix}" for suffix in task.validation_splits]


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "undefined"


def dry_rows(runs: Sequence[Run], done: Mapping[str, ExperimentResult]) -> list[dict[str, str]]:
    """Return what a sweep would do as rows for `terminal.print_rows`, one a run."""
    shown = list(dict.fromkeys(name for run in runs for name in run.chosen))
    return [
        {
            "run": run.name,
            **{name: run.chosen.get(name, "") for name in shown if name not in config.NAMED},
            "starts from": ", ".join(run.needs),
            "state": f"finished: {scores(done[run.name])}" if run.name in done else "to be run",
        }
        for run in runs
    ]


def table(
    runs: Sequence[Run],
    records: Mapping[str, ExperimentResult],
    failures: Mapping[str, str],
    names: Sequence[str],
) -> list[dict[str, str]]:
    """Return mean and range of the primary metric, a row for each setting but the seed.

    A mean is marked COLLAPSED where one of its models has collapsed.

    Args:
      runs: of the sweep; those that the grid has not asked for are left out.
      records, failures: of a `Sweep`.
      names: the settings of the grid.

    Raises:
      UserError: a record is older than marks, and its predictions are missing or damaged.
    """
    shown = dict.fromkeys("pruning_method" if name == "prune" else name for name in names)
    shown.pop("seed", None)
    groups = collections.defaultdict(list)
    for run in runs:
        if run.in_grid:
            chosen = plan.chosen_values(run.config, names)
            groups[tuple(chosen.get(name, "") for name in shown)].append(run)
    rows = []
    for key, some in groups.items():
        done = [(run, records[run.name]) for run in some if run.name in records]
        keys = _primary(done[0][1]) if done else []
        values = {key: [record.metrics[key] for _, record in done] for key in keys}
        marks = [reading.marked_run(record, run.folder.path).mark for run, record in done]
        fallen = marks.count(Mark.COLLAPSED)
        mark = f" {Mark.COLLAPSED.value} ({fallen} of {len(done)})" if fallen else ""
        rows.append(
            {
                **dict(zip(shown, key, strict=True)),
                "metric": ", ".join(keys),
                "mean": ", ".join(_number(statistics.fmean(found)) for found in values.values())
                + mark,
                "range": ", ".join(
                    f"{_number(min(found))} to {_number(max(found))}"
                    for found in values.values()
                    if len(found) > 1
                ),
                "seeds": ", ".join(str(run.config.seed) for run, _ in done),
                "failed": ", ".join(
                    f"seed {run.config.seed}" for run in some if run.name in failures
                ),
            }
        )
    return rows


def notes(records: Mapping[str, ExperimentResult], runs: Sequence[Run] = ()) -> list[str]:
    """Return the lines that a reader of the table has to know.

    Args:
      records: run's name -> its record.
      runs: those of a grid, which are called by its values too.
    """
    titles = {run.name: run.title for run in runs}
    about_data = [
        line
        for record in records.values()
        # Its first line is on the brackets of another table.
        for line in terminal.notes(dataclasses.replace(record, warnings=()))[1:]
    ]
    warnings = [
        f"Warning: {titles.get(name, name)}: {text}."
        for name, record in records.items()
        for text in record.warnings
    ]
    return [*dict.fromkeys(about_data), *warnings]


def told_failures(runs: Sequence[Run], failures: Mapping[str, str]) -> list[str]:
    """Return each failed run with its message and the place of its log, as lines.

    A failure of something else, as of a search's trial that came to no run, has its name.
    """
    lines = []
    for run in runs:
        if run.name in failures:
            where = f" (log: {run.log})" if run.log.exists() else ""
            message = textwrap.indent(failures[run.name], "  ")
            lines += [f"FAILED: {run.title}{where}", message]
    for name in sorted(failures.keys() - {run.name for run in runs}):
        lines += [f"FAILED: {name}", textwrap.indent(failures[name], "  ")]
    return lines
