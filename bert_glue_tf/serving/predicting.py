"""Text in, labels out, from a run's SavedModel or from a .tflite file; in constant memory."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import functools
import hashlib
import io
import json
import math
import os
import pathlib
import queue
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from bert_glue_tf.core import files, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.data import preprocessing, problems, readers, tasks
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.export import exports, flatbuffer, litert
from bert_glue_tf.export.litert import LiteModel

if TYPE_CHECKING:  # These modules import TensorFlow.
    from bert_glue_tf.evaluation.evaluator import PredictFn

CHUNK = 256  # Texts tokenized and predicted together.
_SLICE = 8  # Texts that a thread takes at a time: few enough to share a chunk out evenly.
_BATCH = 64  # Of a Keras model, as in evaluation.
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
      tokenizer: folder of the preprocessing SavedModel.
    """

    task: TaskSpec
    predict_fn: PredictFn
    lengths: Sequence[int]
    tokenizer: pathlib.Path

    @classmethod
    def load(cls, path: pathlib.Path, threads: int) -> Classifier:
        """A .tflite file of an export, or the folder of a run.

        Args:
          path: of the file or folder.
          threads: for a .tflite file: how many texts are predicted at the same time.

        Raises:
          UserError: it is neither, it is damaged, or its vocabulary does not fit.
        """
        if path.is_dir():
            return cls._of_run(path)
        return cls._of_file(path, threads)

    @classmethod
    def _of_run(cls, path: pathlib.Path) -> Classifier:
        if exports.ExportFolder(path).settings_file.is_file():
            files = sorted(file.name for file in path.glob("*.tflite"))
            raise UserError(
                f"--model={path}: the folder of an export. Give one of its files "
                f"({', '.join(files) or 'it has none'})."
            )
        run = exports.Run.read(path, "model")
        from bert_glue_tf.data import batching
        from bert_glue_tf.models import saving

        try:
            predict_fn = saving.load_predict_fn(run.folder.model)
        except UserError:
            raise
        except Exception as error:  # A damaged SavedModel fails in many ways.
            reason = (str(error) or type(error).__name__).splitlines()[0][:200]
            raise UserError(
                f"{run.folder.model}: cannot be loaded ({reason}). Copy the whole folder of the "
                "run, or train again."
            ) from None
        _warn_of_sample(path, run.config.data)
        return cls(
            tasks.get(run.config.task),
            predict_fn,
            batching.bucket_lengths(run.config.seq_length, True),
            run.folder.model / "preprocessing",
        )

    @classmethod
    def _of_file(cls, path: pathlib.Path, threads: int) -> Classifier:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise UserError(
                f"--model={path}: no such file or folder. Give the folder of a finished run, or "
                "a .tflite file of an export."
            ) from None
        except OSError as error:
            raise UserError(f"--model={path}: cannot be read ({error.strerror}).") from None
        folder = exports.ExportFolder(path.parent)
        # What was exported has been run by the export; of another file nobody knows.
        if not _check_sum(path, folder, content):
            litert.try_out(content, str(path))
        model = ParallelModel(content, threads, str(path))
        task, vocabulary = _read_metadata(path, content)
        if model.classes != task.problem.width:
            raise UserError(
                f"{path}: damaged: it has {model.classes} logits, and {task.name} has "
                f"{task.problem.width}. Copy it again."
            )
        check_vocabulary(path, folder, vocabulary)
        return cls(task, model.predict, model.lengths, folder.preprocessing)

    @functools.cached_property
    def preprocessor(self) -> Any:
        """Keras preprocessing model, from text to features; loads TensorFlow when first used."""
        loaded = preprocessing.load(str(self.tokenizer), str(self.tokenizer))
        return preprocessing.build(loaded, self.task.text_fields, self.lengths[-1])

    def logits(self, texts: Sequence[tuple[str, ...]]) -> np.ndarray:
        """float32 [n, classes] for n texts (or pairs), in their order.

        Each text runs at the shortest length that holds it.

        Raises:
          UserError: the model answers with NaN or infinities.
        """
        columns = tuple(
            [_shortened(text) for text in column] for column in zip(*texts, strict=True)
        )
        tokens = preprocessing.tokenize(self.preprocessor, columns)
        found = np.empty((len(texts), self.task.problem.width), np.float32)
        # No batch is filled up with shorter texts, as in training: a .tflite file takes one
        # text at a time, and at 128 word pieces each costs three times as much as at 32.
        length_of = np.searchsorted(np.asarray(self.lengths), tokens.lengths)
        for place in np.unique(length_of):
            members = np.flatnonzero(length_of == place)
            for start in range(0, len(members), _BATCH):
                some = members[start : start + _BATCH]
                found[some] = self.predict_fn(tokens.batch(some, self.lengths[place]))
        if problems.diverged(found):
            raise UserError(
                "the model answers with values that are not numbers: its training diverged, or "
                "the file is damaged. Train again, for example with a smaller --learning_rate."
            )
        return found

    def predict(self, texts: Sequence[tuple[str, ...]]) -> list[Prediction]:
        """A prediction for each text (or pair), in their order.

        Raises:
          UserError: as `logits`.
        """
        logits = self.logits(texts)
        return [
            Prediction(text, answer.label, answer.probabilities, answer.score)
            for text, answer in zip(texts, self.task.problem.answers(logits), strict=True)
        ]


class ParallelModel:
    """Copies of a .tflite file, one a thread, that share the texts of a batch.

    Two threads on two texts are faster than two threads on one: the matrices of a short
    sentence are too small to be cut in two, and threads that wait for each other suffer most on
    a machine that does other things as well (benchmarks/predict_speed.py measures both). The
    copies after the first are loaded when a batch has more than one text.

    Args:
      content: of the file.
      threads: and copies, at most as many as there are processors.
      name: of the file, for messages.

    Raises:
      UserError: as `litert.LiteModel`.
    """

    def __init__(self, content: bytes, threads: int, name: str) -> None:
        self._content, self._name = content, name
        self._number = max(1, min(threads, os.cpu_count() or 1))
        first = LiteModel(content, 1, name)
        self.lengths, self.classes = first.lengths, first.classes
        self._idle: queue.SimpleQueue[LiteModel] = queue.SimpleQueue()
        self._idle.put(first)
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    def predict(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Logits, float32 [batch, classes], of int32 [batch, length] features."""
        rows = len(next(iter(features.values())))
        if rows == 1 or self._number == 1:
            return self._predict(features)
        width = min(_SLICE, math.ceil(rows / self._number))
        if self._pool is None:
            for _ in range(self._number - 1):
                self._idle.put(LiteModel(self._content, 1, self._name))
            self._pool = concurrent.futures.ThreadPoolExecutor(self._number)
        slices = [
            {name: value[i : i + width] for name, value in features.items()}
            for i in range(0, rows, width)
        ]
        return np.concatenate(list(self._pool.map(self._predict, slices)))

    def _predict(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        model = self._idle.get()
        try:
            return model.predict(features)
        finally:
            self._idle.put(model)


def _read_metadata(path: pathlib.Path, content: bytes) -> tuple[TaskSpec, str]:
    """Task of a .tflite file, and the digest of its vocabulary."""
    try:
        metadata = flatbuffer.read_metadata(content) or {}
        task, vocabulary = tasks.TASKS[metadata["task"]], str(metadata["vocabulary_sha256"])
    except (ValueError, LookupError, TypeError, AttributeError, struct.error):
        raise UserError(
            f"{path}: holds no metadata of this project, so its task is unknown. Give a file "
            "that export_tflite wrote."
        ) from None
    _warn_of_sample(path, metadata.get("data"))
    return task, vocabulary


def _warn_of_sample(path: pathlib.Path, source: Any) -> None:
    if source == "sample":
        logging.warning(
            "%s was trained on the generated sample: what it says of other text means nothing",
            path.name,
        )


def _check_sum(path: pathlib.Path, folder: exports.ExportFolder, content: bytes) -> bool:
    """Whether SHA256SUMS beside the file names it, with this content.

    Raises:
      UserError: it names the file with another content, or cannot be read.
    """
    if not folder.checksums.is_file():
        return False
    named = {}
    try:
        text = folder.checksums.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{folder.checksums}: cannot be read ({error.strerror}).") from None
    for line in text.splitlines():
        digest, _, name = line.partition("  ")
        named[name] = digest
    if named.get(path.name, found := hashlib.sha256(content).hexdigest()) != found:
        raise UserError(
            f"{path}: damaged, or not the file that was exported (SHA-256 {found[:12]}..., "
            f"{folder.checksums.name} has {named[path.name][:12]}...). Copy it again."
        )
    return path.name in named


def check_vocabulary(path: pathlib.Path, folder: exports.ExportFolder, digest: str) -> None:
    """Raises UserError unless the tokenizer beside a .tflite file is the one it was made with."""
    assets = sorted((folder.preprocessing / "assets").glob("*"))
    tokenizer = assets[0] if len(assets) == 1 else folder.preprocessing / "assets" / "vocab.txt"
    saved_model = folder.preprocessing / "saved_model.pb"
    for file in (folder.vocabulary, tokenizer, saved_model):
        if not file.is_file():
            raise UserError(
                f"{file}: missing. {path.name} needs vocab.txt and preprocessing/ beside it, "
                "as export_tflite wrote them; copy the whole folder."
            )
    for vocabulary in (folder.vocabulary, tokenizer):
        found = files.sha256(vocabulary)
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
      columns: which columns of a .tsv hold the texts: numbers from 1 (then every line is data),
        or their names in the header. Empty: as in the benchmark's own files where the first line
        shows that it is one of them, or as its header names the texts; else all columns.

    Raises:
      UserError: `columns` are not as many as the task's texts, or one is no number from 1.
    """

    def __init__(self, task: TaskSpec, name: str, columns: Sequence[str] = ()) -> None:
        self._task, self._name = task, name
        self._columns = tuple(columns)
        self._places: list[int] | None = None
        if columns and len(columns) != len(task.text_fields):
            raise UserError(
                f"--text_columns={','.join(columns)}: {task.name} has {len(task.text_fields)} "
                f"text(s) a line ({', '.join(task.text_fields)}). Give as many columns."
            )
        if columns and all(re.fullmatch("[0-9]{1,9}", column) for column in columns):
            self._places = [int(column) - 1 for column in columns]
            if min(self._places) < 0:
                raise UserError(f"--text_columns={','.join(columns)}: columns are counted from 1.")
        self._line = 0
        self._tabs_are_told = False
        # What was odd -> the first line that was, and how many.
        self._odd: dict[str, tuple[int, int]] = {}

    def read(self, group: Iterable[bytes]) -> Iterator[tuple[str, ...]]:
        """The texts of some lines, one after the other.

        Raises:
          UserError: a line has not the columns that it should have; the lines before it have
            been given out.
        """
        for raw in group:
            self._line += 1
            line = self._decoded(raw)
            if self._line == 1 and self._places is None and self._takes_header(line):
                continue
            texts = self._texts(line)
            if not any(text.strip() for text in texts):
                self._note("hold no text, and their labels mean nothing")
            elif any(_is_json_object(text) for text in texts):
                self._note("are JSON and were read as any other text, with braces and names")
            elif not self._tabs_are_told and any("\t" in text for text in texts):
                self._note("hold tabs, which were read as blanks; --text_columns chooses columns")
            yield texts

    def _note(self, what: str) -> None:
        first, count = self._odd.get(what, (self._line, 0))
        self._odd[what] = first, count + 1

    def warnings(self) -> list[str]:
        """What was odd about the lines that have been read, a sentence for each kind."""
        return [
            f"{self._name}: {count} line(s) {what}; the first is line {first}."
            for what, (first, count) in self._odd.items()
        ]

    def _decoded(self, raw: bytes) -> str:
        if self._line == 1:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
        raw = raw.removesuffix(b"\r")
        try:
            return raw.decode()
        except UnicodeDecodeError:
            self._note("are not UTF-8, and what could not be read was replaced")
            return raw.decode(errors="replace")

    def _takes_header(self, line: str) -> bool:
        """Looks at the first line for the texts' columns; whether it is a header."""
        cells = line.split("\t")
        for wanted in (
            [self._columns]
            if self._columns
            else [
                self._task.tsv_text,
                self._task.text_fields,
            ]
        ):
            if all(name in cells for name in wanted):
                self._places = [cells.index(name) for name in wanted]
                return True
        if self._columns:
            missing = [name for name in self._columns if name not in cells]
            raise UserError(
                f"{self._name}:1: no column {', '.join(missing)} in the header, "
                f"which has {', '.join(cells)[:200]}."
            )
        columns = self._task.tsv_columns
        # CoLA's train.tsv and dev.tsv have no header.
        if len(cells) == len(columns) and (
            cells[columns.index(self._task.tsv_label)] in self._task.tsv_labels
        ):
            self._places = [columns.index(name) for name in self._task.tsv_text]
        elif len(cells) > len(self._task.text_fields) == 1:
            self._tabs_are_told = True
            logging.warning(
                "%s:1: %d columns, and none is named %s: tabs are read as blanks, and the line as "
                "one text. If it is not, give --text_columns",
                self._name,
                len(cells),
                ", ".join(self._task.tsv_text),
            )
        return False

    def _texts(self, line: str) -> tuple[str, ...]:
        if self._places is None and len(self._task.text_fields) == 1:
            return (line,)
        cells = line.split("\t")
        places = self._places or range(len(self._task.text_fields))
        if max(places) >= len(cells) or (self._places is None and len(cells) != len(places)):
            raise UserError(
                f"{self._name}:{self._line}: {len(cells)} column(s), but {self._task.name} needs "
                f"{self._needed()}. What came before this line has been answered."
            )
        return tuple(cells[place] for place in places)

    def _needed(self) -> str:
        fields = ", ".join(self._task.text_fields)
        if self._places is None:
            return f"{fields}, separated by a tab"
        return f"{fields} in column(s) {', '.join(str(place + 1) for place in self._places)}"


def _is_json_object(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        return isinstance(strict_json.loads(text), dict)
    except ValueError:
        return False


def stream(
    classifier: Classifier, groups: Iterable[list[bytes]], reader: TextReader
) -> Iterator[list[Prediction]]:
    """Predictions for groups of lines, in chunks that bound the memory.

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


_BLANKS = str.maketrans("\t\n\r", "   ")


def format_prediction(prediction: Prediction, style: str) -> str:
    """One line: `label score` (text), tab-separated with the texts, or a JSON object.

    In a tab-separated line a tab or line break inside a text is a blank.
    """
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
        texts = (text.translate(_BLANKS) for text in prediction.texts)
        return "\t".join([prediction.label, f"{prediction.score:.6f}", *texts])
    if not prediction.probabilities:
        return prediction.label
    return f"{prediction.label} {prediction.score:.4f}"


def header(task: TaskSpec, style: str) -> list[str]:
    """The line above the others, where the style has one."""
    if style != "tsv":
        return []
    names = ["label", task.problem.score_name, *task.text_fields]
    return ["\t".join(names)]


# --- the benchmark's submission files ---


def write_submission(classifier: Classifier, source: str, folder: pathlib.Path) -> list[str]:
    """Writes the task's files as gluebenchmark.com takes them; returns their names.

    Args:
      classifier: the model.
      source: value of --data, with the task's test split(s).
      folder: to write to; files that are there are not overwritten.

    Raises:
      UserError: no task of GLUE, the test data is missing, or a file is there already.
    """
    if not classifier.task.is_glue:
        known = ", ".join(name for name, task in tasks.TASKS.items() if task.is_glue)
        raise UserError(
            f"--glue_submission={folder}: the model is for {classifier.task.name}, which the "
            f"benchmark's server does not take. Good: a model for {known}."
        )
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
    read = [(path, task, readers.load(task, source, split)) for path, task, split in planned]
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    for path, task, examples in read:
        logging.info("%s: %d examples", path.name, len(examples))
        texts = list(zip(*examples.texts, strict=True))
        chunks = [texts[start : start + CHUNK] for start in range(0, len(texts), CHUNK)]
        logits = np.concatenate([classifier.logits(chunk) for chunk in chunks])
        answers = enumerate(task.problem.submission(logits, task.tsv_labels))
        rows = [f"{index}\t{answer}" for index, answer in answers]
        with _writing(folder):
            write_atomically(path, "\n".join(["index\tprediction", *rows]) + "\n")
    return [path.name for path, _, _ in planned]


@contextlib.contextmanager
def _writing(folder: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"--glue_submission={folder}: cannot be written ({error.strerror}). "
            "Give a folder that you may write, on a disk with space left."
        ) from error
