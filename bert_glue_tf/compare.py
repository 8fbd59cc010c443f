"""Command: result records -> tables, plots and one HTML page; only --time measures anything.

python -m bert_glue_tf.compare --runs='runs/*'
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli, interrupts, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.evaluation.defaults import AGAINST, MARGIN, UNPRUNED
from bert_glue_tf.export import arguments

arguments.define_runs()
_MARGIN = flags.DEFINE_float(
    "margin", MARGIN, "Scores that differ by less are called equal: 0.01 is one point."
)
_AGAINST = flags.DEFINE_enum(
    "against",
    UNPRUNED,
    AGAINST,
    "What each model is compared with: unpruned, the unpruned one of the same training; start, the "
    "run whose weights it began with.",
)
_OUTPUT = flags.DEFINE_string("output", "comparison", "Folder of the tables, plots and the page.")
_TIME = flags.DEFINE_bool(
    "time",
    False,
    "First time all files of the runs in turns, as the benchmark command does; else the times are "
    "those of the newest session that holds all of them.",
)
arguments.define_timing()


def main() -> None:
    folders = arguments.folders()
    margin = _margin()
    if _TIME.value:
        with interrupts.held():
            from bert_glue_tf.export import benchmark

        benchmark.measure(folders, **arguments.timing())
    else:
        arguments.refuse_timing()
    with interrupts.held():
        from bert_glue_tf.reports import files, groups, reading, rows, summary, terminal, verdicts

    models = reading.read(folders)
    found = groups.group(models)
    differences = verdicts.differences(models, margin, _AGAINST.value)
    terminal.print_rows("Models", rows.groups(found))
    left_out = terminal.print_rows("Differences", rows.differences(differences))
    notes = summary.notes(models, _AGAINST.value)
    for line in (*summary.legend(differences, left_out), *notes):
        layout.say(line)
    page = files.write(
        cli.path("output", _OUTPUT.value), found, differences, margin, _AGAINST.value
    )
    layout.say(f"Tables, plots and the page are in {page.parent}; open {page}.")


def _margin() -> float:
    if not 0.0 < _MARGIN.value < 1.0:
        raise UserError(
            f"--margin={_MARGIN.value}: give a difference of scores between 0 and 1, as in 0.01."
        )
    return float(_MARGIN.value)


def command() -> None:
    """Run the command `bert-glue-compare`."""
    cli.run(main, __doc__)


if __name__ == "__main__":
    command()
