"""Command: labels for much text, part by part, on the cores of this machine or on a cluster.

python -m bert_glue_tf.label --model=runs/demo --input='texts/*.jsonl' --output=labelled
"""

from __future__ import annotations

import sys

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.sweeps.executors import choice

_MODEL = flags.DEFINE_string("model", "", "Folder of a finished run, or a .tflite file.")
_INPUT = flags.DEFINE_string(
    "input",
    "",
    "A file, or a pattern in quotes, as 'texts/*.jsonl' (** stands for any folders): lines of "
    "text, .csv, .tsv, .jsonl or .parquet, also with .gz. Each file is a part.",
)
_OUTPUT = flags.DEFINE_string(
    "output", "", "Folder of the parts with their labels, each called as in the input."
)
_COLUMNS = flags.DEFINE_list(
    "text_columns",
    [],
    "Columns of the texts: their names, or numbers from 1 of a .tsv or of lines; by default those "
    "of the training, else those with usual names.",
)
_AT = flags.DEFINE_enum(
    "at",
    None,
    ("recall", "precision"),
    "Answer by the threshold that --at_recall or --at_precision of the training chose.",
)
_THREADS = flags.DEFINE_integer(
    "threads",
    0,
    "Texts of a .tflite file that are predicted at the same time in each process; 0: the "
    "processors of this machine, shared by --workers.",
    lower_bound=0,
)
choice.define_flags("Processes", is_carried=False)


def main() -> None:
    from bert_glue_tf.labelling import launch, shown

    launch.require(_MODEL.value, "model", "the folder of a run, or a .tflite file")
    launch.require(_INPUT.value, "input", "a file, or a pattern as 'texts/*.jsonl'")
    launch.require(_OUTPUT.value, "output", "a folder for the parts with their labels")
    outcome = launch.label(
        cli.path("model", _MODEL.value),
        _INPUT.value,
        cli.path("output", _OUTPUT.value),
        text_columns=_COLUMNS.value,
        at=_AT.value or "",
        threads=_THREADS.value,
        executor=choice.chosen(),
    )
    layout.say("\n".join(shown.lines(outcome)))
    if outcome.failures:
        sys.exit(1)


def command() -> None:
    """Run the command `bert-glue-label`."""
    cli.run(main, __doc__, "with the parts that are not labelled")


if __name__ == "__main__":
    command()
