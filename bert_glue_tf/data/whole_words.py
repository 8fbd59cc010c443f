"""Whole words as tokens: a preprocessing SavedModel over a vocabulary of words.

For encoders over word vectors. It has the form of the word pieces' (`wordpiece`), each word being
one piece, so that everything behind it is the same.

Imports TensorFlow where it writes a SavedModel.
"""

from __future__ import annotations

from pathlib import Path

from bert_glue_tf.data.splitting import BLANK, PUNCTUATION
from bert_glue_tf.data.switches import WHOLE_WORDS
from bert_glue_tf.data.vocabulary import SPECIAL_TOKENS, UNKNOWN

__all__ = ["SPECIAL_TOKENS", "write_preprocessing"]


def write_preprocessing(vocabulary: Path, folder: Path, seq_length: int = 128) -> None:
    """Write a preprocessing SavedModel of whole words.

    A text is split at blanks. What the vocabulary has as it stands is one word, so that texts which
    are tokenized already keep their tokens ("n't"); from anything else punctuation is split off.
    A word that the vocabulary does not have is looked up in small letters, and is [UNK] then. A
    text that has the name of a special token has no special token by it.

    Args:
      vocabulary: one word a line; `SPECIAL_TOKENS` among them.
      folder: to write to.
      seq_length: of the call of the whole.
    """
    import tensorflow as tf
    import tensorflow_text as text

    from bert_glue_tf.data import wordpiece

    table = wordpiece.table(vocabulary)
    special = table.lookup(tf.constant(SPECIAL_TOKENS)).numpy()
    unknown = int(table.lookup(tf.constant(UNKNOWN)))

    def tokenize(sentences: tf.Tensor) -> tf.RaggedTensor:
        """Return the words' numbers int64 [batch, (what stood between blanks), (words of it)]."""
        chunks = text.regex_split(sentences, BLANK)
        flat = chunks.flat_values
        numbers = table.lookup(flat)
        is_word = (numbers >= 0) & tf.reduce_all(numbers[:, None] != special, axis=1)
        whole = tf.expand_dims(flat, 1)
        parts = text.regex_split(flat, PUNCTUATION, PUNCTUATION)
        words = tf.concat([tf.RaggedTensor.from_tensor(whole), parts], axis=1)
        # Of each chunk either the first, which is all of it, or the others.
        first = tf.RaggedTensor.from_tensor(tf.expand_dims(is_word, 1))
        others = parts.with_values(tf.gather(tf.logical_not(is_word), parts.value_rowids()))
        words = tf.ragged.boolean_mask(words, tf.concat([first, others], axis=1))
        found = table.lookup(words.flat_values)
        small = table.lookup(tf.strings.lower(words.flat_values, encoding="utf-8"))
        found = tf.where(found >= 0, found, tf.where(small >= 0, small, unknown))
        return chunks.with_flat_values(words.with_flat_values(found))

    wordpiece.write_saved_model(tokenize, table, folder, seq_length, {WHOLE_WORDS: 1})
