"""Shows a finished compression, and writes its page."""

from __future__ import annotations

from bert_glue_tf.budget import page, tables
from bert_glue_tf.budget.checked import Launch
from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import Outcome
from bert_glue_tf.core import layout
from bert_glue_tf.reports import terminal


def show(launch: Launch, outcome: Outcome) -> None:
    """Print the tables of a result, write its page, and say where the file is.

    Args:
      launch: of the compression.
      outcome: its result.

    Raises:
      UserError: the page cannot be written.
    """
    folder = CompressFolder(launch.folder)
    page.write(folder, outcome)
    tried = tables.tried(folder.trials(), folder.choice(outcome.stage))
    terminal.print_rows("Files that were tried", tried)
    terminal.print_rows("Predicted and measured", tables.predicted(outcome))
    terminal.print_rows("What was bought", tables.bought(outcome))
    layout.say(tables.headline(outcome))
    for line in tables.notes(outcome):
        layout.say(line)
    layout.say(
        f"The file is {launch.folder / outcome.file['path']}, its card beside it. The path that "
        f"led to it: open {folder.page}."
    )
    if launch.is_search_only:
        layout.say("The same command without --search_only trains the networks, and chooses anew.")
