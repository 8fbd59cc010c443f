"""Command: the exported files of many runs -> their times, taken in turns in one session.

python -m bert_glue_tf.benchmark --runs='runs/*'
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli, interrupts
from bert_glue_tf.export import arguments

arguments.define_runs()
_RECIPES = flags.DEFINE_list(
    "recipes",
    [],
    "Recipes of the files, separated by commas; by default all. The unpruned float32 file, with "
    "which the others are compared, is always timed.",
)
arguments.define_timing()


def main() -> None:
    folders = arguments.folders()
    with interrupts.held():
        from bert_glue_tf.export import benchmark
        from bert_glue_tf.reports import terminal, times

    found = benchmark.measure(folders, recipes=_RECIPES.value, **arguments.timing())
    terminal.print_rows(times.title(found), times.table(found))


def command() -> None:
    """Run the command `bert-glue-benchmark`."""
    cli.run(main, __doc__)


if __name__ == "__main__":
    command()
