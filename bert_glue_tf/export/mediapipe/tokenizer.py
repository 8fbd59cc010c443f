"""MediaPipe's BERT tokenizer in Python, which counts the texts that it splits in another way.

It is no port of BERT's: only ASCII letters become small, accents stay, a no-break space is no
blank, a control character is part of a word, and a word of more than 100 bytes is one [UNK]. After
mediapipe/tasks/cc/text/tokenizers/bert_tokenizer.h and
mediapipe/calculators/tensor/bert_preprocessor_calculator.cc of MediaPipe 0.10, and the wordpiece
tokenizer of TensorFlow Text that these call.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence

import numpy as np
import regex

from bert_glue_tf.data.preprocessing import TokenizedTexts
from bert_glue_tf.data.vocabulary import CONTINUATION, UNKNOWN

_LONGEST_WORD = 100  # Bytes.
_SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
# RE2's \s, which is ASCII and has no vertical tab; punctuation and CJK characters are words.
_DELIMITER = regex.compile(
    r"[\t\n\f\r ]+|([!-/:-@\[-`{-~\p{P}\u4E00-\u9FFF\u3400-\u4DBF\U00020000-\U0002A6DF"
    r"\U0002A700-\U0002B73F\U0002B740-\U0002B81F\U0002B820-\U0002CEAF\uF900-\uFAFF"
    r"\U0002F800-\U0002FA1F])"
)


def tokenize(pieces: Sequence[str], texts: Sequence[str], length: int) -> TokenizedTexts:
    """Return texts as MediaPipe's client gives them to a file.

    Args:
      pieces: the vocabulary, in the order of its ids, with the special tokens.
      texts: n texts.
      length: of the file; of a longer text the first pieces are kept.
    """
    ids = {piece: place for place, piece in enumerate(pieces)}
    rows, cut = [], 0
    for text in texts:
        found = [ids[piece] for word in _words(text) for piece in _pieces(word, ids)]
        cut += len(found) > length - 2
        rows.append([ids["[CLS]"], *found[: length - 2], ids["[SEP]"]])
    flat = np.array([one for row in rows for one in row], np.int32)
    splits = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return TokenizedTexts(flat, np.zeros(len(flat), np.int8), splits, 0, cut)


def _words(text: str) -> Iterator[str]:
    """Yield the words and the punctuation marks of a text."""
    # The client for Python hands a text on as C does, which ends at a NUL.
    small, start = text.partition("\0")[0].translate(_SMALL), 0
    for match in _DELIMITER.finditer(small):
        if match.start() > start:
            yield small[start : match.start()]
        if match[1]:
            yield match[1]
        start = match.end()
    if start < len(small):
        yield small[start:]


def _pieces(word: str, ids: dict[str, int]) -> list[str]:
    """Return the longest pieces of a word from its left; [UNK] where it has none."""
    if len(word.encode()) > _LONGEST_WORD:
        return [UNKNOWN]
    found, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = (CONTINUATION if start else "") + word[start:end]
            if piece in ids:
                found.append(piece)
                start = end
                break
        else:
            return [UNKNOWN]
    return found
