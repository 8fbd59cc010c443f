"""A classifier from a run or from a .tflite file: texts in, labels out."""

from __future__ import annotations

import collections
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import problems
from bert_glue_tf.data.layouts import Layout, Padded
from bert_glue_tf.data.problems import AnsweredSpan
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.data.truncation import HEAD
from bert_glue_tf.data.words import between_blanks
from bert_glue_tf.evaluation import evaluator
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.evaluation.evaluator import PredictFn
from bert_glue_tf.export import flatbuffer, litert, try_out
from bert_glue_tf.export.defaults import THREADS
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.runs import finished
from bert_glue_tf.serving import beside, exported_file
from bert_glue_tf.serving.parallel import ParallelModel

_BATCH = 64  # Of a Keras model, as in evaluation.
_TOKENIZED = 1 << 20  # Characters: see `_shortened`.
# A model's task and thresholds, to an error or nothing.
Check = Callable[[TaskSpec, Mapping[str, float]], None]


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The answer of a model to one text, or pair of texts.

    Attributes:
      texts: one or two.
      label: the most probable class; the score as text for regression.
      probabilities: class -> probability; empty for regression.
      score: the probability of `label`; for regression the score itself.
      spans: of words that are tagged; None for all other answers.
    """

    texts: tuple[str, ...]
    label: str
    probabilities: dict[str, float]
    score: float
    spans: tuple[AnsweredSpan, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Classifier:
    """A model with its task and tokenizer.

    Attributes:
      task: that it was trained on.
      predict_fn: features, laid out by `layout`, to float32 [batch, classes] logits.
      layout: how it takes texts.
      seq_length: the longest input in word pieces.
      tokenizer: folder of the preprocessing SavedModel.
      truncation: which pieces of longer text are read.
      thresholds: "recall" and "precision" -> the probability that was chosen for it, where it was.
    """

    task: TaskSpec
    predict_fn: PredictFn
    layout: Layout
    seq_length: int
    tokenizer: pathlib.Path
    truncation: str = HEAD
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @classmethod
    def load(
        cls,
        path: str | pathlib.Path,
        threads: int = THREADS,
        check: Check = lambda task, thresholds: None,
        size: str = "",
    ) -> Classifier:
        """Load a .tflite file of an export, or the model of a run.

        Args:
          path: of the file or folder; `~` stands for the home folder.
          threads: for a .tflite file: how many texts are predicted at the same time.
          check: called with the task and the thresholds as soon as they are known, for a run
            before TensorFlow is imported; what it raises goes through.
          size: name of one of the networks that the run's weights hold; empty for the largest.

        Raises:
          UserError: it is neither, it is damaged, its vocabulary does not fit, or it has no such
            size.
        """
        path = pathlib.Path(path).expanduser()
        if path.is_dir():
            return cls._of_run(path, check, size)
        return cls._of_file(path, threads, check, size)

    @classmethod
    def _of_run(cls, path: pathlib.Path, check: Check, size: str) -> Classifier:
        if ExportFolder(path).settings_file.is_file():
            files = sorted(file.name for file in path.glob("*.tflite"))
            raise UserError(
                f"--model={path}: the folder of an export. Give one of its files "
                f"({', '.join(files) or 'it has none'})."
            )
        run = finished.Run.read(path, "model")
        run = run.of_size(size) if size else run
        check(run.task, run.result.thresholds)
        from bert_glue_tf.models import saving

        longest = run.config.seq_length
        model = saving.SavedClassifier.load(run.folder.model)
        modality = run.task.modality
        layout = model.layout(modality.lengths(longest), modality)
        _warn_of_sample(path, run.config.data)
        _warn_of_collapse(path, run.result.collapsed)
        return cls(
            run.task,
            model.predict_fn(layout),
            layout,
            longest,
            run.folder.model / "preprocessing",
            run.config.truncation,
            run.result.thresholds,
        )

    @classmethod
    def _of_file(cls, path: pathlib.Path, threads: int, check: Check, size: str) -> Classifier:
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            raise UserError(
                f"--model={path}: no such file or folder. Give the folder of a finished run, or "
                "a .tflite file of an export."
            ) from None
        except OSError as error:
            raise UserError(f"--model={path}: cannot be read ({error.strerror}).") from None
        if path.suffix != ".tflite" and content[4:8] != flatbuffer.IDENTIFIER:
            raise UserError(
                f"--model={path}: no .tflite file. Give the folder of a finished run, or a .tflite "
                "file of an export."
            )
        folder = ExportFolder(path.parent)
        # What was exported has been run by the export; of another file nobody knows.
        if not exported_file.is_listed(path, folder, content):
            try_out.try_out(content, str(path))
        signatures = _network_of(path, content, size)
        model = ParallelModel(content, threads, str(path), signatures)
        metadata = exported_file.read_metadata(path, content, size)
        _warn_of_sample(path, metadata.data)
        task = metadata.task
        check(task, metadata.thresholds)
        if model.classes != task.problem.width:
            raise UserError(
                f"{path}: damaged: it has {model.classes} {model.output}, and {task.name} has "
                f"{task.problem.width}. Copy it again."
            )
        beside.check(path, folder, metadata)
        _warn_of_collapse(path, exported_file.collapsed(path, folder, content))
        # No batch is filled up with shorter texts, as in training: a .tflite file takes one text
        # at a time, and at 128 word pieces each costs three times as much as at 32.
        layout = Padded(lengths=tuple(model.lengths), moves_up=False, modality=task.modality)
        return cls(
            task,
            functools.partial(litert.logits, task.problem, model),
            layout,
            model.lengths[-1],
            folder.preprocessing,
            metadata.truncation,
            metadata.thresholds,
        )

    def at(self, point: str) -> Classifier:
        """Return the classifier that answers by the threshold which its training chose.

        Args:
          point: "recall" or "precision", whichever has a lower limit.

        Raises:
          UserError: no threshold was chosen for it.
        """
        check_point(point, self.task, self.thresholds)
        problem = self.task.problem.at(self.thresholds[point])
        logging.info(
            "answers are positive from a probability of %.6g on, which was chosen for %s",
            self.thresholds[point],
            point,
        )
        return dataclasses.replace(self, task=dataclasses.replace(self.task, problem=problem))

    @functools.cached_property
    def preprocessor(self) -> Any:
        """The reader of examples; for texts TensorFlow is loaded when it is first used."""
        modality = self.task.modality
        loaded = modality.load(str(self.tokenizer), str(self.tokenizer))
        return modality.reader(loaded, self.task, self.seq_length, self.truncation)

    def load_tokenizer(self) -> None:
        """Load the tokenizer now, which else the first texts wait for."""
        logging.info("starting TensorFlow's tokenizer")
        _ = self.preprocessor

    @functools.cached_property
    def counts(self) -> collections.Counter[str]:
        """The number of `texts` that were answered, and of those that were `cut`."""
        return collections.Counter()

    def tell_cut(self) -> None:
        """Log how many of the texts were longer than what the model reads, if any were."""
        if self.counts["cut"]:
            logging.warning(
                "%d of %d texts are longer than %d pieces and were cut",
                self.counts["cut"],
                self.counts["texts"],
                self.seq_length,
            )

    def logits(self, texts: Sequence[tuple[Any, ...]]) -> np.ndarray:
        """Return the logits, float32 [n, classes], of n texts (pairs, arrays), in their order.

        Raises:
          UserError: the model answers with NaN or infinities.
        """
        columns = tuple(
            [_shortened(text) for text in column] for column in zip(*texts, strict=True)
        )
        tokens = self.task.modality.encode(self.preprocessor, columns)
        self.counts["texts"] += len(texts)
        self.counts["cut"] += tokens.cut
        if not len(tokens):
            return self.task.problem.no_logits()
        found = evaluator.predict(self.predict_fn, tokens, _BATCH, self.layout)
        if problems.diverged(found):
            raise UserError(
                "the model answers with values that are not numbers: its training diverged, or "
                "the file is damaged. Train again, for example with a smaller --learning_rate."
            )
        return found

    def predict(self, texts: Sequence[tuple[str, ...]]) -> list[Prediction]:
        """Return a prediction for each text (or pair), in their order.

        Raises:
          UserError: as `logits`.
        """
        problem = self.task.problem
        if problem.tags_words:  # Words have single blanks between.
            texts = [tuple(" ".join(between_blanks(part)) for part in text) for text in texts]
        logits = self.logits(texts)
        return [
            Prediction(text, answer.label, answer.probabilities, answer.score, answer.spans)
            for text, answer in zip(texts, problem.answers(logits, texts), strict=True)
        ]


def check_point(point: str, task: TaskSpec, thresholds: Mapping[str, float]) -> None:
    """Check that a model has the threshold which `Classifier.at` is asked for.

    Args:
      point: "recall" or "precision".
      task: the model's.
      thresholds: the model's, as `Classifier` has them.

    Raises:
      UserError: it has not.
    """
    if not task.problem.has_positives:
        raise UserError(
            f"--at={point}: no answer of this model is positive or negative, so that it has no "
            "threshold. Good: leave --at out; models of two classes or of several labels have "
            "one."
        )
    if point not in thresholds:
        has = f"has one for {', '.join(thresholds)}" if thresholds else "has none"
        raise UserError(
            f"--at={point}: the model {has}: its training has kept no threshold for {point}. "
            f"Good: train it with --at_{point}, as --at_{point}=0.9."
        )


def _network_of(path: pathlib.Path, content: bytes, size: str) -> str:
    """Return the network whose signatures are used; empty for the whole one, which has no name.

    Args:
      path: of a .tflite file, for the message.
      content: of the file.
      size: that is asked for; empty for the whole one.

    Raises:
      UserError: the file has no such network.
    """
    names = exported_file.sizes(content)
    if size and size not in names:
        has = f"it has {', '.join(names)}" if names else "it has one network"
        raise UserError(
            f"--size={size}: {path} has no such size ({has}). "
            + (f"Good values: {', '.join(names)}." if names else "Leave --size out.")
        )
    return "" if not names or size == names[0] else size


def _warn_of_sample(path: pathlib.Path, source: Any) -> None:
    if source == "sample":
        logging.warning(
            "%s was trained on the generated sample: what it says of other text means nothing",
            path.name,
        )


def _warn_of_collapse(path: pathlib.Path, reason: str | None) -> None:
    if reason:
        logging.warning(
            "%s is %s: %s. Do not use this model.", path.name, Mark.COLLAPSED.value, reason
        )


def _shortened(text: Any) -> Any:
    """Cut a text after its first million characters: a model reads 512 word pieces at most.

    A line of many megabytes would take the tokenizer minutes and gigabytes; within the first
    million characters there are more pieces than that, unless they are blanks.
    """
    return text[:_TOKENIZED] if isinstance(text, str) else text
