"""Google's reference WordPiece tokenization as a TF-Hub preprocessing SavedModel.

The tokenizer inside the published preprocessing models (`tensorflow_text.BertTokenizer`)
differs from the Python code with which BERT was pre-trained (google-research/bert,
`tokenization.py`): it folds compatibility characters (`½` to three characters, `…` to `...`),
puts a blank where a control character stood, and gives up on words of more than 100
bytes. That changes a dozen sentences of GLUE; docs/tokenization.md lists every difference.
For the encoders that this project imports itself, the reference is written in TensorFlow ops.

Imports TensorFlow: only for the code that writes a SavedModel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import tensorflow as tf
import tensorflow_text as text
from official.nlp.modeling import layers
from official.nlp.tools import export_tfhub_lib

from bert_glue_tf.core import files, saved_models
from bert_glue_tf.data.splitting import BLANK, PUNCTUATION

# google-research/bert: WordpieceTokenizer(max_input_chars_per_word=200); longer words
# are one [UNK].
MAX_CHARS_PER_WORD = 200
MAX_BYTES_PER_CHAR = 4
UNKNOWN = "[UNK]"

# _clean_text: NUL, U+FFFD and the categories Cc and Cf vanish, but tab, line feed and
# carriage return, which are blanks.
_DROPPED = r"[\x{0}-\x{8}\x{B}\x{C}\x{E}-\x{1F}\x{7F}-\x{9F}\x{FFFD}\p{Cf}]"
# _is_chinese_char: the CJK blocks, whose characters are words of their own.
_CJK = (
    r"[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}"
    r"\x{2B740}-\x{2B81F}\x{2B820}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}]"
)


class ReferenceBasicTokenizer:
    """BasicTokenizer of google-research/bert, for `text.BertTokenizer(basic_tokenizer_class=)`."""

    def __init__(
        self, lower_case: bool = False, *_unused: object, strip_accents: bool | None = None
    ) -> None:
        self._lower_case = lower_case
        self._strip_accents = lower_case if strip_accents is None else strip_accents

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Split UTF-8 strings [batch] into words [batch, (words)]."""
        texts = tf.strings.regex_replace(texts, _DROPPED, "")
        if self._lower_case:
            # Unicode's lower case with its final sigma, as Python's; the published
            # models fold case instead (`ß` to `ss`, final sigma to sigma).
            texts = tf.strings.lower(texts, encoding="utf-8")
        if self._strip_accents:
            texts = text.normalize_utf8(texts, "NFD")
            texts = tf.strings.regex_replace(texts, r"\p{Mn}", "")
        words = text.regex_split(
            texts, "|".join([BLANK, PUNCTUATION, _CJK]), "|".join([PUNCTUATION, _CJK])
        )
        too_long = tf.strings.length(words.flat_values, "UTF8_CHAR") > MAX_CHARS_PER_WORD
        return words.with_flat_values(tf.where(too_long, UNKNOWN, words.flat_values))


def write_preprocessing(
    vocabulary: Path,
    folder: Path,
    lower_case: bool,
    seq_length: int = 128,
    strip_accents: bool | None = None,
) -> None:
    """Write a preprocessing SavedModel that is called as the published ones are.

    By `tokenize` (with `get_special_tokens_dict`), `bert_pack_inputs` and the call of the whole:
    https://www.tensorflow.org/hub/common_saved_model_apis/text. Its signature `serving_default`
    gives what the call does.

    Args:
        vocabulary: vocab.txt, one piece a line.
        folder: to write to.
        lower_case: lower-case the text ("uncased").
        seq_length: of the call of the whole, and the default of `bert_pack_inputs`.
        strip_accents: take the accents off the letters; None does as `lower_case`.
    """
    pieces = table(vocabulary)
    tokenizer = text.BertTokenizer(
        pieces,
        lower_case=lower_case,
        basic_tokenizer_class=functools.partial(
            ReferenceBasicTokenizer, strip_accents=strip_accents
        ),
        max_bytes_per_word=MAX_CHARS_PER_WORD * MAX_BYTES_PER_CHAR,
    )
    write_saved_model(tokenizer.tokenize, pieces, folder, seq_length)


def write_saved_model(
    split: Callable[[tf.Tensor], tf.RaggedTensor],
    table: tf.lookup.StaticHashTable,
    folder: Path,
    seq_length: int,
    told: Mapping[str, int] = MappingProxyType({}),
) -> None:
    """Write a tokenizer as a preprocessing SavedModel that is called as the published ones are.

    Args:
        split: sentences, string [batch], -> numbers of the pieces [batch, (words), (pieces)].
        table: of the pieces to their numbers.
        folder: to write to.
        seq_length: of the call of the whole, and the default of `bert_pack_inputs`.
        told: what `get_special_tokens_dict` says besides.
    """
    special_tokens = _special_tokens(table)
    pack = layers.BertPackInputs(
        seq_length=seq_length,
        special_tokens_dict=special_tokens,
        name="bert_pack_inputs",  # Else numbered by what the process has built before.
    )

    # From here on in place of official.nlp.tools.export_tfhub_lib.create_preprocessing, which
    # leaves no room for another tokenizer, and saves a Keras model with functions of each of its
    # layers, which takes twice as long.
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "sentences")], autograph=False)
    def tokenize(sentences: tf.Tensor) -> tf.RaggedTensor:
        pieces = tf.cast(split(sentences), tf.int32)
        # Shape inference has lost that there is a row for each sentence.
        splits = tf.reshape(pieces.row_splits, [tf.shape(sentences)[0] + 1])
        return tf.RaggedTensor.from_row_splits(pieces.values, splits)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "sentences")], autograph=False)
    def preprocess(sentences: tf.Tensor) -> dict[str, tf.Tensor]:
        return pack(tokenize(sentences))

    model = _callable(preprocess)
    model.tokenize = _callable(tokenize)
    model.tokenize.table = table  # What is not an attribute is not saved.
    model.tokenize.get_special_tokens_dict = _callable(
        tf.function(lambda: {**special_tokens, **told}, input_signature=[])
    )
    model.bert_pack_inputs = export_tfhub_lib.BertPackInputsSavedModelWrapper(pack)
    tf.saved_model.save(model, str(folder), signatures=preprocess)
    saved_models.remove_chance(folder)


class _Pieces(tf.lookup.TextFileInitializer):
    """Fills a table from a vocabulary, and names it after the vocabulary's content.

    TensorFlow names it after the file's path, which would stand in the SavedModel: two of the same
    vocabulary would differ by where it lay when they were written. Tables of one name are one
    table in a process, so that the name has to tell vocabularies apart.
    """

    @property
    def _shared_name(self) -> str:
        return f"vocabulary_{files.sha256(Path(self._filename_arg))}"


def table(vocabulary: Path) -> tf.lookup.StaticHashTable:
    """Return the table of pieces to ids, as official.nlp.modeling.layers.BertTokenizer has it."""
    return tf.lookup.StaticHashTable(
        _Pieces(
            str(vocabulary),
            key_dtype=tf.string,
            key_index=tf.lookup.TextFileIndex.WHOLE_LINE,
            value_dtype=tf.int64,
            value_index=tf.lookup.TextFileIndex.LINE_NUMBER,
        ),
        default_value=-1,
    )


def _callable(function: tf.types.experimental.PolymorphicFunction) -> tf.train.Checkpoint:
    """Return an object that can be called when it has been saved and loaded."""
    saved = tf.train.Checkpoint()
    saved.__call__ = function
    return saved


def _special_tokens(table: tf.lookup.StaticHashTable) -> dict[str, int]:
    """Return the ids of the special tokens that there are, by the published models' names."""
    pieces = {
        "start_of_sequence_id": "[CLS]",
        "end_of_segment_id": "[SEP]",
        "padding_id": "[PAD]",
        "mask_id": "[MASK]",
    }
    ids = table.lookup(tf.constant(list(pieces.values()))).numpy()
    found = {name: int(number) for name, number in zip(pieces, ids, strict=True) if number >= 0}
    return {"vocab_size": int(table.size()), **found}
