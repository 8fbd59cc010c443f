"""Command: a grid of runs, or a search; what is missing is run, what is finished is not.

python -m bert_glue_tf.sweep --task=cola --prune --grid='final_sparsity=0.1,0.5;seed=1,2,3'
"""

from __future__ import annotations

import pathlib
import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from absl import flags, logging

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.runs import command_line
from bert_glue_tf.sweeps.executors import choice
from bert_glue_tf.sweeps.trials import journal

if TYPE_CHECKING:
    from bert_glue_tf.sweeps.sweep import Sweep

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
_SEARCH = flags.DEFINE_string(
    "search",
    "",
    "In place of --grid: settings that Optuna proposes, name=log(low,high), name=low..high or "
    "name=value,value; the primary metric is maximised. Needs the extra `search`.",
)
_TRIALS = flags.DEFINE_integer("trials", 20, "Runs of --search, in all.", lower_bound=1)
_SAMPLER = flags.DEFINE_enum(
    "sampler", journal.SAMPLERS[0], journal.SAMPLERS, "How --search proposes settings."
)
_PRUNER = flags.DEFINE_enum(
    "pruner",
    journal.PRUNERS[0],
    journal.PRUNERS,
    "Which runs of --search are stopped, by the primary metric of each epoch.",
)
_OF_SEARCH = ("trials", "sampler", "pruner")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Show what would be run, and what is finished.")


def main() -> None:
    from bert_glue_tf.sweeps import grid

    given = {name: FLAGS[name] for name in grid.setting_names() if FLAGS[name].present}
    if FLAGS["workdir"].present:
        logging.warning("--workdir: not used; each run has its own folder in %s", _RUNS_DIR.value)
    values = {name: str(flag.value) for name, flag in given.items()}
    root = cli.path("runs_dir", _RUNS_DIR.value)
    unused = [name for name in _OF_SEARCH if FLAGS[name].present and not _SEARCH.value]
    if unused:
        raise UserError(f"--{unused[0]}: means nothing without --search.")
    if _SEARCH.value:
        _search(values, root)
    else:
        _sweep(values, root)


def _sweep(given: Mapping[str, str], root: pathlib.Path) -> None:
    """Run a grid, and print its table."""
    from bert_glue_tf.reports import terminal
    from bert_glue_tf.sweeps import grid, plan, table
    from bert_glue_tf.sweeps.sweep import Sweep

    chosen = grid.parse_grid(";".join(_GRID.value))
    runs = plan.plan(grid.configurations(given, chosen), root, list(chosen))
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
    _end(sweep, root)


def _search(given: Mapping[str, str], root: pathlib.Path) -> None:
    """Run a search, print the table of its trials, and write its page."""
    from bert_glue_tf.reports import terminal
    from bert_glue_tf.sweeps.trials import search, shown, space

    if _GRID.value:
        raise UserError("--grid and --search: give one of them.")
    wanted = space.parse(_SEARCH.value)
    one = space.check(given, wanted)
    executor = choice.chosen()
    journal.check_pruner(_PRUNER.value, FLAGS["storage"].value)
    journal.require()
    if _DRY_RUN.value:
        listed = [{"setting": name, "values": values.text} for name, values in wanted.items()]
        terminal.print_rows(f"{_TRIALS.value} runs in {root}, with", listed)
        return
    opened = journal.Journal.open(root, one, given, wanted, _SAMPLER.value, _PRUNER.value)
    found = search.Search(opened, one, root, given, wanted, _TRIALS.value, executor)
    found.run()
    terminal.print_rows("Trials, the best first", shown.rows(found))
    shown.write(found, shlex.join([*cli.program(), *sys.argv[1:]]))
    layout.say(f"Their history and the importance of the settings: {opened.page}")
    found.require_result()
    _end(found.sweep, root)


def _end(sweep: Sweep, root: pathlib.Path) -> None:
    """Say what can be done with the runs, and which of them have failed."""
    from bert_glue_tf.sweeps import table

    layout.say(
        f"The runs are in {root}. This compares them:\n"
        + layout.command("compare", runs=f"{root}/*")
    )
    if sweep.failures:
        layout.say("\n".join(table.told_failures(sweep.runs, sweep.failures)))
        sys.exit(1)


def command() -> None:
    """Run the command `bert-glue-sweep`."""
    cli.run(main, __doc__, "with the runs that are not finished, each after its last saved state")


if __name__ == "__main__":
    command()
