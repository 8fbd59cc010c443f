"""Command: local against global ranking over a range of sparsities, and where the zeros are.

python -m bert_glue_tf.reproduce_local_global --tasks=rest16 --data=/folder/with/absa
"""

from __future__ import annotations

import sys

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.studies import studying

# The study prunes the embeddings too.
studying.define_flags("local_global", pruning_scope="all", pruning_schedule="gradual")
FLAGS = flags.FLAGS
_TASKS = flags.DEFINE_list("tasks", ["rest16"], "Tasks: rest16, laptop14, rest14, or GLUE's.")
_SPARSITIES = flags.DEFINE_list(
    "sparsities", [f"0.{tenth}" for tenth in range(1, 10)], "Sparsities, separated by commas."
)


def main() -> None:
    from bert_glue_tf.reports import terminal
    from bert_glue_tf.studies import local_global

    if not _TASKS.value:
        raise UserError(f"--tasks=: give some of {', '.join(local_global.TASKS)}.")
    given = studying.settings("pruning_scope", "pruning_schedule")
    at, seeds = local_global.sparsities(_SPARSITIES.value), studying.numbers("seeds")
    grids = [local_global.Grid(task, given, at, seeds) for task in dict.fromkeys(_TASKS.value)]
    cells = [one for grid in grids for one in grid.cells]
    study = studying.Study(cells, studying.folder("runs_dir"), FLAGS["workers"].value)
    study.run()
    found = local_global.write(study, grids, studying.folder("output"))
    for grid in grids:
        title = f"{grid.task}{studying.sample_mark(study)}"
        terminal.print_rows(title, local_global.compact(local_global.score_rows(study, grid)))
        for ranking, rows in local_global.compact_spread(found[grid.task]).items():
            terminal.print_rows(f"{title}: percent of zeros in each part, {ranking}", rows)
        print("\n".join(local_global.finding(study, grid)))
    print(f"The study's claim: {local_global.published()['claim']}.")
    print("\n".join(study.notes()))
    print(f"Written to {studying.folder('output')}: local_global.md, tables and figures.")
    if study.failures:
        print("\n".join(study.told_failures()))
        sys.exit(1)


def command() -> None:
    """Run the command `bert-glue-reproduce-local-global`."""
    cli.run(main, __doc__, "with what is left")


if __name__ == "__main__":
    command()
