"""Text in, labels out, from a run's SavedModel or from a .tflite file; in constant memory."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from absl import logging
from scipy import special

from bert_glue_tf import batching, data, exports, flatbuffer, litert, preprocessing, tasks
from bert_glue_tf.errors import UserError
from bert_glue_tf.evaluation import PredictFn
from bert_glue_tf.run_folder import write_atomically
from bert_glue_tf.tasks import TaskSpec

CHUNK = 256  # Texts tokenized and predicted together.
_READ = 1 << 16
_TOKENIZED = 1 << 20  # Characters: see `_shortened`.


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a model says of one text, or pair of texts.

    Attributes:
      texts: one or two.
      label: the most probable class; the score as text for regression.
      probabilities: class -> probability; empty for regression.
      score: the probability of `label`; for regression the score itself.
    """

    texts: tuple[str, ...]
    label: str
    probabilities: dict[str, float]
    score: float


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A model with its task and tokenizer.

    Attributes:
      task: that it was trained on.
      predict_fn: int32 [batch, length] features to float32 [batch, classes] logits.
      lengths: that it can run at, ascending.
      preprocessor: Keras preprocessing model, from text to features.
    """

    task: TaskSpec
    predict_fn: PredictFn
    lengths: Sequence[int]
    preprocessor: Any

    @classmethod
    def load(cls, path: pathlib.Path, threads: int) -> Classifier:
        """A .tflite file of an export, or the folder of a run.

        Raises:
          UserError: it is neither, it is damaged, or its vocabulary does not fit.
        """
        if path.is_dir():
            return cls._of_run(path)
        return cls._of_file(path, threads)

    @classmethod
    def _of_run(cls, path: pathlib.Path) -> Classifier:
        run = exports.Run.read(path)
        from bert_glue_tf import modeling

        task = tasks.get(run.config.task)
        lengths = batching.bucket_lengths(run.config.seq_length, True)
        tokenizer = str(run.folder.model / "preprocessing")
        return cls(
            task,
            modeling.load_predict_fn(run.folder.model),
            lengths,
            preprocessing.build(
                preprocessing.load(tokenizer, tokenizer), task.text_fields, lengths[-1]
            ),
        )

    @classmethod
    def _of_file(cls, path: pathlib.Path, threads: int) -> Classifier:
        if not path.exists():
            raise UserError(
                f"--model={path}: no such file or folder. Give the folder of a finished run, or "
                "a .tflite file of an export."
            )
        model = litert.LiteModel.load(path, threads)
        metadata = flatbuffer.read_metadata(path.read_bytes())
        if metadata is None or metadata.get("task") not in tasks.TASKS:
            raise UserError(
                f"{path}: holds no metadata of this project, so its task is unknown. Give a file "
                "that export_tflite wrote."
            )
        task = tasks.get(metadata["task"])
        folder = exports.ExportFolder(path.parent)
        check_vocabulary(path, folder, metadata["vocabulary_sha256"])
        tokenizer = str(folder.preprocessing)
        return cls(
            task,
            model.predict,
            model.lengths,
            preprocessing.build(
                preprocessing.load(tokenizer, tokenizer), task.text_fields, model.lengths[-1]
            ),
        )

    def logits(self, texts: Sequence[tuple[str, ...]]) -> np.ndarray:
        """float32 [n, classes] for n texts (or pairs), in their order."""
        columns = tuple(map(list, zip(*texts, strict=True)))
        tokens = preprocessing.tokenize(self.preprocessor, columns)
        found = np.empty((len(texts), self.task.num_classes), np.float32)
        for batch in batching.plan_batches(tokens.lengths, CHUNK, self.lengths):
            found[batch.indices] = self.predict_fn(tokens.batch(batch.indices, batch.length))
        return found

    def predict(self, texts: Sequence[tuple[str, ...]]) -> list[Prediction]:
        """A prediction for each text (or pair), in their order."""
        logits = self.logits([tuple(map(_shortened, text)) for text in texts])
        if self.task.is_regression:
            return [
                Prediction(text, f"{value:.3f}", {}, float(value))
                for text, value in zip(texts, logits[:, 0], strict=True)
            ]
        probabilities = special.softmax(logits.astype(np.float64), axis=-1)
        predictions = []
        for text, row in zip(texts, probabilities, strict=True):
            named = dict(zip(self.task.labels, map(float, row), strict=True))
            label = self.task.labels[int(np.argmax(row))]
            predictions.append(Prediction(text, label, named, named[label]))
        return predictions


def check_vocabulary(path: pathlib.Path, folder: exports.ExportFolder, digest: str) -> None:
    """Raises UserError unless the tokenizer beside a .tflite file is the one it was made with."""
    vocabularies = [folder.vocabulary, folder.preprocessing / "assets" / "vocab.txt"]
    for vocabulary in vocabularies:
        if not vocabulary.is_file():
            raise UserError(
                f"{vocabulary}: missing. {path.name} needs vocab.txt and preprocessing/ beside it, "
                "as export_tflite wrote them; copy the whole folder."
            )
        found = exports.sha256(vocabulary)
        if found != digest:
            raise UserError(
                f"{vocabulary}: not the vocabulary of {path.name} (SHA-256 {found[:12]}..., "
                f"the file was made with {digest[:12]}...). Copy the one from its own export."
            )


def _shortened(text: str) -> str:
    """The part of a text that can matter: a model reads 512 word pieces at most.

    A line of many megabytes would take the tokenizer minutes and gigabytes; within the first
    million characters there are more pieces than that, unless they are blanks.
    """
    return text if len(text) <= _TOKENIZED else text[:_TOKENIZED]


def lines(file: io.BufferedReader) -> Iterator[list[bytes]]:
    """The lines of a stream without their ends, in groups of those that have arrived.

    A line is given out as soon as it is complete, so that a program that writes one line and
    waits for the answer gets it.
    """
    rest: list[bytes] = []
    while block := file.read1(_READ):
        head, *tail = block.split(b"\n")
        rest.append(head)
        if tail:
            yield [b"".join(rest), *tail[:-1]]
            rest = [tail[-1]]
    if any(rest):
        yield [b"".join(rest)]


class TextReader:
    """Cuts the lines of an input into the task's texts.

    Args:
      task: says how many texts a line holds, and their columns' names.
      name: of the input, for messages.
      columns: which columns of a .tsv hold the texts, from 1, or their names in the header;
        empty: as in the benchmark's own files where the first line names them, else all.
    """

    def __init__(self, task: TaskSpec, name: str, columns: Sequence[str] = ()) -> None:
        self._task, self._name = task, name
        self._columns = tuple(columns)
        if columns and len(columns) != len(task.text_fields):
            raise UserError(
                f"--text_columns={','.join(columns)}: {task.name} has {len(task.text_fields)} "
                f"text(s) a line ({', '.join(task.text_fields)}). Give as many columns."
            )
        self._places: list[int] | None = None
        self._line = 0
        self.replaced = 0
        self.first_replaced = 0

    def read(self, group: Iterable[bytes]) -> list[tuple[str, ...]]:
        """The texts of some lines.

        Raises:
          UserError: a line has not the columns that it should have.
        """
        texts = []
        for raw in group:
            self._line += 1
            line = self._decoded(raw)
            if self._line == 1 and self._takes_header(line):
                continue
            texts.append(self._texts(line))
        return texts

    def _decoded(self, raw: bytes) -> str:
        if self._line == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        raw = raw.removesuffix(b"\r")
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self.replaced += 1
            self.first_replaced = self.first_replaced or self._line
            return raw.decode(errors="replace")

    def _takes_header(self, line: str) -> bool:
        cells = line.split("\t")
        if self._columns and all(column.isdigit() for column in self._columns):
            self._places = [int(column) - 1 for column in self._columns]
            return False
        wanted = self._columns or self._task.tsv_text
        if all(name in cells for name in wanted):
            self._places = [cells.index(name) for name in wanted]
            return True
        if self._columns:
            raise UserError(
                f"{self._name}:1: no column {', '.join(set(wanted) - set(cells))} in the header, "
                f"which has {', '.join(cells)[:200]}."
            )
        return False

    def _texts(self, line: str) -> tuple[str, ...]:
        if self._places is None and len(self._task.text_fields) == 1:
            return (line,)  # A tab inside a sentence is a blank.
        cells = line.split("\t")
        places = self._places or range(len(self._task.text_fields))
        if max(places) >= len(cells) or (self._places is None and len(cells) != len(places)):
            raise UserError(
                f"{self._name}:{self._line}: {len(cells)} column(s), but {self._task.name} needs "
                f"{', '.join(self._task.text_fields)}, separated by a tab. What came before this "
                "line has been answered."
            )
        return tuple(cells[place] for place in places)


def stream(
    classifier: Classifier, groups: Iterable[list[bytes]], reader: TextReader
) -> Iterator[list[Prediction]]:
    """Predictions for groups of lines, in chunks that bound the memory."""
    for group in groups:
        for start in range(0, len(group), CHUNK):
            texts = reader.read(group[start : start + CHUNK])
            if texts:
                yield classifier.predict(texts)


def format_prediction(prediction: Prediction, style: str) -> str:
    """One line: `label score` (text), tab-separated with the texts, or a JSON object."""
    if style == "jsonl":
        return json.dumps(
            {
                "texts": list(prediction.texts),
                "label": prediction.label,
                "score": prediction.score,
                "probabilities": prediction.probabilities,
            }
        )
    if style == "tsv":
        return "\t".join([prediction.label, f"{prediction.score:.6f}", *prediction.texts])
    if not prediction.probabilities:
        return prediction.label
    return f"{prediction.label} {prediction.score:.4f}"


def header(task: TaskSpec, style: str) -> str | None:
    """The line above the others, where the style has one."""
    if style != "tsv":
        return None
    return "\t".join(["label", "score" if task.is_regression else "probability", *task.text_fields])


# --- the benchmark's submission files ---


def write_submission(classifier: Classifier, source: str, folder: pathlib.Path) -> list[str]:
    """Writes the task's files as gluebenchmark.com takes them; returns their names.

    Args:
      classifier: the model.
      source: value of --data, with the task's test split(s).
      folder: to write to; files that are there are not overwritten.

    Raises:
      UserError: the test data is missing, or a file is there already.
    """
    answered = [classifier.task, *(tasks.DIAGNOSTICS[n] for n in classifier.task.also_answers)]
    planned = [
        (folder / file, task, split)
        for task in answered
        for split, file in task.submission_files.items()
    ]
    for path, _, _ in planned:
        if path.exists():
            raise UserError(f"{path}: is there already. Give another folder, or remove it.")
    # All data is read first, so that a missing split leaves no half of a submission.
    read = [(path, task, data.load(task, source, split)) for path, task, split in planned]
    for path, task, examples in read:
        logging.info("%s: %d examples", path.name, len(examples))
        texts = list(zip(*examples.texts, strict=True))
        logits = np.concatenate(
            [
                classifier.logits(texts[start : start + CHUNK])
                for start in range(0, len(texts), CHUNK)
            ]
        )
        answers = enumerate(submission_labels(task, logits))
        os.makedirs(folder, exist_ok=True)
        rows = [f"{index}\t{answer}" for index, answer in answers]
        write_atomically(path, "\n".join(["index\tprediction", *rows]) + "\n")
    return [path.name for path, _, _ in planned]


def submission_labels(task: TaskSpec, logits: np.ndarray) -> list[str]:
    """The benchmark's spelling of each answer; STS-B's scores are kept within 0 to 5."""
    if task.is_regression:
        low, high = task.label_range or (-np.inf, np.inf)
        return [f"{value:.3f}" for value in np.clip(logits[:, 0], low, high)]
    return [task.tsv_labels[int(index)] for index in np.argmax(logits, axis=1)]
