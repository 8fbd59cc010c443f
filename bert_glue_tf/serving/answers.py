"""Predictions for the lines of an input, in constant memory, and their lines of output."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import preprocessing
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.serving.classifier import Classifier, Prediction
from bert_glue_tf.serving.text_input import TextReader, lines

CHUNK = 256  # Texts tokenized and predicted together.


def stream(
    classifier: Classifier, groups: Iterable[list[bytes]], reader: TextReader
) -> Iterator[list[Prediction]]:
    """Yield predictions for groups of lines, in chunks that bound the memory.

    Raises:
      UserError: from the reader, once the lines before the wrong one are answered.
    """
    for group in groups:
        for start in range(0, len(group), CHUNK):
            texts: list[tuple[str, ...]] = []
            wrong: UserError | None = None
            try:
                for text in reader.read(group[start : start + CHUNK]):
                    texts.append(text)
            except UserError as error:
                wrong = error
            if texts:
                yield classifier.predict(texts)
            if wrong:
                raise wrong


BLANKS = str.maketrans("\t\n\r", "   ")


def format_prediction(prediction: Prediction, style: str) -> str:
    """Return one line: `label score` (text), cells with the texts (tsv, csv), or a JSON object.

    In a tab-separated line a tab or line break inside a text is a blank. Of words that are tagged
    the text line has the spans, and the JSON object `spans` besides.
    """
    if style == "jsonl":
        return json.dumps(
            {
                "texts": list(prediction.texts),
                "label": prediction.label,
                "score": prediction.score,
                "probabilities": prediction.probabilities,
                **spans_as_json(prediction),
            }
        )
    if style == "csv":
        return joined([prediction.label, f"{prediction.score:.6f}", *prediction.texts])
    if style == "tsv":
        texts = (text.translate(BLANKS) for text in prediction.texts)
        return "\t".join([prediction.label, f"{prediction.score:.6f}", *texts])
    if prediction.spans is not None:
        found = (f"{one.text} [{one.type} {one.score:.4f}]" for one in prediction.spans)
        return ", ".join(found) or "no span"
    if not prediction.probabilities:
        return prediction.label
    return f"{prediction.label} {prediction.score:.4f}"


def spans_as_json(prediction: Prediction) -> dict[str, Any]:
    """Return what a JSON object says of the spans of words; nothing where none are tagged."""
    if prediction.spans is None:
        return {}
    return {"spans": [dataclasses.asdict(one) for one in prediction.spans]}


def header(task: TaskSpec, style: str) -> list[str]:
    """Return the line above the others, where the style has one."""
    names = ["label", task.problem.score_name, *task.text_fields]
    if style == "csv":
        return [joined(names)]
    return ["\t".join(names)] if style == "tsv" else []


def joined(cells: Sequence[str]) -> str:
    """Return the cells of a row as a line of a .csv."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()


def check_number(given: Sequence[str], task: TaskSpec) -> None:
    """Check the number of texts.

    Args:
      given: values of --text.
      task: that takes them.

    Raises:
      UserError: the task takes another number of texts.
    """
    task.modality.require_texts("--text")
    fields = task.text_fields
    if len(given) != len(fields):
        raise UserError(
            f"--text given {len(given)} time(s): an example of {task.name} has {len(fields)} "
            f"({', '.join(fields)}). Several examples go into a file: --input=FILE."
        )


def to_text(classifier: Classifier, given: Sequence[str], style: str) -> list[str]:
    """Return the lines that answer one text, or one pair.

    Args:
      classifier: that answers.
      given: values of --text, as many as its task takes.
      style: value of --format.
    """
    # The terminal may have sent bytes that are not UTF-8.
    text = tuple(preprocessing.encode(value).decode() for value in given)
    if not any(part.strip() for part in text):
        logging.warning("--text holds no text, and the label means nothing.")
    answered = [format_prediction(one, style) for one in classifier.predict([text])]
    return [*header(classifier.task, style), *answered]


def to_lines(
    classifier: Classifier, file: io.BufferedReader, name: str, columns: Sequence[str], style: str
) -> Generator[list[str]]:
    """Yield the lines that answer a file's, as soon as they are known.

    Args:
      classifier: that answers.
      file: with a text a line.
      name: of the file, for messages.
      columns: value of --text_columns.
      style: value of --format.

    Raises:
      UserError: as `stream`.
    """
    reader = TextReader(classifier.task, name, columns)
    logging.info("starting TensorFlow's tokenizer")
    classifier.preprocessor  # noqa: B018  (loads it)
    yield header(classifier.task, style)
    try:
        for predictions in stream(classifier, lines(file), reader):
            yield [format_prediction(one, style) for one in predictions]
    finally:
        for warning in reader.warnings():
            logging.warning("%s", warning)
