"""The texts of a search: training examples that outputs are fitted on, and others to judge by."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from bert_glue_tf.analysis import texts as chosen_texts
from bert_glue_tf.data import batching, preprocessing
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.layouts import Packed
from bert_glue_tf.data.preprocessing import TokenizedTexts
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.search.defaults import Effort
from bert_glue_tf.training import task_settings

_TRAIN = "train"
_BATCH_TOKENS = 512  # Whose values in all layers are in memory at once.


@dataclasses.dataclass(frozen=True)
class Texts:
    """Texts in the word pieces of a run's classifier.

    Attributes:
      fitted: training examples that outputs are fitted on.
      judged: other training examples, by which levels are judged.
      held_out: True where the run has not trained on `judged`.
      used: int64 [pieces], how often each piece stands in all training texts but `judged`.
      examples: those of `judged`, as texts.
    """

    fitted: Split
    judged: Split
    held_out: bool
    used: np.ndarray
    examples: Examples


def choose(run: Run, read: Mapping[str, Examples], effort: Effort, pieces: int) -> Texts:
    """Return the texts of a run's training split; no validation or test split is ever looked at.

    Args:
      run: a finished one.
      read: split -> examples, as `readers.load_for_training` gives them for the run.
      effort: how many.
      pieces: of the vocabulary.

    Raises:
      UserError: the training split has changed since, or has no labels.
    """
    found = chosen_texts.choose(run, read, effort.examples)
    train = read[_TRAIN]
    problem = run.task.problem
    seen, _ = train.hold_out(task_settings.held_out_of(run.config, run.task, len(train)), problem)
    judged = found.examples
    if not found.held_out:  # What is fitted on has to be other texts all the same.
        seen, others = seen.hold_out(min(effort.examples, len(seen) // 4), problem)
        judged = others or seen
    preprocessor = tokenizer(run, str(run.folder.model / "preprocessing"))
    split = _at_most(batching.tokenize(preprocessor, _TRAIN, judged), effort.tokens)
    every = batching.tokenize(preprocessor, _TRAIN, seen)
    assert isinstance(every.tokens, TokenizedTexts)  # `launch.check` has looked at the encoder.
    return Texts(
        fitted=_at_most(every, effort.fitted_tokens),
        judged=split,
        held_out=found.held_out,
        used=np.bincount(every.tokens.ids, minlength=pieces),
        examples=dataclasses.replace(
            judged,
            texts=tuple(list(column) for column in split.texts),
            labels=split.labels,
            sources=None,
        ),
    )


def tokenizer(run: Run, folder: str) -> Any:
    """Return the function of a run's texts to word pieces.

    Args:
      run: a finished one.
      folder: of the preprocessing SavedModel.
    """
    return preprocessing.of_task(
        preprocessing.load(folder, folder), run.task, run.config.seq_length, run.config.truncation
    )


def _at_most(split: Split, tokens: int) -> Split:
    """Return so many texts of a split, a fixed choice, that they have at most so many pieces."""
    order = np.random.RandomState(2).permutation(len(split))
    taken = np.cumsum(split.tokens.lengths[order]) <= tokens
    chosen = np.sort(order[: max(1, int(taken.sum()))])
    return Split(
        split.name,
        split.tokens.take(chosen),
        split.labels[chosen],
        tuple([column[i] for i in chosen] for column in split.texts),
    )


def batches(split: Split) -> list[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Return the texts of a split in batches: which ones int64 [b], and their packed features."""
    layout, tokens = Packed(), split.tokens
    size = max(1, int(_BATCH_TOKENS / max(1.0, float(tokens.lengths.mean()))))
    return [(some, layout.features(tokens, some)) for some in layout.batches(tokens.lengths, size)]
