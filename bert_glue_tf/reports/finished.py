"""A finished run as the commands that end with one show it, in one place."""

from __future__ import annotations

from bert_glue_tf.core import layout
from bert_glue_tf.reports import per_label, sizes, terminal
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder


def show(result: ExperimentResult, folder: RunFolder) -> None:
    """Print a run's table, its labels with the lowest F1, its folder, and how it is exported.

    Args:
      result: the run's record.
      folder: of the run.

    Raises:
      UserError: its predictions are missing or damaged.
    """
    terminal.print_table(result)
    per_label.print_worst(result, folder)
    if result.sizes:
        found = sizes.trained(result, folder)
        terminal.print_rows("The networks that its weights hold (--size)", found)
    layout.say(f"Everything of this run is in {folder.path}.")
    layout.say(
        "This makes .tflite files of it:\n" + layout.command("export_tflite", run=folder.path)
    )
