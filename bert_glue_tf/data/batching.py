"""Divides a training split into batches, and feeds them to Keras.

Which texts are in a batch, and in which order, depends on the seed and the epoch alone: every
batch is drawn at random from the whole split. How its texts lie in arrays is up to a layout
(`data.layouts`).

TensorFlow is imported inside the function that needs it: scoring does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import layouts
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.layouts import Layout
from bert_glue_tf.data.modality import NO_AUGMENTATION, TEXTS, Encoded, Modality

if TYPE_CHECKING:
    import tensorflow as tf

_SHOWN = 60  # Characters of a text in a message.
PREFETCHED = 2  # Batches that are made before a step asks for them.


class Ragged(Protocol):
    """Targets of the n examples of a split that differ in their number of rows.

    `data[indices]` are the rows of some examples, those of one after those of the other.
    """

    def __len__(self) -> int:
        """Return n."""

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        """Return the rows [m, ...] of the examples int64 [b]."""

    def signature(self) -> tf.TensorSpec:
        """Return shape and dtype of the rows of a batch."""


# An array over the n examples of a split, or several by name: [n, ...]. Batches have their rows.
Targets = np.ndarray | Mapping[str, np.ndarray | Ragged]


@dataclasses.dataclass(frozen=True)
class Split:
    """A split as features are made of it.

    Attributes:
      name: TFDS's name of the split.
      tokens: word pieces of n examples, or what else they are made of.
      labels: [n], of the problem's `label_dtype`.
      texts: one list of n texts for each text field, for messages; empty where nobody has them.
      all_pieces: where each word has a label, whether all its pieces learn it, or the first alone.
      augmentation: how a training changes its examples at random, one of `AUGMENTATIONS`.
    """

    name: str
    tokens: Encoded
    labels: np.ndarray
    texts: tuple[Sequence[str], ...] = ()
    all_pieces: bool = False
    augmentation: str = NO_AUGMENTATION

    @property
    def learned(self) -> np.ndarray:
        """Return the labels as a model gives its answers: [n], or [n, tokens] of words; -1: none.

        The longest text says how many tokens there are.
        """
        return self.at_tokens(self.labels, -1)

    def at_tokens(self, values: np.ndarray, filling: float) -> np.ndarray:
        """Return values of examples as they are, or those of words at the tokens that learn them.

        Args:
          values: [n, ...], or [n, words, ...] where each word has an answer.
          filling: stands at all other tokens.
        """
        if self.tokens.words is None:
            return values
        return self.tokens.spread(values, filling, self.all_pieces)

    def __len__(self) -> int:
        return len(self.labels)

    def named(self, place: int) -> str:
        """Return what an example is called in a message: how it begins, which a user can find.

        A number would count what is left of the user's file after its examples were divided.
        """
        if not self.texts:
            return f"a text of the {self.name} split"
        begin = " ".join(self.texts[0][place].split())
        shown = begin if len(begin) <= _SHOWN else f"{begin[:_SHOWN]}..."
        return f"the text {shown!r} of the {self.name} split"

    def tell_cut(self, seq_length: int) -> None:
        """Log how many texts are longer than what a model reads, if any are."""
        if self.tokens.cut:
            logging.info(
                "%d of %d %s texts are longer than %d pieces and were cut",
                self.tokens.cut,
                len(self),
                self.name,
                seq_length,
            )


def tokenize(
    preprocessor: Any,
    name: str,
    examples: Examples,
    all_pieces: bool = False,
    modality: Modality = TEXTS,
) -> Split:
    """Return a labelled split in word pieces, or in what else its examples are made of.

    Args:
      preprocessor: from `Modality.reader`.
      name: of the split.
      examples: with labels.
      all_pieces: as `Split.all_pieces`.
      modality: of the examples.

    Raises:
      UserError: it has no labels.
    """
    if examples.labels is None:
        raise UserError(f"the split {name} has no labels, so it can neither train nor score.")
    tokens = modality.encode(preprocessor, examples.columns)
    labels = examples.labels
    if tokens.words is not None:  # Other examples of the file may have more words.
        labels = labels[:, : int(tokens.words.counts.max(initial=0))]
    return Split(name, tokens, labels, examples.texts, all_pieces)


@dataclasses.dataclass(frozen=True)
class Batching:
    """The way the examples of a training become batches.

    Attributes:
      size: examples a batch.
      seed: of the order.
    """

    size: int
    seed: int

    def epoch(self, split: Split, epoch: int) -> list[np.ndarray]:
        """Return the batches of one epoch, int64 [b] each, only the last with fewer than `size`.

        Seed and epoch alone decide their order.
        """
        order = np.random.default_rng([self.seed, epoch]).permutation(len(split))
        return [order[start : start + self.size] for start in range(0, len(order), self.size)]


def training_dataset(
    split: Split,
    batching: Batching,
    layout: Layout,
    *,
    epochs: range,
    first_step: int = 0,
    targets: Targets | None = None,
) -> tf.data.Dataset:
    """Return all batches of `epochs` (of the first one from `first_step` on).

    Args:
      split: the training examples.
      batching: how they become batches.
      layout: how the texts of a batch lie in arrays.
      epochs: numbers of the epochs, from 0.
      first_step: of the first of these epochs.
      targets: what is learned of each example; None for the labels.

    Returns:
      (features, targets). Features are those of the layout; targets are [batch, ...], as `targets`
      an array or a dict of arrays.
    """
    import tensorflow as tf

    learned = split.learned if targets is None else targets

    def generate() -> Iterator[tuple[dict[str, np.ndarray], Targets]]:
        for epoch in epochs:
            batches = batching.epoch(split, epoch)
            tokens = split.tokens.in_epoch(split.augmentation, batching.seed, epoch)
            for batch in batches[first_step if epoch == epochs.start else 0 :]:
                yield layout.features(tokens, batch), _rows(learned, batch)

    specs = (layout.signature(), _targets_spec(None, learned))
    return _prefetched(tf.data.Dataset.from_generator(generate, output_signature=specs))


def replicas_dataset(
    split: Split,
    batching: Batching,
    layout: Layout,
    context: tf.distribute.InputContext,
    *,
    epochs: range,
    first_step: int = 0,
    targets: Targets | None = None,
) -> tf.data.Dataset:
    """Return the batches of `training_dataset`, each cut into equal parts, one for a replica.

    Where a batch cannot be cut into equal parts it is filled up with examples of weight 0. The
    others' weights are larger by as much, so that Keras's mean over the parts, and with it the
    gradient, is the mean over the real examples, as on one device.

    Args:
      split, batching, epochs, first_step, targets: as for `training_dataset`.
      layout: of the part of one replica; with a `size`, the last batch of an epoch is filled up
        as well, as a TPU needs it.
      context: which of the replicas this pipeline feeds.

    Returns:
      Without end: (features, targets, weights) of one replica after the other, of those that
      `context` names. Features are those of the layout, targets are [part, ...], and weights
      float32 [part].
    """
    import tensorflow as tf

    replicas = context.num_replicas_in_sync
    own = replicas // context.num_input_pipelines
    first = own * context.input_pipeline_id

    learned = split.learned if targets is None else targets

    def generate() -> Iterator[tuple[dict[str, np.ndarray], Targets, np.ndarray]]:
        for epoch in epochs:
            batches = batching.epoch(split, epoch)
            tokens = split.tokens.in_epoch(split.augmentation, batching.seed, epoch)
            for batch in batches[first_step if epoch == epochs.start else 0 :]:
                indices, weights = layouts.fill_up(
                    batch, split.tokens.lengths, replicas, layout.size * replicas
                )
                part = len(indices) // replicas
                for replica in range(first, first + own):
                    at = slice(replica * part, (replica + 1) * part)
                    features = layout.features(tokens, indices[at])
                    yield features, _rows(learned, indices[at]), weights[at]

    part = layout.size or None
    specs = (
        layout.signature(),
        _targets_spec(part, learned),
        tf.TensorSpec([part], tf.float32),
    )
    dataset = tf.data.Dataset.from_generator(generate, output_signature=specs)
    # Without an end the workers need not ask each other before every step whether all have one
    # more batch. How many there are, the training knows.
    return _prefetched(dataset.repeat())


def _prefetched(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return a dataset whose next batches are made while a step computes.

    Not as many as TensorFlow would choose: the thread that chooses wakes up ever more rarely, once
    a minute at last, and an iterator that ends waits for it. With TensorFlow 2.20 most trainings
    were silent for some seconds, and up to a minute, behind their last epoch.
    """
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.prefetch(PREFETCHED).with_options(options)


def _rows(targets: Targets, indices: np.ndarray) -> Targets:
    """Return the targets of some examples: indices int64 [b]."""
    if isinstance(targets, Mapping):
        return {name: values[indices] for name, values in targets.items()}
    return targets[indices]


def _targets_spec(rows: int | None, targets: Targets) -> Any:
    """Return the shape and dtype of the targets of a batch, in the structure of `targets`."""
    import tensorflow as tf

    def spec(values: np.ndarray | Ragged) -> tf.TensorSpec:
        if not isinstance(values, np.ndarray):
            return values.signature()
        return tf.TensorSpec([rows, *values.shape[1:]], tf.as_dtype(values.dtype))

    if isinstance(targets, Mapping):
        return {name: spec(values) for name, values in targets.items()}
    return spec(targets)
