"""Text -> token ids, with the tokenizer that is part of the encoder's SavedModel pair.

Whole example lists are tokenized once and kept without padding; batches of any length
are cut from there. TensorFlow is imported inside the functions that need it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError, reason_of
from bert_glue_tf.data import words
from bert_glue_tf.data.truncation import HEAD, cut
from bert_glue_tf.data.words import Words

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from bert_glue_tf.data.problems import Problem
else:
    np = lazy.module("numpy")  # Commands import this module with their flags.

# The features of a batch, each int32 [batch, length].
MASK = "input_mask"
INPUTS = ("input_word_ids", MASK, "input_type_ids")
TOKENIZER = "tokenizer"
PACKER = "packer"


class OfTexts(Protocol):
    """A task, as far as its texts are concerned."""

    @property
    def text_fields(self) -> tuple[str, ...]:
        """Return the names of the texts of an example."""

    @property
    def problem(self) -> Problem:
        """Return the kind of answer, which may be one for each word."""


@dataclasses.dataclass(frozen=True)
class TokenizedTexts:
    """Token ids of n examples, one after the other, without padding.

    The 393,000 pairs of MNLI take about 80 MB in this form (512 MB padded to 128).

    Attributes:
        ids: int32 [total], `[CLS] a [SEP]` or `[CLS] a [SEP] b [SEP]` of every example.
        type_ids: int8 [total], 0 for the first segment, 1 for the second.
        row_splits: int64 [n + 1]; example i is `ids[row_splits[i]:row_splits[i + 1]]`.
        padding_id: the vocabulary's [PAD].
        cut: number of the examples that had more pieces than they have here.
        words: which words the tokens are of, where each word has an answer of its own.
    """

    ids: np.ndarray
    type_ids: np.ndarray
    row_splits: np.ndarray
    padding_id: int = 0
    cut: int = 0
    words: Words | None = None

    def __len__(self) -> int:
        return len(self.row_splits) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Return int64 [n]: tokens per example, special tokens included."""
        return np.diff(self.row_splits)

    def take(self, indices: Sequence[int] | np.ndarray) -> TokenizedTexts:
        """Return some examples, int [b], in that order."""
        indices = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[indices]
        splits = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(splits[-1]) - np.repeat(splits[:-1], lengths)
        places = np.repeat(self.row_splits[indices], lengths) + within
        return dataclasses.replace(
            self,
            ids=self.ids[places],
            type_ids=self.type_ids[places],
            row_splits=splits,
            words=self.words and Words(self.words.numbers[places], self.words.counts[indices]),
        )

    def in_epoch(self, augmentation: str, seed: int, epoch: int) -> Self:
        """Return the texts themselves: no training changes them."""
        del augmentation, seed, epoch
        return self

    def read_whole(self, positions: int) -> np.ndarray:
        """Return which texts are shorter than so many positions, bool [n]: none was cut there."""
        return self.lengths < positions

    def spread(self, values: np.ndarray, filling: float, all_pieces: bool = False) -> np.ndarray:
        """Return the values of words at their tokens: [n, longest, ...].

        Args:
            values: [n, words, ...].
            filling: what stands where no word begins, and behind the last token.
            all_pieces: whether all pieces of a word have its value, instead of the first alone.

        Raises:
            ValueError: `words` is not known.
        """
        text, place, word = self._of_words(all_pieces)
        found = np.full(
            (len(self), int(self.lengths.max(initial=0)), *values.shape[2:]), filling, values.dtype
        )
        found[text, place] = values[text, word]
        return found

    def answers(self, outputs: np.ndarray, indices: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return a model's answers to some examples as problems take them.

        Args:
            outputs: [b, ...], or of tokens [b, positions, width] where each word has an answer.
            indices: int [b], which examples.

        Returns:
            The outputs as they are; or of words [b, words, width], each that of its first piece,
            with as many words as the example with the most has. A word without piece, because its
            text was cut or it holds no character that a model reads, has zeros.
        """
        if self.words is None:
            return outputs
        text, place, word = self.take(indices)._of_words()
        most = int(self.words.counts.max(initial=0))
        found = np.zeros((len(outputs), most, outputs.shape[-1]), outputs.dtype)
        found[text, word] = outputs[text, place]
        return found

    def _of_words(self, all_pieces: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return text, place in it and word of each token that is the first of its word, or of all.

        Each is int64 [tokens].
        """
        if self.words is None:
            raise ValueError("the words of these texts are not known")
        numbers = self.words.numbers
        text = np.repeat(np.arange(len(self)), self.lengths)
        place = np.arange(len(numbers)) - self.row_splits[text]
        chosen = numbers >= 0
        if not all_pieces:
            before = np.concatenate([[-1], numbers[:-1]])
            chosen &= (numbers != before) | (place == 0)
        return text[chosen], place[chosen], numbers[chosen].astype(np.int64)

    def batch(self, indices: Sequence[int] | np.ndarray, length: int) -> dict[str, np.ndarray]:
        """Return the encoder's inputs for some examples, padded.

        Args:
            indices: int [b], which examples.
            length: of the padded rows.

        Returns:
            input_word_ids, input_mask, input_type_ids, each int32 [b, length].

        Raises:
            ValueError: an example is longer than `length`. Truncation belongs to the
                packing, which knows where the second segment begins.
        """
        indices = np.asarray(indices, dtype=np.int64)
        lengths = self.lengths[indices]
        require_fitting(lengths, length)
        mask = np.arange(length) < lengths[:, None]
        # Row by row the positions in the flat arrays, without a loop over examples.
        places = (self.row_splits[indices][:, None] + np.arange(length))[mask]
        ids = np.full(mask.shape, self.padding_id, np.int32)
        ids[mask] = self.ids[places]
        types = np.zeros(mask.shape, np.int32)
        types[mask] = self.type_ids[places]
        return {"input_word_ids": ids, "input_mask": mask.astype(np.int32), "input_type_ids": types}


def require_fitting(lengths: np.ndarray, positions: int) -> None:
    """Refuse texts that are longer than what has to hold them.

    Args:
        lengths: int [n], tokens of each text.
        positions: of a row.

    Raises:
        ValueError: one is longer.
    """
    longest = lengths.max(initial=0)
    if longest > positions:
        raise ValueError(f"a text of {longest} tokens does not fit into {positions} positions")


def load(folder: str, location: str, remedy: str = "") -> Any:
    """Load a preprocessing SavedModel.

    Args:
        folder: where it lies.
        location: what the user called it (a handle or folder), for messages.
        remedy: what to do about a damaged one, to end the message.

    Raises:
        UserError: damaged, or no preprocessing model for BERT.
    """
    import tensorflow_hub as hub
    import tensorflow_text  # noqa: F401  (registers the ops in the SavedModel)

    try:
        loaded = hub.load(folder)
    except Exception as error:  # a damaged SavedModel fails in many ways
        reason = reason_of(error)
        raise UserError(f"{location}: cannot be loaded as a SavedModel: {reason}{remedy}") from None
    for part in ("tokenize", "bert_pack_inputs"):
        if not callable(getattr(loaded, part, None)):
            raise UserError(f"{location}: is no preprocessing model for BERT: it has no {part}()")
    return loaded


def build(
    preprocessing: Any,
    features: Sequence[str],
    seq_length: int,
    truncation: str = HEAD,
    has_words: bool = False,
) -> Any:
    """Build the Keras preprocessing model: strings in, the encoder's inputs out.

    Args:
        preprocessing: a loaded preprocessing SavedModel (`tokenize`, `bert_pack_inputs`).
        features: names of the string inputs, one or two, in their order.
        seq_length: tokens of each packed row; of longer examples the longest segment
            is trimmed first.
        truncation: which of their pieces `tokenize` keeps, one of `truncation.TRUNCATIONS`; the
            model by itself keeps the first.
        has_words: whether `tokenize` says which word each token is of. The words of a text are
            what stands between its single blanks; there is one text then.

    Returns:
        A `tf_keras.Model`: string tensors [batch], named as `features`, to a dict of
        int32 [batch, seq_length] (input_word_ids, input_mask, input_type_ids).
    """
    import tensorflow as tf
    import tensorflow_hub as hub
    import tensorflow_text  # noqa: F401  (registers the ops in the SavedModel)
    import tf_keras

    inputs = [tf_keras.Input((), dtype=tf.string, name=name) for name in features]
    tokenizer = hub.KerasLayer(preprocessing.tokenize, name=TOKENIZER)
    packer = hub.KerasLayer(
        preprocessing.bert_pack_inputs, name=PACKER, arguments={"seq_length": seq_length}
    )
    model = tf_keras.Model(
        inputs, packer([tokenizer(text) for text in inputs]), name="preprocessing"
    )
    model.truncation = truncation
    model.has_words = has_words
    return model


def packed(preprocessing_model: Any, texts: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return the encoder's inputs, as long as the longest text: what a TensorFlow graph computes.

    Args:
        preprocessing_model: from `build`, with whose truncation texts are cut.
        texts: for each of its features string [batch].

    Returns:
        input_word_ids, input_mask, input_type_ids, each int32 [batch, length].
    """
    import tensorflow as tf

    positions = preprocessing_model.output["input_word_ids"].shape[1]
    found = [preprocessing_model.get_layer(TOKENIZER)(text) for text in texts]
    if preprocessing_model.truncation != HEAD:
        pieces = [segment.merge_dims(-2, -1) for segment in found]
        kept = cut(pieces, positions - 1 - len(texts), preprocessing_model.truncation)
        found = [_in_words(segment) for segment in kept]
    rows = preprocessing_model.get_layer(PACKER)(found)
    longest = tf.reduce_max(tf.reduce_sum(rows["input_mask"], axis=-1))
    return {name: rows[name][:, :longest] for name in INPUTS}


def special_tokens(tokenizer: Any) -> dict[str, int]:
    """Return the special tokens' ids and `vocab_size`, as a SavedModel's `tokenize` gives them.

    Returns:
        Some of start_of_sequence_id, end_of_segment_id, padding_id, mask_id, vocab_size;
        empty where the SavedModel does not tell (it is an optional part of the signature).
    """
    tell = getattr(tokenizer, "get_special_tokens_dict", None)
    return {name: int(value) for name, value in tell().items()} if tell else {}


def of_task(preprocessing: Any, task: OfTexts, seq_length: int, truncation: str = HEAD) -> Any:
    """Build the Keras preprocessing model of a task's texts; see `build`.

    Args:
        preprocessing: as for `build`.
        task: says which texts an example has, and whether each of their words has an answer.
        seq_length: as for `build`.
        truncation: as for `build`.
    """
    has_words = task.problem.tags_words
    return build(preprocessing, task.text_fields, seq_length, truncation, has_words)


def tokenize(
    preprocessing_model: Any, texts: tuple[Sequence[str], ...], batch_size: int = 1024
) -> TokenizedTexts:
    """Tokenize whole lists of examples.

    Args:
        preprocessing_model: from `build`.
        texts: for each of its features the list of n texts.
        batch_size: examples tokenized at once.

    Returns:
        The trimmed and packed examples without padding.

    Raises:
        ValueError: the lists differ in length or in number from the model's features.
    """
    if len(texts) != len(preprocessing_model.inputs) or len({len(t) for t in texts}) > 1:
        raise ValueError(
            f"expected {len(preprocessing_model.inputs)} lists of one length, got "
            f"lengths {[len(column) for column in texts]}"
        )
    tokenizer = preprocessing_model.get_layer(TOKENIZER)
    packer = preprocessing_model.get_layer(PACKER)
    padding_id = special_tokens(tokenizer.resolved_object).get("padding_id", 0)
    # [CLS], and [SEP] behind each text.
    limit = preprocessing_model.output["input_word_ids"].shape[1] - 1 - len(texts)
    ids, types, lengths, number_cut = [], [], [], 0
    read: list[Words] = []
    split = words.in_pieces if preprocessing_model.has_words else _in_pieces
    # Called as it is: a tf.data pipeline is no faster (16,000 pairs a second on two
    # cores either way) and takes a second to trace, which a short list would feel.
    for start in range(0, len(texts[0]), batch_size):
        columns = ([*map(encode, column[start : start + batch_size])] for column in texts)
        found = [split(tokenizer, some) for some in columns]
        if preprocessing_model.has_words:
            read.append(words.laid(found[0], limit, preprocessing_model.truncation))
        pieces = [segment.merge_dims(-2, -1) for segment in found]
        total = sum(segment.row_lengths().numpy() for segment in pieces)
        if (total > limit).any():
            number_cut += int((total > limit).sum())
            if preprocessing_model.truncation != HEAD:
                kept = cut(pieces, limit, preprocessing_model.truncation)
                found = [_in_words(segment) for segment in kept]
        batch = packer(found)
        mask = batch["input_mask"].numpy().astype(bool)
        ids.append(batch["input_word_ids"].numpy()[mask])
        types.append(batch["input_type_ids"].numpy()[mask].astype(np.int8))
        lengths.append(mask.sum(axis=1))
    return TokenizedTexts(
        ids=np.concatenate(ids).astype(np.int32) if ids else np.zeros(0, np.int32),
        type_ids=np.concatenate(types) if types else np.zeros(0, np.int8),
        row_splits=np.concatenate([[0], *lengths]).cumsum().astype(np.int64),
        padding_id=padding_id,
        cut=number_cut,
        words=words.joined(read) if preprocessing_model.has_words else None,
    )


def _in_pieces(tokenizer: Any, texts: list[bytes]) -> tf.RaggedTensor:
    """Return the pieces of texts [batch, (words), (pieces)], of the tokenizer's own words."""
    return tokenizer(np.array(texts, dtype=object))


def _in_words(pieces: tf.RaggedTensor) -> tf.RaggedTensor:
    """Return pieces [batch, (pieces)] as a tokenizer gives them, [batch, (words), (pieces)]."""
    import tensorflow as tf

    single = tf.RaggedTensor.from_row_lengths(pieces.values, tf.ones_like(pieces.values, tf.int64))
    return tf.RaggedTensor.from_row_splits(single, pieces.row_splits)


def encode(text: str) -> bytes:
    """Return the UTF-8 of any Python string.

    A surrogate pair (as a careless JSON reader leaves it) becomes the character it
    stands for; a lone surrogate, which UTF-8 cannot hold, becomes U+FFFD.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()
