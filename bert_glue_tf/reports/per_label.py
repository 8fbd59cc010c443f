"""The scores of single labels, for a task of the user's own: the worst ones are shown first."""

from __future__ import annotations

from bert_glue_tf.data import problems, tasks
from bert_glue_tf.evaluation import predictions
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs.paths import RunPaths
from bert_glue_tf.runs.results import ExperimentResult

SHOWN = 10  # Labels of a split; the file has all of them.


def print_worst(result: ExperimentResult, folder: RunPaths) -> None:
    """Print a table of the labels with the lowest F1 on each scored split.

    Nothing for a known task, for a problem without labels, or for a model that diverged.

    Args:
      result: the run's record.
      folder: of the run, with its predictions.

    Raises:
      UserError: the predictions are missing or damaged.
    """
    task = tasks.of(result)
    if task.own is None:
        return
    for split in task.scored_splits.values():
        read = predictions.read(folder.predictions_file(split), task)
        if problems.diverged(read.logits):
            continue
        found = task.problem.per_label(read.labels, task.problem.decode(read.logits))
        worst = sorted((one for one in found if one.examples), key=lambda one: one.f1)[:SHOWN]
        rows = [
            {
                "label": one.label,
                "examples": f"{one.examples:,}",
                "precision": f"{one.precision:.3f}",
                "recall": f"{one.recall:.3f}",
                "F1": f"{one.f1:.3f}",
            }
            for one in worst
        ]
        few = f"the {len(rows)} of {len(found)} labels with the lowest F1"
        title = few if len(rows) < len(found) else f"all {len(found)} labels"
        terminal.print_rows(f"{split}: {title} ({folder.labels_file(split)} has all)", rows)
