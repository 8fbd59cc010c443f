"""Command: a grid of runs; what is missing is run, what is finished is not; then the table.

python -m bert_glue_tf.sweep --task=cola --prune --grid='final_sparsity=0.1,0.5;seed=1,2,3'
"""

from __future__ import annotations

import os
import pathlib
import sys

from absl import flags, logging

from bert_glue_tf.core import cli, layout
from bert_glue_tf.runs import command_line
from bert_glue_tf.sweeps.executors import choice

command_line.define_flags()
FLAGS = flags.FLAGS
_GRID = flags.DEFINE_multi_string(
    "grid",
    [],
    "Settings and their values, name=value,value;name=value: every combination is a run. A value "
    "that holds commas stands in parentheses: pruning_method=(attention_head,neuron),magnitude. "
    "May be given repeatedly, for further settings.",
)
_RUNS_DIR = flags.DEFINE_string(
    "runs_dir", "runs", "Folder of the runs, each in its own as the train command names it."
)
choice.define_flags()
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Show what would be run, and what is finished.")


def main() -> None:
    from bert_glue_tf.reports import terminal
    from bert_glue_tf.sweeps import grid, plan, table
    from bert_glue_tf.sweeps.sweep import Sweep

    given = {name: FLAGS[name] for name in grid.setting_names() if FLAGS[name].present}
    if FLAGS["workdir"].present:
        logging.warning("--workdir: not used; each run has its own folder in %s", _RUNS_DIR.value)
    chosen = grid.parse_grid(";".join(_GRID.value))
    configs = grid.configurations({k: str(v.value) for k, v in given.items()}, chosen)
    root = pathlib.Path(os.path.expanduser(_RUNS_DIR.value))
    runs = plan.plan(configs, root, list(chosen))
    sweep = Sweep(runs, choice.chosen())
    plan.check_methods(sweep.missing())
    if _DRY_RUN.value:
        terminal.print_plan(root, table.dry_rows(runs, sweep.records))
        return
    plan.check(sweep.missing())
    sweep.run()
    rows = table.table(runs, sweep.records, sweep.failures, list(chosen))
    terminal.print_rows("Primary metric", rows)
    for line in table.notes(sweep.records, runs):
        layout.say(line)
    layout.say(
        f"The runs are in {root}. This compares them:\n"
        + layout.command("compare", runs=f"{root}/*")
    )
    if sweep.failures:
        layout.say("\n".join(table.told_failures(runs, sweep.failures)))
        sys.exit(1)


def command() -> None:
    """Run the command `bert-glue-sweep`."""
    cli.run(main, __doc__, "with the runs that are not finished, each after its last saved state")


if __name__ == "__main__":
    command()
