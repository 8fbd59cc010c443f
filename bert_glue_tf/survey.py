"""Command: every pruning method at one sparsity on one task: score, size, time, robustness.

python -m bert_glue_tf.survey --task=cola --data=/folder/with/glue --encoder=minilm_l6
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.evaluation.defaults import TYPOS
from bert_glue_tf.export.defaults import LENGTHS, REPETITIONS, THREADS
from bert_glue_tf.studies import arguments

arguments.define_flags(
    "survey",
    seeds=(),
    seeds_help="Seeds, separated by commas; tables show mean and range. By default 1, and 2 and 3 "
    "too where the unpruned run of seed 1, with its fine-tuning, took less than five minutes.",
    task="cola",
    final_sparsity=0.5,
    pruning_schedule="gradual",
    pruning_scope="encoder",
)
_METHODS = flags.DEFINE_list(
    "methods",
    [],
    "Methods, separated by commas; by default all that the encoder can carry, and the hybrids that "
    "the survey names. A hybrid has + between its parts: methods, teacher, a recipe of "
    "--quantize_aware.",
)
_OPTIONS = flags.DEFINE_string(
    "pruning_options", "", "Settings of the methods' own, as METHOD.NAME=VALUE and spaces."
)
_DEFAULT_LENGTHS = [str(length) for length in LENGTHS]
flags.DEFINE_list("seq_lengths", _DEFAULT_LENGTHS, "Lengths of the files in word pieces.")
_THREADS = flags.DEFINE_integer("threads", THREADS, "Threads of LiteRT.", lower_bound=1)
_TIMED = flags.DEFINE_integer(
    "latency_repetitions", REPETITIONS, "Timed runs of a file.", lower_bound=1
)
_TYPOS = flags.DEFINE_float("typos", TYPOS, "Share of the words that get a typo.")


def main() -> None:
    from bert_glue_tf.studies.survey import Survey
    from bert_glue_tf.studies.survey_measure import MeasureSettings

    lengths = arguments.numbers("seq_lengths", ",".join(_DEFAULT_LENGTHS))
    study = Survey(
        _METHODS.value,
        arguments.settings("task", "final_sparsity", "pruning_schedule", "pruning_scope"),
        _OPTIONS.value,
        arguments.numbers("seeds") if flags.FLAGS["seeds"].value else (),
        MeasureSettings(lengths, _THREADS.value, _TIMED.value, _TYPOS.value),
    )
    arguments.run(study)
    study.made_by = arguments.command_line("survey", seeds=study.seeds)
    study.measure(arguments.folder("output"))
    arguments.present(study, "survey.md, survey.csv and the figures")


def command() -> None:
    """Run the command `bert-glue-survey`."""
    cli.run(main, __doc__, "with the runs that are not finished")


if __name__ == "__main__":
    command()
