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

from pathlib import Path

import tensorflow as tf
import tensorflow_text as text
import tf_keras
from official.nlp.modeling import layers
from official.nlp.tools import export_tfhub_lib

from bert_glue_tf import saved_models

# google-research/bert: WordpieceTokenizer(max_input_chars_per_word=200); longer words
# are one [UNK].
MAX_CHARS_PER_WORD = 200
MAX_BYTES_PER_CHAR = 4
UNKNOWN = "[UNK]"

# _clean_text: NUL, U+FFFD and the categories Cc and Cf vanish, but tab, line feed and
# carriage return, which are blanks.
_DROPPED = r"[\x{0}-\x{8}\x{B}\x{C}\x{E}-\x{1F}\x{7F}-\x{9F}\x{FFFD}\p{Cf}]"
# Zs by _is_whitespace; Zl and Zp because the reference ends with Python's str.split().
_BLANK = r"[\t\n\r\p{Zs}\p{Zl}\p{Zp}]+"
# _is_punctuation: all ASCII that is no letter or digit, and the categories P*.
_PUNCTUATION = r"[!-/:-@\[-`{-~\p{P}]"
# _is_chinese_char: the CJK blocks, whose characters are words of their own.
_CJK = (
    r"[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}"
    r"\x{2B740}-\x{2B81F}\x{2B820}-\x{2CEAF}\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}]"
)


class ReferenceBasicTokenizer:
    """BasicTokenizer of google-research/bert, for `text.BertTokenizer(basic_tokenizer_class=)`."""

    def __init__(self, lower_case: bool = False, *_unused: object) -> None:
        self._lower_case = lower_case

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """UTF-8 strings [batch] -> words [batch, (words)]."""
        texts = tf.strings.regex_replace(texts, _DROPPED, "")
        if self._lower_case:
            # Unicode's lower case with its final sigma, as Python's; the published
            # models fold case instead (`ß` to `ss`, final sigma to sigma).
            texts = tf.strings.lower(texts, encoding="utf-8")
            texts = text.normalize_utf8(texts, "NFD")
            texts = tf.strings.regex_replace(texts, r"\p{Mn}", "")
        words = text.regex_split(
            texts, "|".join([_BLANK, _PUNCTUATION, _CJK]), "|".join([_PUNCTUATION, _CJK])
        )
        too_long = tf.strings.length(words.flat_values, "UTF8_CHAR") > MAX_CHARS_PER_WORD
        return words.with_flat_values(tf.where(too_long, UNKNOWN, words.flat_values))


def write_preprocessing(
    vocabulary: Path, folder: Path, lower_case: bool, seq_length: int = 128
) -> None:
    """Writes a preprocessing SavedModel with the published signatures.

    They are `tokenize` (with `get_special_tokens_dict`), `bert_pack_inputs` and the call
    of the whole; see https://www.tensorflow.org/hub/common_saved_model_apis/text.

    Args:
        vocabulary: vocab.txt, one piece a line.
        folder: to write to.
        lower_case: lower-case and strip accents ("uncased").
        seq_length: of the call of the whole, and the default of `bert_pack_inputs`.
    """
    tokenize = layers.BertTokenizer(
        vocab_file=str(vocabulary),
        lower_case=lower_case,
        tokenizer_kwargs={
            "basic_tokenizer_class": ReferenceBasicTokenizer,
            "max_bytes_per_word": MAX_CHARS_PER_WORD * MAX_BYTES_PER_CHAR,
        },
    )
    special_tokens = tokenize.get_special_tokens_dict()
    # From here on as official.nlp.tools.export_tfhub_lib.create_preprocessing, which
    # leaves no room for another tokenizer.
    sentences = tf_keras.layers.Input(shape=(), dtype=tf.string, name="sentences")
    tokens = tokenize(sentences)
    pack = layers.BertPackInputs(seq_length=seq_length, special_tokens_dict=special_tokens)
    model = tf_keras.Model(sentences, pack(tokens))
    model.tokenize = tf_keras.Model(sentences, tokens)
    model.tokenize.get_special_tokens_dict = tf.train.Checkpoint()
    model.tokenize.get_special_tokens_dict.__call__ = tf.function(
        lambda: special_tokens, input_signature=[]
    )
    model.bert_pack_inputs = export_tfhub_lib.BertPackInputsSavedModelWrapper(pack)
    model.save(str(folder), include_optimizer=False, save_format="tf")
    saved_models.remove_chance(folder)
