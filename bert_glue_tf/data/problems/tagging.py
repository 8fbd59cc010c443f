"""A tag for each word of a sentence, and the spans that the tags stand for."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy
from bert_glue_tf.data.problems import chains
from bert_glue_tf.data.problems.answers import Answer, AnsweredSpan, LabelScore, listed
from bert_glue_tf.data.problems.base import Metric, NoLabelError, Problem
from bert_glue_tf.data.problems.probabilities import SOFTMAX, of_logits
from bert_glue_tf.data.tags import OUTSIDE, Scheme, Span

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
    import tf_keras
else:
    np = lazy.module("numpy")

# What a label of a word is where nobody knows it, and behind the last word of a sentence.
NOT_SCORED = -1
# The loss of a sentence is the sum over its words over this number, about that of a usual sentence,
# so that every word counts alike, and a gradient is as large as that of classes.
USUAL_WORDS = 20


@dataclasses.dataclass(frozen=True)
class Tagging(Problem):
    """A tag for each word. Labels and predictions are ids of tags: [n, words].

    A label of -1 is not scored: the word's tag is not known, or there is no such word. A word that
    the model did not read, because its sentence was cut, is outside of all spans.

    Attributes:
      labels: the tags in the order of their ids; the first is `O`.
      transitions: of a conditional random field, the scores of a tag behind another (`chains`): as
        many rows as tags and two, each as wide as there are tags; empty where words are decoded
        each by itself.
    """

    labels: tuple[str, ...]
    transitions: tuple[tuple[float, ...], ...] = ()

    label_dtype = "int16"
    wide_dtype = "int64"
    score_name = "probability"
    to_probabilities = SOFTMAX
    is_right_or_wrong = False
    tags_words = True
    usual_metrics = ("entity_f1", "span_f1", "tag_accuracy")
    usual_primary_metric = "entity_f1"

    @classmethod
    def of_tags(cls, tags: Iterable[str]) -> Tagging:
        """Return the problem of a training's tags, completed by those that their scheme has.

        Raises:
          ValueError: the tags mix schemes, or are all `O`.
        """
        found = list(dict.fromkeys(tags))
        if set(found) <= {OUTSIDE}:
            raise ValueError("all words are outside (O). Good: one other tag at least")
        return cls(Scheme.of(found).complete(found))

    @classmethod
    def of_fields(cls, fields: Mapping[str, Any]) -> Tagging:
        rows = tuple(tuple(map(float, row)) for row in fields.get("transitions", ()))
        return cls(tuple(map(str, fields["labels"])), rows)

    @property
    def learned(self) -> dict[str, Any]:
        return {"transitions": self.transitions} if self.transitions else {}

    @functools.cached_property
    def scheme(self) -> Scheme:
        """The scheme that the tags are written in."""
        return Scheme.of(self.labels)

    @property
    def output_names(self) -> tuple[str, ...]:
        return self.labels

    @property
    def output_text(self) -> str:
        return f"{', '.join(self.labels)}; for each position"

    @property
    def title(self) -> str:
        types = self.scheme.types(self.labels)
        return f"a tag for each word, {self.width} tags ({self.scheme.name}) of {listed(types)}"

    # --- labels ---

    def as_labels(self, values: Any) -> np.ndarray:
        """Return labels [n, words] of n lists of ids; behind a sentence's last word -1."""
        rows = [np.asarray(row, self.label_dtype).reshape(-1) for row in values]
        found = np.full((len(rows), max(map(len, rows), default=0)), NOT_SCORED, self.label_dtype)
        for place, row in enumerate(rows):
            found[place, : len(row)] = row
        return found

    def is_label(self, values: np.ndarray) -> np.ndarray:
        values = np.asarray(values)
        if values.ndim != 2:
            return np.zeros(len(values), bool)
        return np.asarray(np.isin(values, range(NOT_SCORED, self.width)).all(axis=1))

    def parse_label(self, text: str, spellings: Sequence[str]) -> Any:
        """Return the ids of the tags that stand in a text with blanks between."""
        names = text.split(" ")
        if not all(name in spellings for name in names):
            raise ValueError(", ".join(spellings))
        return [spellings.index(name) for name in names]

    def label_from(self, value: str | Sequence[str | None]) -> list[int]:
        """Return the ids of a list of tags; None is a word whose tag is not known."""
        if isinstance(value, str):
            raise ValueError("a list with a tag for each word, as the training texts have it")
        ids = {name: number for number, name in enumerate(self.labels)}
        for name in value:
            if name is not None and name not in ids:
                raise ValueError(
                    f"the tag {name!r} is none that the training texts have: {listed(self.labels)}"
                )
        return [NOT_SCORED if name is None else ids[name] for name in value]

    def repaired(self, label: Any) -> list[int]:
        """Return a sentence's ids as conlleval reads them: every span begins as its scheme asks.

        A word whose tag is not known stays so, and no span goes on behind it.
        """
        ids = {name: number for number, name in enumerate(self.labels)}
        found = [ids[tag] for tag in self.scheme.repaired(self._tags(label))]
        return [NOT_SCORED if one < 0 else new for one, new in zip(label, found, strict=True)]

    def keras_labels(self, labels: tf.Tensor) -> tf.Tensor:
        return labels

    # --- logits ---

    def _decode(self, logits: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.argmax(logits, axis=-1)
        if not self.transitions:
            return found
        table = np.array(self.transitions)
        for place, scores in enumerate(logits):
            # What the model did not read has zeros, and is outside.
            (read,) = np.nonzero(_read(scores))
            if len(read) and np.isfinite(scores[read]).all():
                found[place, read] = chains.best(scores[read], table)
        return found

    def _loss(self, labels: np.ndarray, logits: np.ndarray) -> float:
        """Return the mean over the sentences of the sum of their words' cross-entropy over 20.

        With transitions it is that of the whole chain of known tags. Words that were not read do
        not count, as in training.
        """
        if self.transitions:
            return self._loss_of_chains(labels, logits) / USUAL_WORDS
        from scipy import special  # Here, since a wrong flag is answered without it.

        log_probabilities = special.log_softmax(logits.astype(np.float64), axis=-1)
        places = np.maximum(labels, 0)[..., None].astype(np.int64)
        each = np.take_along_axis(log_probabilities, places, axis=-1)[..., 0]
        known = (labels >= 0) & _read(logits)
        return float(-np.sum(each[known]) / (USUAL_WORDS * len(labels)))

    def _loss_of_chains(self, labels: np.ndarray, logits: np.ndarray) -> float:
        table, total = np.array(self.transitions), 0.0
        for label, scores in zip(labels, logits.astype(np.float64), strict=True):
            known = (label >= 0) & _read(scores)
            if known.any():
                total += chains.loss(scores[known], label[known].astype(np.int64), table)
        return total / len(labels)

    def keras_loss(self) -> tf_keras.losses.Loss:
        from bert_glue_tf.data.keras_metrics import CrossEntropyOfTags, LossOfChains

        if self.transitions:
            return LossOfChains(USUAL_WORDS, np.array(self.transitions, np.float32))
        return CrossEntropyOfTags(USUAL_WORDS)

    def keras_metrics(self, is_filled_up: bool) -> list[tf_keras.metrics.Metric | str]:
        del is_filled_up
        return []

    def distillation_loss(
        self, teacher: tf.Tensor, logits: tf.Tensor, temperature: float
    ) -> tf.Tensor:
        """Return the sum over the words of each one's divergence, as that of classes, over 20.

        A position where the teacher's logits are NaN is of no word, and where all are 0 the teacher
        has not read it: neither counts.

        Args:
          teacher: float32 [n, positions, width].
          logits: float32 [n, positions, width].
          temperature: above 0.
        """
        import tensorflow as tf

        from bert_glue_tf.data.keras_metrics import as_long

        teacher = as_long(teacher, logits, float("nan"))
        is_read = tf.reduce_any(tf.not_equal(teacher, 0.0), axis=-1, keepdims=True)
        is_word = tf.math.is_finite(teacher) & is_read
        wanted = tf.nn.log_softmax(tf.where(is_word, teacher, 0.0) / temperature)
        found = tf.nn.log_softmax(logits / temperature)
        each = tf.where(is_word, tf.exp(wanted) * (wanted - found), 0.0)
        return temperature**2 * tf.reduce_sum(each, axis=[-2, -1]) / USUAL_WORDS

    # --- scores ---

    def spans(self, label: Sequence[int] | np.ndarray, is_strict: bool = False) -> list[Span]:
        """Return the spans of a sentence's labels or predictions [words]; see `Scheme.spans`.

        A word that is not scored is outside.
        """
        return self.scheme.spans(self._tags(label), is_strict)

    def _tags(self, label: Sequence[int] | np.ndarray) -> list[str]:
        return [self.labels[one] if one >= 0 else OUTSIDE for one in map(int, label)]

    def per_label(self, labels: np.ndarray, predictions: np.ndarray) -> list[LabelScore]:
        """Return the scores of each type of span; its examples are spans."""
        counts = {name: np.zeros(3, int) for name in self.scheme.types(self.labels)}
        for label, found in zip(labels, predictions, strict=True):
            real = set(self.spans(label))
            answered = set(self.spans(np.where(label >= 0, found, NOT_SCORED)))
            for place, some in enumerate((real & answered, real, answered)):
                for span in some:
                    counts[span.type][place] += 1
        return [LabelScore.of(name, *map(int, found)) for name, found in counts.items()]

    def _differ(self, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        differ: np.ndarray = (before != after).any(axis=1)
        return differ

    def chance(self, metric: Metric, labels: np.ndarray) -> float:
        """Return the best score of one tag for all words: each of them may be a span by itself."""
        return max(metric(labels, np.full_like(labels, tag)) for tag in range(self.width))

    def only_answer(self, labels: np.ndarray, predictions: np.ndarray) -> str | None:
        scored = labels >= 0
        found, real = np.unique(predictions[scored]), np.unique(labels[scored])
        if len(found) != 1 or len(real) == 1:
            return None
        return self.labels[int(found[0])]

    def _name(self, prediction: Any) -> str:
        return " ".join(self._tags(prediction))

    # --- files and users ---

    def rows(self, labels: np.ndarray, logits: np.ndarray) -> list[list[str]]:
        """Return the rows of a predictions file: a sentence each, its words with blanks between."""
        rows = []
        for number, (label, found, outputs) in enumerate(
            zip(labels, self.decode(logits), logits, strict=True)
        ):
            words = _length(label, outputs)
            is_number = np.isfinite(outputs).all()
            rows.append(
                [
                    str(number),
                    _joined(label[:words]),
                    _joined(found[:words]) if is_number else "nan",
                    *(_joined(outputs[:words, tag]) for tag in range(self.width)),
                ]
            )
        return rows

    def read_rows(self, rows: Sequence[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        if not rows or len(rows[0]) < 4:
            raise ValueError("no logits")
        if len(rows[0]) != 3 + self.width:
            raise ValueError(f"{len(rows[0]) - 3} logits a line instead of {self.width}")
        read: list[list[int]] = []
        for number, row in enumerate(rows):
            try:
                read.append([int(label) for label in row[1].split(" ")])
            except ValueError:
                raise NoLabelError(number) from None
            if not self.is_label(np.array([read[-1]])).all():
                raise NoLabelError(number)
        labels = self.as_labels(read)
        logits = np.zeros((*labels.shape, self.width), np.float32)
        for number, row in enumerate(rows):
            for tag, cell in enumerate(row[3:]):
                values = np.array(cell.split(" "), np.float32)
                if len(values) != len(read[number]):
                    raise ValueError(f"{len(values)} logits for {len(read[number])} words")
                logits[number, : len(values), tag] = values
        return labels.astype(self.wide_dtype), logits

    def answers(self, logits: np.ndarray, texts: Sequence[Sequence[str]] = ()) -> list[Answer]:
        """Return each sentence's tags and spans; the score is that of its least sure word.

        A word's is softmax(logits), with transitions too; one that was not read has none.

        Args:
          logits: float32 [n, words, width].
          texts: n, each a sentence whose words have blanks between.

        Raises:
          ValueError: there are not as many texts as logits.
        """
        found = []
        decoded, chances = self.decode(logits), of_logits(SOFTMAX, logits)
        chances[~_read(logits)] = 1.0
        for (text,), row, each in zip(texts, decoded, chances, strict=True):
            words = words_of(text)
            tags = row[: len(words)]
            sure = np.take_along_axis(each[: len(words)], tags[:, None], axis=1)[:, 0]
            spans = tuple(
                AnsweredSpan(
                    " ".join(words[one.start : one.end]),
                    one.type,
                    one.start,
                    one.end,
                    float(sure[one.start : one.end].min()),
                )
                for one in self.spans(tags)
            )
            found.append(Answer(self._name(tags), {}, float(sure.min(initial=1.0)), spans))
        return found

    def served(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return `label` [n, positions], `probabilities` and the names of the `classes`.

        With transitions there is no `label`: the best chain is of words, which a server does not
        know.
        """
        import tensorflow as tf

        classes = tf.constant(self.labels)
        found = {
            "label": tf.gather(classes, tf.argmax(logits, axis=-1)),
            "probabilities": tf.nn.softmax(logits),
            "classes": tf.repeat(classes[None], tf.shape(logits)[0], axis=0),
        }
        if self.transitions:
            del found["label"]
        return found

    def submission(self, logits: np.ndarray, spellings: Sequence[str]) -> list[str]:
        return [" ".join(spellings[int(tag)] for tag in row) for row in self.decode(logits)]


def words_of(text: str) -> list[str]:
    """Return the words of a sentence, which have single blanks between."""
    return text.split(" ")


def _read(logits: np.ndarray) -> np.ndarray:
    """Return which words a model has read, bool [...] of logits [..., width]: not all are 0."""
    found: np.ndarray = (logits != 0).any(axis=-1)
    return found


def _length(label: np.ndarray, outputs: np.ndarray) -> int:
    """Return the number of words up to the last one with a label or an answer, 1 at least."""
    (known,) = np.nonzero((label >= 0) | _read(outputs))
    return int(known[-1]) + 1 if len(known) else 1


def _joined(values: Iterable[Any]) -> str:
    return " ".join(map(str, values))
