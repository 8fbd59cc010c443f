"""Command: every pruning method at one sparsity on one task: score, size, time, robustness.

python -m bert_glue_tf.survey --task=cola --data=/folder/with/glue --encoder=minilm_l6
"""

from __future__ import annotations

import sys

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.evaluation import robustness
from bert_glue_tf.studies import studying

studying.define_flags(
    "survey",
    task="cola",
    final_sparsity=0.5,
    pruning_schedule="gradual",
    pruning_scope="encoder",
)
FLAGS = flags.FLAGS
_METHODS = flags.DEFINE_list("methods", [], "Methods, separated by commas; by default all.")
_OPTIONS = flags.DEFINE_string(
    "pruning_options", "", "Settings of the methods' own, as METHOD.NAME=VALUE and spaces."
)
flags.DEFINE_list("seq_lengths", ["32", "64", "128"], "Lengths of the files in word pieces.")
_THREADS = flags.DEFINE_integer("threads", 2, "Threads of LiteRT.", lower_bound=1)
_TIMED = flags.DEFINE_integer("latency_repetitions", 50, "Timed runs of a file.", lower_bound=1)
_TYPOS = flags.DEFINE_float("typos", robustness.RATE, "Share of the words that get a typo.")


def main() -> None:
    from bert_glue_tf.reports import terminal
    from bert_glue_tf.studies import survey

    lengths = studying.numbers("seq_lengths", "32,64,128")
    settings = survey.Settings(lengths, _THREADS.value, _TIMED.value, _TYPOS.value)
    given = studying.settings("task", "final_sparsity", "pruning_schedule", "pruning_scope")
    cells = survey.cells(_METHODS.value, given, _OPTIONS.value, studying.numbers("seeds"))
    output = studying.folder("output")
    study = studying.Study(cells, studying.folder("runs_dir"), FLAGS["workers"].value)
    study.run()
    measured = survey.measure(study, cells, settings, output)
    rows = survey.rows(study, cells, measured)
    for title, part in survey.compact(rows).items():
        terminal.print_rows(f"{FLAGS['task'].value}{studying.sample_mark(study)}: {title}", part)
    told = [*survey.reasons(rows), *survey.notes(cells, measured, settings), *study.notes()]
    print("\n".join(told))
    survey.write(study, cells, measured, settings, output)
    print(f"Written to {output}: survey.md, survey.csv and the figures.")
    if study.failures:
        print("\n".join(study.told_failures()))
        sys.exit(1)


def command() -> None:
    """Run the command `bert-glue-survey`."""
    cli.run(main, __doc__, "with what is left")


if __name__ == "__main__":
    command()
