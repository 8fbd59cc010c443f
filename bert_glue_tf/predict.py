"""Command: labels for text, from a run or from a .tflite file.

python -m bert_glue_tf.predict --model=RUN/tflite/dynamic_int8.tflite --text='The cat sat.'
"""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING

from absl import flags, logging

from bert_glue_tf.core import cli, layout
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from bert_glue_tf.data.tasks import TaskSpec
    from bert_glue_tf.serving.classifier import Classifier

_FORMATS = ("text", "tsv", "csv", "jsonl")
# As `serving.tables` reads them; a wrong flag is answered without it.
_INPUT_FORMATS = tuple(
    "auto lines csv tsv jsonl ndjson json parquet arrow conll bio iob".split(" ")
)
_MODEL = flags.DEFINE_string("model", "", "Folder of a finished run, or a .tflite file.")
_TEXT = flags.DEFINE_multi_string("text", [], "A text; for a task of two texts give the flag twice")
_INPUT = flags.DEFINE_string(
    "input",
    "",
    "A table (.csv, .tsv, .jsonl, .json, .parquet, also .gz), whose columns are kept, or any other "
    "file with a text a line; by default standard input, a text a line. The two texts of a line "
    "are separated by a tab. For a model of arrays: an .npz file, an idx file, or a picture.",
)
_INPUT_FORMAT = flags.DEFINE_enum(
    "input_format",
    "auto",
    _INPUT_FORMATS,
    "What the input is: lines of text, or a table of this format; auto = as --input ends.",
)
_COLUMNS = flags.DEFINE_list(
    "text_columns",
    [],
    "Columns of the texts in --input: their names, or numbers from 1 of a .tsv or of lines (then "
    "every line is data); by default those of the training.",
)
_FORMAT = flags.DEFINE_enum("format", "text", _FORMATS, "Of the output: text, tsv, csv or jsonl.")
_AT = flags.DEFINE_enum(
    "at",
    None,
    ("recall", "precision"),
    "Answer by the threshold that --at_recall or --at_precision of the training chose; by default "
    "the most probable class, or each label that the threshold for F1 gives.",
)
_SIZE = flags.DEFINE_string(
    "size",
    "",
    "Of a run whose weights hold several networks (--pruning_method=shared, elastic): the name of "
    "one; by default the largest.",
)
_THREADS = flags.DEFINE_integer(
    "threads",
    2,
    "Texts of a .tflite file that are predicted at the same time, each with a copy of it; at most "
    "as many as there are processors.",
)
_CHECK = flags.DEFINE_boolean(
    "check",
    False,
    "Compare the word pieces and outputs of a .tflite file with the golden examples that it holds.",
)
_SUBMISSION = flags.DEFINE_string(
    "glue_submission", "", "Folder for the benchmark's submission files, made from --data."
)
_DATA = flags.DEFINE_string(
    "data", "tfds", "For --glue_submission: tfds, or a folder with GLUE's own .tsv folders."
)


def main() -> None:
    if not _MODEL.value:
        raise UserError("--model is missing. Give the folder of a run, or a .tflite file.")
    if _THREADS.value < 1:
        raise UserError(f"--threads={_THREADS.value}: must be 1 or more.")
    given = [flag.name for flag in (_CHECK, _TEXT, _INPUT, _SUBMISSION) if flag.value]
    if len(given) > 1:
        raise UserError(f"--{given[0]} and --{given[1]}: give one of them.")
    if _CHECK.value:
        return _check()
    with contextlib.ExitStack() as stack:
        file = None if _TEXT.value or _SUBMISSION.value else _open_input(stack)

        from bert_glue_tf.serving import answers, submission
        from bert_glue_tf.serving.classifier import Classifier, check_point

        def check(task: TaskSpec, thresholds: Mapping[str, float]) -> None:
            if _TEXT.value:
                answers.check_number(_TEXT.value, task)
            if _AT.value:
                check_point(_AT.value, task, thresholds)

        model = cli.path("model", _MODEL.value)
        classifier = Classifier.load(model, _THREADS.value, check, _SIZE.value)
        if _AT.value:
            classifier = classifier.at(_AT.value)
        if _SUBMISSION.value:
            folder = cli.path("glue_submission", _SUBMISSION.value)
            names = submission.write_submission(classifier, _DATA.value, folder)
            classifier.tell_cut()
            layout.say(f"Written to {folder}: {', '.join(names)}.")
        elif file is None:
            _print(answers.to_text(classifier, _TEXT.value, _FORMAT.value))
            classifier.tell_cut()
        else:
            answered = _answered(classifier, file)
            # Closed at once, so that its warnings come before what is said of an error.
            with contextlib.closing(answered):
                for lines in answered:
                    _print(lines)
            classifier.tell_cut()


def _check() -> None:
    """Print how near the file meets its golden examples."""
    from bert_glue_tf.serving import golden_check

    for line in golden_check.check(cli.path("model", _MODEL.value), _THREADS.value):
        _print([line])
    layout.say("The file answers its golden examples as it did where it was made.")


def _answered(classifier: Classifier, file: io.BufferedReader) -> Generator[list[str]]:
    """Return the lines that answer an input's rows, lines or arrays."""
    from bert_glue_tf.serving.kinds import choice
    from bert_glue_tf.serving.kinds.texts import STANDARD_INPUT

    return choice.of(classifier.task.modality).answered(
        classifier,
        file,
        _INPUT.value or STANDARD_INPUT,
        kind=_INPUT_FORMAT.value,
        columns=_COLUMNS.value,
        style=_FORMAT.value,
    )


def _open_input(stack: contextlib.ExitStack) -> io.BufferedReader:
    if not _INPUT.value:
        if sys.stdin is None:
            raise UserError("standard input is closed. Give --text or --input.")
        if sys.stdin.isatty():
            logging.info("reading from the terminal, a text a line; Ctrl-D ends it")
        return sys.stdin.buffer  # type: ignore[return-value]
    try:
        return stack.enter_context(cli.path("input", _INPUT.value).open("rb"))
    except OSError as error:
        raise UserError(f"--input={_INPUT.value}: cannot be read ({error.strerror}).") from None


def _print(lines: list[str]) -> None:
    """Write lines in UTF-8, as the input was read, and at once, for who waits for them."""
    sys.stdout.buffer.write("".join(line + "\n" for line in lines).encode())
    sys.stdout.buffer.flush()


def command() -> None:
    """Run the command `bert-glue-predict`."""
    cli.run(main, __doc__)


if __name__ == "__main__":
    command()
