"""Command: a finished run -> one .tflite file per quantization recipe, each measured.

python -m bert_glue_tf.export_tflite --run=runs/cola-minilm_l6-sample-none-seed1
"""

from __future__ import annotations

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export.defaults import CALIBRATION_EXAMPLES, LENGTHS, REPETITIONS, THREADS
from bert_glue_tf.export.folder import FOLDER
from bert_glue_tf.export.launch import launch

_RUN = flags.DEFINE_string("run", "", "Folder of a finished run of the train command.")
_RECIPES = flags.DEFINE_list(
    "recipes", [], "Quantization recipes, separated by commas; by default all."
)
_LENGTHS = flags.DEFINE_list(
    "seq_lengths",
    [str(length) for length in LENGTHS],
    "Lengths in word pieces at which the files can run, separated by commas; the run's own "
    "--seq_length stands for any above it.",
)
_OUTPUT = flags.DEFINE_string(
    "output", "", f"Folder of the files; by default {FOLDER}/ in the run."
)
_THREADS = flags.DEFINE_integer("threads", THREADS, "Threads of LiteRT.")
_CALIBRATION = flags.DEFINE_integer(
    "calibration_examples",
    CALIBRATION_EXAMPLES,
    "Training sentences from which static recipes take their ranges.",
)
_REPETITIONS = flags.DEFINE_integer(
    "latency_repetitions", REPETITIONS, "Timed runs of each file at each length."
)


def main() -> None:
    if not _RUN.value:
        raise UserError("--run is missing. Give the folder of a finished run.")
    folder, records = launch(
        cli.path("run", _RUN.value),
        recipes=_RECIPES.value,
        seq_lengths=_LENGTHS.value,
        output=cli.path("output", _OUTPUT.value) if _OUTPUT.value else None,
        threads=_THREADS.value,
        calibration_examples=_CALIBRATION.value,
        latency_repetitions=_REPETITIONS.value,
    )
    from bert_glue_tf.reports import terminal

    terminal.print_exports(records)
    layout.say(f"The files, their cards and checksums are in {folder.path}.")
    if not _OUTPUT.value:  # Elsewhere a comparison does not look for them.
        layout.say("This compares them:\n" + layout.command("compare", runs=_RUN.value))


def command() -> None:
    """Run the command `bert-glue-export`."""
    cli.run(main, __doc__)


if __name__ == "__main__":
    command()
