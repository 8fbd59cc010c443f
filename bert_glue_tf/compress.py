"""Command: a finished run and a budget -> the best file that keeps it, and what that costs.

python -m bert_glue_tf.compress --run=runs/mrpc --max_mb=6 --max_ms=3 --at_length=64
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.budget import arguments, steps
from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.sweeps.executors import choice

_RUN = flags.DEFINE_string("run", "", "Folder of a finished run of the train command.")
arguments.define_flags()
choice.define_flags(is_carried=False)
_WORKDIR = flags.DEFINE_string(
    "workdir",
    "",
    "Folder of the compression; by default beside the run, with the run's name and the budget.",
)
_PLAN = flags.DEFINE_bool("plan", False, "Show the steps and how long they take, and do nothing.")
_SEARCH_ONLY = flags.DEFINE_bool(
    "search_only",
    False,
    "Stop before any training: a smaller file in minutes. With --max_drop only for a run that has "
    "held out texts.",
)


def main() -> None:
    from bert_glue_tf.budget.checked import Launch

    if not _RUN.value:
        raise UserError("--run is missing. Give the folder of a finished run.")
    choice.warn_of_unused()
    asked = Launch.check(
        cli.path("run", _RUN.value),
        arguments.settings(),
        cli.path("workdir", _WORKDIR.value) if _WORKDIR.value else None,
        is_search_only=_SEARCH_ONLY.value,
        workers=flags.FLAGS["workers"].value,
        cluster=flags.FLAGS["cluster"].value,
    )
    from bert_glue_tf.reports import terminal

    if _PLAN.value:
        planned = asked.planned()
        terminal.print_rows(f"For {asked.settings.limits.text}", steps.rows(planned))
        layout.say(f"In {asked.folder}: {steps.told_left(planned)}.")
        return
    from bert_glue_tf.budget import launch, shown

    shown.show(asked, launch.work(asked))


def command() -> None:
    """Run the command `bert-glue-compress`."""
    cli.run(main, __doc__, "where it stopped")


if __name__ == "__main__":
    command()
