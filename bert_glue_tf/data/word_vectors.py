"""Word vectors: general ones of a file, and those of a domain, learned from its sentences."""

from __future__ import annotations

import json
import pathlib
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from bert_glue_tf.core import lazy, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.vocabulary import SPECIAL_TOKENS

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")  # Commands import this module with their flags.

# Of a text file, which has the frequent words first; those of training texts are taken as well.
MOST_WORDS = 100_000
# The dimensions are those of Xu et al. 2018. Their texts are millions of reviews; a few thousand
# sentences need more passes than fastText's 5.
DOMAIN_WIDTH, DOMAIN_EPOCHS = 100, 30


def of_array(
    vectors: pathlib.Path, words: pathlib.Path, table: str = ""
) -> tuple[list[str], np.ndarray]:
    """Read vectors of an .npz file, whose rows a JSON file names.

    Args:
      vectors: .npz file with float arrays [rows, width].
      words: JSON object, word -> its row.
      table: name of the array; may be empty where there is only one.

    Returns:
      The words in the order of their rows, and float32 [words, width].

    Raises:
      UserError: a file cannot be read, there is no such array, or a row that a word has is not
        there.
    """
    try:
        with np.load(vectors, allow_pickle=False) as file:
            names = list(file.files)
            chosen = table or (names[0] if len(names) == 1 else "")
            if chosen not in names:
                raise UserError(
                    f"--table={table}: {vectors} has the tables {', '.join(names)}. Name one."
                )
            values = np.asarray(file[chosen], np.float32)
    except OSError as error:
        raise UserError(f"--vectors={vectors}: cannot be read ({error.strerror}).") from None
    except (
        ValueError,
        EOFError,
        zipfile.BadZipFile,
    ):  # NumPy would tell how to run what a file holds.
        raise UserError(
            f"--vectors={vectors}: is no .npz file with arrays of numbers. Good: numpy.savez's, or "
            "a text file of word vectors under another ending."
        ) from None
    try:
        rows = strict_json.loads(words.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"--words={words}: cannot be read as JSON: {error}.") from None
    if not isinstance(rows, dict) or not all(type(row) is int for row in rows.values()):
        raise UserError(f'--words={words}: has to be an object as {{"screen": 2, "price": 3}}.')
    if values.ndim != 2:
        raise UserError(
            f"--vectors={vectors}: {chosen} has the shape {list(values.shape)}. "
            "Good: [rows, width]."
        )
    outside = [word for word, row in rows.items() if not 0 <= row < len(values)]
    if outside:
        raise UserError(
            f"--vectors={vectors}: {chosen} has {len(values):,} rows, which do not fit the "
            f"vocabulary of {words}: {len(outside):,} of its {len(rows):,} words have a row that "
            f"is not there, as {json.dumps(outside[0], ensure_ascii=False)} with "
            f"{rows[outside[0]]:,}."
        )
    ordered = sorted(rows, key=rows.__getitem__)
    return ordered, values[[rows[word] for word in ordered]]


def of_text(
    path: pathlib.Path, wanted: Collection[str] = (), most: int = MOST_WORDS
) -> tuple[list[str], np.ndarray]:
    """Read vectors of a text file, as GloVe and fastText publish them: a word a line.

    Args:
      path: of the file; a first line with the numbers of words and dimensions is passed over.
      wanted: words that are taken wherever they stand.
      most: number of the first words that are taken.

    Returns:
      The words, and float32 [words, width].

    Raises:
      UserError: the file cannot be read, or a line has another number of values than the first.
    """
    words: list[str] = []
    rows: list[np.ndarray] = []
    known, needed = set[str](), set(wanted)
    try:
        with path.open(encoding="utf-8", errors="strict", newline="\n") as file:
            for number, line in enumerate(file, 1):
                # The word of a published file may have blanks itself.
                word, *values = line.rstrip("\r\n").rstrip(" ").split(" ")
                if number == 1 and len(values) == 1:
                    continue
                if rows and len(values) > len(rows[0]):
                    cut = len(values) - len(rows[0])
                    word, values = " ".join([word, *values[:cut]]), values[cut:]
                if word in known or not (len(words) < most or word in needed):
                    continue
                row = np.array(values, np.float32)
                if not len(row) or (rows and len(row) != len(rows[0])):
                    raise UserError(
                        f"--vectors={path}: line {number:,} has {len(row)} values after the word "
                        f"instead of {len(rows[0]) if rows else 'some'}."
                    )
                known.add(word)
                words.append(word)
                rows.append(row)
    except OSError as error:
        raise UserError(f"--vectors={path}: cannot be read ({error.strerror}).") from None
    except ValueError as error:
        raise UserError(f"--vectors={path}: is no text file of word vectors: {error}.") from None
    if not rows:
        raise UserError(f"--vectors={path}: holds no word vectors.")
    return words, np.stack(rows)


def without_forms(words: Sequence[str], vectors: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Return the words that can stand in a vocabulary, a line each, and their vectors.

    The special tokens are left out too: every vocabulary has its own.
    """
    kept = [
        number
        for number, word in enumerate(words)
        if word and word not in SPECIAL_TOKENS and not any(map(str.isspace, word))
    ]
    return [words[i] for i in kept], vectors[kept]


def learned(
    sentences: Iterable[Sequence[str]],
    words: Sequence[str],
    width: int = DOMAIN_WIDTH,
    epochs: int = DOMAIN_EPOCHS,
    seed: int = 1,
) -> np.ndarray:
    """Learn vectors of a domain from its sentences, by fastText.

    Skip-grams over words and their parts of 3 to 6 letters, so that words which no sentence has get
    a vector too (Bojanowski et al. 2017, https://arxiv.org/abs/1607.04606), as gensim computes
    them; with one thread, so that the same sentences give the same vectors.

    Args:
      sentences: of the training, as lists of words.
      words: n, whose vectors are returned.
      width: of a vector.
      epochs: passes over the sentences.
      seed: of the first vectors.

    Returns:
      float32 [n, width].

    Raises:
      UserError: gensim is not installed, or there are no sentences.
    """
    try:
        from gensim.models import FastText
    except ImportError:
        raise UserError(
            "domain vectors are learned by gensim, which is not installed. Install it with "
            "pip install -c constraints.txt '.[vectors]'."
        ) from None
    listed = [list(sentence) for sentence in sentences if sentence]
    if not listed:
        raise UserError("domain vectors are learned from training sentences, and there are none.")
    model = FastText(
        listed, vector_size=width, sg=1, min_count=1, min_n=3, max_n=6, epochs=epochs, seed=seed,
        workers=1,
    )  # fmt: skip
    return np.stack([model.wv[word] for word in words]).astype(np.float32)


def coverage(sentences: Iterable[Sequence[str]], words: Collection[str]) -> Mapping[str, int]:
    """Return how many words the sentences have (`all`), and how many of them are `known`.

    Args:
      sentences: as `splitting.split` gives them.
      words: that have a vector.
    """
    known, found = set(words), {"all": 0, "known": 0}
    for sentence in sentences:
        found["all"] += len(sentence)
        found["known"] += sum(word in known for word in sentence)
    return found
