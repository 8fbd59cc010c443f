"""Command: a finished run -> one .tflite file per quantization recipe, each measured.

python -m bert_glue_tf.export_tflite --run=runs/cola-minilm_l6-sample-none-seed1
"""

from __future__ import annotations

from absl import flags, logging

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.export import recipes
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.lengths import seq_lengths
from bert_glue_tf.export.settings import ExportSettings, check_data, identity
from bert_glue_tf.runs.finished import Run

_RUN = flags.DEFINE_string("run", "", "Folder of a finished run of the train command.")
_RECIPES = flags.DEFINE_list(
    "recipes", [], "Quantization recipes, separated by commas; by default all."
)
_LENGTHS = flags.DEFINE_list(
    "seq_lengths",
    ["32", "64", "128"],
    "Lengths in word pieces at which the files can run, separated by commas; the run's own "
    "--seq_length stands for any above it.",
)
_OUTPUT = flags.DEFINE_string(
    "output", "", f"Folder of the files; by default {FOLDER}/ in the run."
)
_THREADS = flags.DEFINE_integer("threads", 2, "Threads of LiteRT.")
_CALIBRATION = flags.DEFINE_integer(
    "calibration_examples", 128, "Training sentences from which static recipes take their ranges."
)
_REPETITIONS = flags.DEFINE_integer(
    "latency_repetitions", 50, "Timed runs of each file at each length."
)


def main() -> None:
    if not _RUN.value:
        raise UserError("--run is missing. Give the folder of a finished run.")
    for flag in (_THREADS, _CALIBRATION, _REPETITIONS):
        if flag.value < 1:
            raise UserError(f"--{flag.name}={flag.value}: must be 1 or more.")
    wanted = [recipes.get(name) for name in _RECIPES.value or recipes.RECIPES]
    run = Run.read(cli.path("run", _RUN.value))
    lengths = seq_lengths(_LENGTHS.value, run.config.seq_length)
    examples = readers.load_for_training(
        tasks.get(run.config.task), run.config.data, run.config.train_examples
    )

    logging.info("starting TensorFlow")
    from bert_glue_tf.export import exporter
    from bert_glue_tf.reports import terminal

    check_data(run, examples)
    settings = ExportSettings(lengths, _CALIBRATION.value, _THREADS.value, _REPETITIONS.value)
    folder = ExportFolder.open(
        cli.path("output", _OUTPUT.value) if _OUTPUT.value else run.path / FOLDER,
        identity(run, settings),
    )
    records = exporter.export(run, settings, wanted, folder, examples)
    terminal.print_exports(records)
    print(f"The files, their cards and checksums are in {folder.path}.")


def command() -> None:
    """Run the command `bert-glue-export`."""
    cli.run(main, __doc__)


if __name__ == "__main__":
    command()
