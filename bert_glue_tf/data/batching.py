"""Puts tokenized examples into batches of few shapes, and feeds them to Keras.

CoLA's mean length is 11 word pieces and MRPC's 53: padded to 128, most of the work of a CPU
or GPU is spent on padding. Here a batch is padded to the smallest bucket that holds it, so
that the shapes stay few (a compiler compiles a graph per bucket) and the work small.

Training draws its batches at random. Batches of examples of similar length have even less
padding, but their gradients differ more from each other: see `Batching.group_by_length`.

TensorFlow is imported inside the function that needs it: scoring does not.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import preprocessing
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.data.preprocessing import INPUTS, TokenizedTexts

if TYPE_CHECKING:
    import tensorflow as tf

# An array over the n examples of a split, or several by name: [n, ...]. Batches have their rows.
Targets = np.ndarray | Mapping[str, np.ndarray]
BUCKETS = (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


@dataclasses.dataclass(frozen=True)
class Split:
    """A tokenized split.

    Attributes:
      name: TFDS's name of the split.
      tokens: word pieces of n examples.
      labels: [n], of the problem's `label_dtype`.
    """

    name: str
    tokens: TokenizedTexts
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

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


@dataclasses.dataclass(frozen=True)
class Batch:
    """Which examples go together and how long they are padded: indices int64 [b], length."""

    indices: np.ndarray
    length: int


def tokenize(preprocessor: Any, name: str, examples: Examples) -> Split:
    """Return a labelled split in word pieces.

    Args:
      preprocessor: from `preprocessing.build`.
      name: of the split.
      examples: with labels.

    Raises:
      UserError: it has no labels.
    """
    if examples.labels is None:
        raise UserError(f"the split {name} has no labels, so it can neither train nor score.")
    return Split(name, preprocessing.tokenize(preprocessor, examples.texts), examples.labels)


def bucket_lengths(seq_length: int, length_buckets: bool) -> tuple[int, ...]:
    """Return the lengths to pad to, ascending; the last is `seq_length`."""
    if not length_buckets:
        return (seq_length,)
    return (*(length for length in BUCKETS if length < seq_length), seq_length)


def grouped_batches(
    lengths: np.ndarray,
    batch_size: int,
    buckets: Sequence[int],
    rng: np.random.Generator | None = None,
) -> list[Batch]:
    """Put every example into exactly one batch of its bucket.

    Examples that do not fill a batch of their bucket move up to the next longer one, so there are
    as many batches as without buckets, ceil(n / batch_size), and only one of them is not full.

    Args:
      lengths: int [n], lengths in word pieces, none above `buckets[-1]`.
      batch_size: examples a batch.
      buckets: lengths to pad to, ascending.
      rng: shuffles examples and batches; None keeps the order (shortest first).

    Raises:
      ValueError: an example is longer than the longest bucket.
    """
    _require_fitting(lengths, buckets)
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    bucket_of = np.searchsorted(np.asarray(buckets), lengths[order])
    batches: list[Batch] = []
    waiting = np.empty(0, np.int64)
    for bucket, length in enumerate(buckets):
        waiting = np.concatenate([waiting, order[bucket_of == bucket]])
        is_last = bucket == len(buckets) - 1
        while len(waiting) >= batch_size or (is_last and len(waiting)):
            batches.append(Batch(waiting[:batch_size], length))
            waiting = waiting[batch_size:]
    # The one batch that is not full, made of what each bucket left over, may be far shorter
    # than the longest bucket.
    if batches and batches[-1].length == buckets[-1]:
        batches[-1] = _fitting(batches[-1].indices, lengths, buckets)
    if rng is not None:
        rng.shuffle(batches)
    return batches


def random_batches(
    lengths: np.ndarray, batch_size: int, buckets: Sequence[int], rng: np.random.Generator
) -> list[Batch]:
    """Put every example into exactly one batch, drawn without a look at its length.

    Arguments and errors are those of `grouped_batches`; only the last batch may not be full.
    """
    _require_fitting(lengths, buckets)
    order = rng.permutation(len(lengths))
    starts = range(0, len(order), batch_size)
    return [_fitting(order[start : start + batch_size], lengths, buckets) for start in starts]


def _require_fitting(lengths: np.ndarray, buckets: Sequence[int]) -> None:
    if len(lengths) and lengths.max() > buckets[-1]:
        raise ValueError(f"length {lengths.max()} is above the longest bucket, {buckets[-1]}")


def _fitting(indices: np.ndarray, lengths: np.ndarray, buckets: Sequence[int]) -> Batch:
    """Return a batch of the smallest bucket that holds these examples."""
    bucket = np.searchsorted(np.asarray(buckets), lengths[indices].max())
    return Batch(indices, buckets[int(bucket)])


@dataclasses.dataclass(frozen=True)
class Batching:
    """The way the examples of a training become batches.

    Attributes:
      size: examples a batch.
      buckets: lengths to pad to, ascending (`bucket_lengths`).
      seed: of the order.
      group_by_length: whether a batch is filled from one bucket, and from the next longer one
        where that has not enough, instead of from all.
    """

    size: int
    buckets: tuple[int, ...]
    seed: int
    group_by_length: bool = False

    def epoch(self, split: Split, epoch: int) -> list[Batch]:
        """Return the batches of one epoch: seed and epoch alone decide their order."""
        rng = np.random.default_rng([self.seed, epoch])
        # Of one bucket both are random. The first one's order is that of earlier versions, whose
        # runs may go on.
        is_grouped = self.group_by_length or len(self.buckets) == 1
        plan = grouped_batches if is_grouped else random_batches
        return plan(split.tokens.lengths, self.size, self.buckets, rng)


def training_dataset(
    split: Split,
    batching: Batching,
    *,
    epochs: range,
    first_step: int = 0,
    targets: Targets | None = None,
) -> tf.data.Dataset:
    """Return all batches of `epochs` (of the first one from `first_step` on).

    Args:
      split: the training examples.
      batching: how they become batches.
      epochs: numbers of the epochs, from 0.
      first_step: of the first of these epochs.
      targets: what is learned of each example; None for the labels.

    Returns:
      (features, targets). Features are a dict of int32 [batch, length]; targets are [batch, ...],
      as `targets` an array or a dict of arrays.
    """
    import tensorflow as tf

    learned = split.labels if targets is None else targets

    def generate() -> Iterator[tuple[dict[str, np.ndarray], Targets]]:
        for epoch in epochs:
            batches = batching.epoch(split, epoch)
            for batch in batches[first_step if epoch == epochs.start else 0 :]:
                features = split.tokens.batch(batch.indices, batch.length)
                yield features, _rows(learned, batch.indices)

    specs = (_features_spec(None, batching.buckets), _targets_spec(None, learned))
    dataset = tf.data.Dataset.from_generator(generate, output_signature=specs)
    return dataset.prefetch(tf.data.AUTOTUNE)


def replicas_dataset(
    split: Split,
    batching: Batching,
    context: tf.distribute.InputContext,
    *,
    epochs: range,
    is_static: bool,
    first_step: int = 0,
    targets: Targets | None = None,
) -> tf.data.Dataset:
    """Return the batches of `training_dataset`, each cut into equal parts, one for a replica.

    Where a batch cannot be cut into equal parts it is filled up with examples of weight 0. The
    others' weights are larger by as much, so that Keras's mean over the parts, and with it the
    gradient, is the mean over the real examples, as on one device.

    Args:
      split, batching, epochs, first_step, targets: as for `training_dataset`.
      context: which of the replicas this pipeline feeds.
      is_static: fills up the last batch of an epoch as well, as a TPU needs it.

    Returns:
      Without end: (features, targets, weights) of one replica after the other, of those that
      `context` names. Features are a dict of int32 [part, length], targets are [part, ...], and
      weights float32 [part].
    """
    import tensorflow as tf

    replicas = context.num_replicas_in_sync
    own = replicas // context.num_input_pipelines
    first = own * context.input_pipeline_id

    learned = split.labels if targets is None else targets

    def generate() -> Iterator[tuple[dict[str, np.ndarray], Targets, np.ndarray]]:
        for epoch in epochs:
            batches = batching.epoch(split, epoch)
            for batch in batches[first_step if epoch == epochs.start else 0 :]:
                indices, weights = fill_up(
                    batch.indices, replicas, batching.size if is_static else 0
                )
                part = len(indices) // replicas
                for replica in range(first, first + own):
                    at = slice(replica * part, (replica + 1) * part)
                    features = split.tokens.batch(indices[at], batch.length)
                    yield features, _rows(learned, indices[at]), weights[at]

    part = math.ceil(batching.size / replicas) if is_static else None
    specs = (
        _features_spec(part, batching.buckets),
        _targets_spec(part, learned),
        tf.TensorSpec([part], tf.float32),
    )
    dataset = tf.data.Dataset.from_generator(generate, output_signature=specs)
    # Without an end the workers need not ask each other before every step whether all have one
    # more batch. How many there are, the training knows.
    return dataset.repeat().prefetch(tf.data.AUTOTUNE)


def fill_up(indices: np.ndarray, replicas: int, size: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return examples and weights of a batch that can be cut into equal parts.

    Args:
      indices: int64 [n], n at least 1.
      replicas: number of parts.
      size: the batch gets at least so many examples.

    Returns:
      int64 [m], and float32 [m]: m / n for the n examples, 0 for what was added.
    """
    size = math.ceil(max(size, len(indices)) / replicas) * replicas
    weights = np.zeros(size, np.float32)
    weights[: len(indices)] = size / len(indices)
    return np.concatenate([indices, np.full(size - len(indices), indices[0])]), weights


def _features_spec(rows: int | None, buckets: Sequence[int]) -> dict[str, tf.TensorSpec]:
    import tensorflow as tf

    length = buckets[0] if len(buckets) == 1 else None
    return {name: tf.TensorSpec([rows, length], tf.int32) for name in INPUTS}


def _rows(targets: Targets, indices: np.ndarray) -> Targets:
    """Return the targets of some examples: indices int64 [b]."""
    if isinstance(targets, Mapping):
        return {name: values[indices] for name, values in targets.items()}
    return targets[indices]


def _targets_spec(rows: int | None, targets: Targets) -> Any:
    """Return the shape and dtype of the targets of a batch, in the structure of `targets`."""
    import tensorflow as tf

    def spec(values: np.ndarray) -> tf.TensorSpec:
        return tf.TensorSpec([rows, *values.shape[1:]], tf.as_dtype(values.dtype))

    if isinstance(targets, Mapping):
        return {name: spec(values) for name, values in targets.items()}
    return spec(targets)
