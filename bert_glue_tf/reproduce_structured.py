"""Command: magnitude, row, column and block pruning at one ratio, beside the report's Table 1.

python -m bert_glue_tf.reproduce_structured --tasks=mrpc,sst2,stsb --data=/folder/with/glue
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.runs.settings import TRAINING
from bert_glue_tf.studies import arguments

# Pruned to 1.428 times smaller, as the report has it (1 - 1 / 1.428 is 30 %), and trained on until
# the training loss stands still.
arguments.define_flags(
    "structured",
    finetune_epochs=3,
    final_sparsity=0.3,
    epochs=8,
    early_stopping=2,
    early_stopping_loss=TRAINING,
    early_stopping_threshold=0.01,
)
_TASKS = flags.DEFINE_list("tasks", ["mrpc", "sst2", "stsb"], "Tasks of GLUE.")
_BLOCK = flags.DEFINE_string("block", "16x16", "Size of a block, inputs x outputs.")
_SST2 = flags.DEFINE_integer(
    "sst2_train_examples", 0, "Train SST-2 on so many of its 67,349 sentences only; 0 = all."
)

_OWN = flags.DEFINE_list(
    "own_data",
    [],
    "Folders of texts of one's own, each a task more, named after the task of GLUE that they are "
    "drawn from: /folder/with/mnli_9k.",
)


def main() -> None:
    from bert_glue_tf.studies.structured import Structured

    study = Structured(
        list(dict.fromkeys(_TASKS.value)),
        arguments.settings("final_sparsity"),
        arguments.numbers("seeds"),
        block=_BLOCK.value,
        sst2_examples=_SST2.value,
        own_data=_OWN.value,
    )
    study.made_by = arguments.command_line("reproduce_structured")
    arguments.run(study)
    arguments.present(study, "structured.md and structured.csv")


def command() -> None:
    """Run the command `bert-glue-reproduce-structured`."""
    cli.run(main, __doc__, "with the runs that are not finished")


if __name__ == "__main__":
    command()
