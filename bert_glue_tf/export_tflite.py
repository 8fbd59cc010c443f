"""Command: a finished run -> one .tflite file per quantization recipe, each measured.

python -m bert_glue_tf.export_tflite --run=runs/cola-minilm_l6-sample-none-seed1
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from absl import flags

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export.defaults import CALIBRATION_EXAMPLES, LOGITS, OUTPUTS, REPETITIONS, THREADS
from bert_glue_tf.export.folder import FOLDER
from bert_glue_tf.export.launch import Exported, ForClient, launch_sizes
from bert_glue_tf.export.mediapipe.client import USUAL_PYTHON
from bert_glue_tf.export.mediapipe.refusals import CLIENT

_RUN = flags.DEFINE_string("run", "", "Folder of a finished run of the train command.")
_RECIPES = flags.DEFINE_list(
    "recipes", [], "Quantization recipes, separated by commas; by default all."
)
_LENGTHS = flags.DEFINE_list(
    "seq_lengths",
    [],
    "Lengths in word pieces at which the files can run, separated by commas; the run's own "
    "--seq_length stands for any above it. By default those that hold 50, 90 and 100 % of the "
    "training texts, in multiples of 8; in a folder with an export, the lengths of that one.",
)
_OUTPUT = flags.DEFINE_string(
    "output", "", f"Folder of the files; by default {FOLDER}/ in the run."
)
_SIZE = flags.DEFINE_string(
    "size",
    "",
    "Of a run whose weights hold several networks (--pruning_method=shared, elastic): the name of "
    "the one that files are made of; by default all of them, each in a folder of its own.",
)
_ONE_FILE = flags.DEFINE_bool(
    "one_file",
    False,
    "Of such a run: make of each recipe's files another one that has signatures for all sizes, and "
    "in which equal constants, and those that begin a longer one, stand once: most of the smaller "
    "networks of elastic, and of shared all but the pruned matrices, of which each has its own.",
)
_OUTPUTS = flags.DEFINE_enum(
    "outputs", LOGITS, OUTPUTS, "What the files give: logits, or probabilities made of them inside."
)
_BATCHES = flags.DEFINE_list(
    "batch_sizes",
    ["1"],
    "Numbers of texts at a time, separated by commas: the files get a signature for each of them "
    "at each length. 1 is always among them.",
)
_CLIENT = flags.DEFINE_enum(
    "client",
    None,
    (CLIENT,),
    "Make of each file another one for a client that reads no others: MediaPipe's TextClassifier.",
)
_LENGTH = flags.DEFINE_integer(
    "seq_length",
    0,
    "Length of the client's file in word pieces; by default the shortest that holds 99 % of the "
    "training texts.",
)
_PYTHON = flags.DEFINE_string(
    "client_python",
    "",
    "A Python that has the client's package (mediapipe), which is asked to answer the validation "
    f"texts; by default {USUAL_PYTHON}, if it is there.",
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
    if _OUTPUT.value in OUTPUTS:
        raise UserError(
            f"--output={_OUTPUT.value} is the folder of the files. For what the files give: "
            f"--outputs={_OUTPUT.value}; for a folder of that name: --output=./{_OUTPUT.value}."
        )
    for flag in (_LENGTH, _PYTHON):
        if flag.value and not _CLIENT.value:
            raise UserError(f"--{flag.name}={flag.value} is of the file of a --client. Give one.")
    if _ONE_FILE.value and _SIZE.value:
        raise UserError(f"--size={_SIZE.value}: --one_file is of all sizes. Leave one of them out.")
    run = cli.path("run", _RUN.value)
    if _ONE_FILE.value:
        _require_sizes(run)
    client = ForClient(_CLIENT.value, _LENGTH.value, _PYTHON.value) if _CLIENT.value else None
    exported = launch_sizes(
        run,
        size=_SIZE.value,
        recipes=_RECIPES.value,
        seq_lengths=_LENGTHS.value,
        output=cli.path("output", _OUTPUT.value) if _OUTPUT.value else None,
        threads=_THREADS.value,
        calibration_examples=_CALIBRATION.value,
        latency_repetitions=_REPETITIONS.value,
        outputs=_OUTPUTS.value,
        batch_sizes=_BATCHES.value,
        client=client,
    )
    from bert_glue_tf.reports import terminal

    for folder, records in exported:
        terminal.print_exports(records)
        layout.say(f"The files, their cards and checksums are in {folder.path}.")
    if _ONE_FILE.value:
        _make_one_file(exported)
    if client:
        layout.say(f"The files *_{client.name}.tflite are for that client: docs/clients/README.md.")
    if len(exported) > 1:
        layout.say(
            "Each size was timed by itself. This times all of them in turns, so that their times "
            "compare:\n" + layout.command("benchmark", runs=_RUN.value)
        )
    if not _OUTPUT.value:  # Elsewhere a comparison does not look for them.
        layout.say("This compares them:\n" + layout.command("compare", runs=_RUN.value))


def _require_sizes(run: pathlib.Path) -> None:
    """Refuse a run of one network, before any file is made.

    Raises:
      UserError: the run's weights hold one network, or there is no finished run.
    """
    from bert_glue_tf.runs.finished import Run

    if len(Run.read(run).sizes) < 2:
        raise UserError(
            f"--one_file: the weights of {_RUN.value} hold one network. Leave --one_file out."
        )


def _make_one_file(exported: Sequence[Exported]) -> None:
    """Make the files of all sizes, and print their bytes and times."""
    from bert_glue_tf.export import one_file
    from bert_glue_tf.reports import sizes, terminal

    found = one_file.write(exported, _THREADS.value, _REPETITIONS.value)
    terminal.print_rows("One file of all sizes", sizes.table(found))


def command() -> None:
    """Run the command `bert-glue-export`."""
    cli.run(main, __doc__)


if __name__ == "__main__":
    command()
