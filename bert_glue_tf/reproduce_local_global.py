"""Command: local against global ranking over a range of sparsities, and where the zeros are.

python -m bert_glue_tf.reproduce_local_global --tasks=rest16 --data=/folder/with/absa
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.studies import arguments

# The study prunes the embeddings too.
arguments.define_flags("local_global", pruning_scope="all", pruning_schedule="gradual")
_TASKS = flags.DEFINE_list("tasks", ["rest16"], "Tasks: rest16, laptop14, rest14, or GLUE's.")
_SPARSITIES = flags.DEFINE_list(
    "sparsities", [f"0.{tenth}" for tenth in range(1, 10)], "Sparsities, separated by commas."
)


def main() -> None:
    from bert_glue_tf.studies import local_global

    study = local_global.LocalGlobal(
        list(dict.fromkeys(_TASKS.value)),
        arguments.settings("pruning_scope", "pruning_schedule"),
        local_global.sparsities(_SPARSITIES.value),
        arguments.numbers("seeds"),
    )
    study.made_by = arguments.command_line("reproduce_local_global")
    arguments.run(study)
    arguments.present(study, "local_global.md, tables and figures")


def command() -> None:
    """Run the command `bert-glue-reproduce-local-global`."""
    cli.run(main, __doc__, "with the runs that are not finished")


if __name__ == "__main__":
    command()
