"""Command: irregular, row, column and block pruning at one ratio, beside the paper's Table 1.

python -m bert_glue_tf.reproduce_structured --tasks=mrpc,sst2,stsb --data=/folder/with/glue
"""

from __future__ import annotations

import sys

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.studies import studying

# 1.428 times smaller, as the second report has it: 1 - 1 / 1.428 is 30 %.
studying.define_flags("structured", finetune_epochs=3, final_sparsity=0.3)
FLAGS = flags.FLAGS
_TASKS = flags.DEFINE_list("tasks", ["mrpc", "sst2", "stsb"], "Tasks of GLUE.")
_BLOCK = flags.DEFINE_string("block", "16x16", "Size of a block, inputs x outputs.")
_SST2 = flags.DEFINE_integer(
    "sst2_train_examples", 0, "Train SST-2 on so many of its 67,349 sentences only; 0 = all."
)


def main() -> None:
    from bert_glue_tf.reports import terminal
    from bert_glue_tf.studies import structured

    table = structured.cells(
        list(dict.fromkeys(_TASKS.value)),
        studying.settings("final_sparsity"),
        studying.numbers("seeds"),
        block=_BLOCK.value,
        sst2_examples=_SST2.value,
    )
    every = [one for models in table.values() for one in models]
    study = studying.Study(every, studying.folder("runs_dir"), FLAGS["workers"].value)
    study.run()
    rows = structured.rows(study, table)
    for task, models in table.items():
        own = structured.compact([row for row in rows if row["task"] == task])
        terminal.print_rows(f"{task}{studying.sample_mark(study)}", own)
        print("\n".join(structured.ranking(study, models)))
    print("\n".join(study.notes()))
    structured.write(study, table, studying.folder("output"))
    print(f"Written to {studying.folder('output')}: structured.md and structured.csv.")
    if study.failures:
        print("\n".join(study.told_failures()))
        sys.exit(1)


def command() -> None:
    """Run the command `bert-glue-reproduce-structured`."""
    cli.run(main, __doc__, "with what is left")


if __name__ == "__main__":
    command()
