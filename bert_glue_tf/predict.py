"""Command: labels for text, from a run or from a .tflite file.

python -m bert_glue_tf.predict --model=RUN/tflite/dynamic_int8.tflite --text='The cat sat.'
"""

from __future__ import annotations

import contextlib
import io
import pathlib
import sys
from typing import TYPE_CHECKING

from absl import flags, logging

from bert_glue_tf import cli
from bert_glue_tf.errors import UserError

if TYPE_CHECKING:
    from bert_glue_tf import predicting

_FORMATS = ("text", "tsv", "jsonl")
_MODEL = flags.DEFINE_string("model", "", "Folder of a finished run, or a .tflite file.")
_TEXT = flags.DEFINE_multi_string(
    "text", [], "A text; for a task of two texts give the flag twice."
)
_INPUT = flags.DEFINE_string(
    "input",
    "",
    "File with a text a line, or a .tsv; by default standard input. The two texts of a pair are "
    "separated by a tab. A first line with the benchmark's column names is taken for a header.",
)
_COLUMNS = flags.DEFINE_list(
    "text_columns", [], "Columns of the texts in --input: numbers from 1, or names in its header."
)
_FORMAT = flags.DEFINE_enum("format", "text", _FORMATS, "Of the output: text, tsv or jsonl.")
_THREADS = flags.DEFINE_integer("threads", 2, "Threads of LiteRT.")
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
    path = pathlib.Path(_MODEL.value).expanduser()
    if not path.exists():
        raise UserError(f"--model={path}: no such file or folder.")

    logging.info("starting TensorFlow's tokenizer")
    from bert_glue_tf import predicting

    classifier = predicting.Classifier.load(path, _THREADS.value)
    if _SUBMISSION.value:
        folder = pathlib.Path(_SUBMISSION.value).expanduser()
        names = predicting.write_submission(classifier, _DATA.value, folder)
        print(f"Written to {folder}: {', '.join(names)}.")
        return
    _answer(classifier)


def _answer(classifier: predicting.Classifier) -> None:
    from bert_glue_tf import predicting

    head = predicting.header(classifier.task, _FORMAT.value)
    if head:
        print(head)
    wanted = len(classifier.task.text_fields)
    if _TEXT.value:
        if len(_TEXT.value) != wanted:
            raise UserError(
                f"--text given {len(_TEXT.value)} time(s): {classifier.task.name} takes {wanted} "
                f"({', '.join(classifier.task.text_fields)})."
            )
        (prediction,) = classifier.predict([tuple(_TEXT.value)])
        print(predicting.format_prediction(prediction, _FORMAT.value))
        return
    name = _INPUT.value or "standard input"
    reader = predicting.TextReader(classifier.task, name, _COLUMNS.value)
    with contextlib.ExitStack() as stack:
        file: io.BufferedReader = sys.stdin.buffer  # type: ignore[assignment]
        if _INPUT.value:
            try:
                file = stack.enter_context(pathlib.Path(name).expanduser().open("rb"))
            except OSError as error:
                raise UserError(f"--input={name}: cannot be read ({error.strerror}).") from None
        for predictions in predicting.stream(classifier, predicting.lines(file), reader):
            for prediction in predictions:
                print(predicting.format_prediction(prediction, _FORMAT.value))
            sys.stdout.flush()
    if reader.replaced:
        logging.warning(
            "%s: %d line(s) are not UTF-8, the first is line %d; what could not be read was "
            "replaced.",
            name,
            reader.replaced,
            reader.first_replaced,
        )


def command() -> None:
    """Entry point of `bert-glue-predict`."""
    cli.run(main, __doc__)


if __name__ == "__main__":
    command()
