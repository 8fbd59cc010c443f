"""A model's robustness: its score on text with typos, and on sources it has not seen.

TensorFlow is imported by the tokenizer, which `measure` calls, and by nothing else.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.data import batching, problems
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.layouts import Layout
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import bootstrap, evaluator, metrics
from bert_glue_tf.evaluation.defaults import TYPOS
from bert_glue_tf.evaluation.evaluator import PredictFn

SHORTEST_WORD = 4  # Letters; a shorter one has no two internal letters to swap.

_WORD = re.compile(r"[^\W\d_]+")
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_SHIFTS = (0.0, 0.25, 0.75)  # How far to the right a row of a keyboard begins, in keys.


def _neighbours() -> dict[str, str]:
    """Return a letter -> the letters whose keys touch its key."""
    place = {
        letter: (row, column + _SHIFTS[row])
        for row, letters in enumerate(_ROWS)
        for column, letter in enumerate(letters)
    }

    def touch(a: str, b: str) -> bool:
        rows, columns = abs(place[a][0] - place[b][0]), abs(place[a][1] - place[b][1])
        return (rows == 0 and columns == 1) or (rows == 1 and columns < 1)

    return {a: "".join(b for b in place if touch(a, b)) for a in place}


NEIGHBOURS: Mapping[str, str] = _neighbours()


def typos(texts: Sequence[str], rate: float, seed: int = 0, field: int = 0) -> list[str]:
    """Return the texts with spelling mistakes, at most one a word.

    The mistakes of Pruthi et al. 2019, "Combating Adversarial Misspellings with Robust Word
    Recognition" (https://arxiv.org/abs/1905.11268), drawn at random instead of chosen against
    the model: inside a word, two neighbouring letters are swapped, one is left out, one is
    added, or one is replaced by that of a neighbouring key. The first and the last letter stay,
    and words of fewer than 4 letters. Added letters come from the keys beside the letter before
    them. Every kind is as likely; where a swap would change nothing (`good`), the others are.

    The mistakes of an example depend on nothing but the seed, the field and the example's
    position, and those of a smaller rate are among those of a larger one.

    Args:
      texts: n texts. Words with letters other than a to z stay as they are.
      rate: probability of a mistake in each word that can have one, 0 to 1.
      seed: of the mistakes, 0 or more.
      field: number of the text field, so that the two texts of a pair get mistakes of their own.

    Raises:
      ValueError: `rate` is not within 0 and 1.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate={rate}: has to be from 0 to 1.")
    return [
        # RandomState's stream is frozen for good (NumPy's NEP 19); default_rng's is not.
        _with_typos(text, rate, np.random.RandomState([seed, field, position]))
        for position, text in enumerate(texts)
    ]


def _can_have_typo(word: str) -> bool:
    return word.isascii() and len(word) >= SHORTEST_WORD


def _with_typos(text: str, rate: float, random: np.random.RandomState) -> str:
    def replace(match: re.Match[str]) -> str:
        word = match.group()
        if not _can_have_typo(word):
            return word
        # As many draws for every word, so that the rate alone decides which words are left.
        hit, kind, place, letter = random.random_sample(4)
        return _typo(word, kind, place, letter) if hit < rate else word

    return _WORD.sub(replace, text)


def _typo(word: str, kind: float, place: float, letter: float) -> str:
    """Put a mistake into a word of 4 letters or more; three numbers in [0, 1) choose it."""
    inside = range(1, len(word) - 1)
    places: dict[str, Sequence[int]] = {
        "swap": [i for i in inside[:-1] if word[i] != word[i + 1]],
        "drop": inside,
        "add": range(1, len(word)),
        "replace": inside,
    }
    name = _choose([name for name, found in places.items() if found], kind)
    i = _choose(places[name], place)
    if name == "swap":
        return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
    if name == "drop":
        return word[:i] + word[i + 1 :]
    if name == "add":
        return word[:i] + _beside(word[i - 1], letter, like=word[i]) + word[i:]
    return word[:i] + _beside(word[i], letter, like=word[i]) + word[i + 1 :]


def _beside(letter: str, number: float, like: str) -> str:
    """Return a letter from a key beside that of `letter`, upper or lower case as `like` is."""
    found = str(_choose(NEIGHBOURS[letter.lower()], number))
    return found.upper() if like.isupper() else found


def _choose(values: Sequence[Any], number: float) -> Any:
    return values[int(number * len(values))]


def out_of_domain(examples: Examples, train: Examples) -> np.ndarray | None:
    """Find the examples of a source that no training example comes from: bool [n].

    CoLA's sentences come from 23 publications. The corpus keeps 6 of them out of the training
    split, and has two development splits, in-domain and out-of-domain (Warstadt et al. 2019,
    "Neural Network Acceptability Judgments", https://arxiv.org/abs/1805.12471; sizes on its page,
    https://nyu-mll.github.io/CoLA/: 527 and 516); GLUE mixes the two into one. Here they are
    told apart again by the source codes, which finds the same sizes: 516 sentences of GLUE's
    dev.tsv have a code that train.tsv does not (c-05, clc95, j_71, s_97, swb04, w_80).

    Args:
      examples: the split to divide.
      train: the whole training split, even for a model trained on a part of it, so that the
        division is the same for all models.

    Returns:
      None where the data does not tell the sources: another task than CoLA, or TFDS.

    Raises:
      ValueError: `train` is a part of the training split only.
    """
    if examples.sources is None or train.sources is None:
        return None
    if len(train) < int(str(train.provenance["split_examples"])):
        raise ValueError("out_of_domain needs the whole training split, not a part of it.")
    return np.isin(examples.sources, sorted(set(train.sources)), invert=True)


def measure(
    predict_fn: PredictFn,
    preprocessor: Any,
    task: TaskSpec,
    examples: Examples,
    train_examples: Examples,
    *,
    batch_size: int,
    layout: Layout,
    rate: float = TYPOS,
    seed: int = 0,
) -> dict[str, dict[str, Any] | None]:
    """Score a model as it is, with typos, and on seen and unseen sources apart.

    With typos every text field is changed and the labels are kept: a misspelling changes
    neither a sentence's grammar nor what it says, as a reader would take it.

    Args:
      predict_fn: the model.
      preprocessor: from `preprocessing.build`.
      task: names the primary metric.
      examples: the labelled split to score, of n examples.
      train_examples: the whole training split.
      batch_size: examples a prediction.
      layout: how the texts of a batch lie in arrays.
      rate: of `typos`.
      seed: of `typos`.

    Returns:
      JSON-able: `clean`, `typos`, `in_domain` and `out_of_domain` -> the primary metric under its
      name, its 95 % bootstrap `interval` (absent for a diverged model) and the number of
      `examples`. `typos` has `rate`, `seed` and `words`, the share of all words that were
      changed, besides. The last two are None where the sources are not known, or have no example.

    Raises:
      UserError: `examples` has no labels, or is of no texts.
      ValueError: as `typos` and `out_of_domain`.
    """
    task.modality.require_texts("the robustness against typos")
    unseen = out_of_domain(examples, train_examples)
    misspelt = tuple(typos(texts, rate, seed, field) for field, texts in enumerate(examples.texts))
    labels = np.asarray(examples.labels)

    def logits(texts: tuple[list[str], ...]) -> np.ndarray:
        changed = dataclasses.replace(examples, texts=texts)
        split = batching.tokenize(preprocessor, str(examples.provenance["split"]), changed)
        return evaluator.evaluate(
            predict_fn, split, task, batch_size=batch_size, layout=layout
        ).logits

    clean = logits(examples.texts)
    settings = {"rate": rate, "seed": seed, "words": _changed(examples.texts, misspelt)}
    return {
        "clean": _score(task, labels, clean),
        "typos": _score(task, labels, logits(misspelt)) | settings,
        "in_domain": _part(task, labels, clean, None if unseen is None else ~unseen),
        "out_of_domain": _part(task, labels, clean, unseen),
    }


def _part(
    task: TaskSpec, labels: np.ndarray, logits: np.ndarray, chosen: np.ndarray | None
) -> dict[str, Any] | None:
    if chosen is None or not chosen.any():
        return None
    return _score(task, labels[chosen], logits[chosen])


def _score(task: TaskSpec, labels: np.ndarray, logits: np.ndarray) -> dict[str, Any]:
    """Return the primary metric of some examples."""
    name = task.primary_metric
    value = metrics.compute(task, labels, logits)[name]
    score: dict[str, Any] = {name: value, "examples": len(labels)}
    if not problems.diverged(logits):
        predictions = task.problem.decode(logits)
        metric = metrics.of(task.problem, name)
        interval = bootstrap.interval(task.problem, metric, labels, predictions)
        score["interval"] = list(interval)
    return score


def _changed(before: Sequence[Sequence[str]], after: Sequence[Sequence[str]]) -> float:
    """Return the share of the words between blanks that differ."""
    pairs = [
        (old, new)
        for fields in zip(before, after, strict=True)
        for texts in zip(*fields, strict=True)
        for old, new in zip(*(text.split() for text in texts), strict=True)
    ]
    return sum(old != new for old, new in pairs) / len(pairs) if pairs else 0.0
