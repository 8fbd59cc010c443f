"""A smaller vocabulary for one task: the embedding matrix loses the rows that nobody reads.

More than half of a small BERT is its embedding matrix, and a task's training texts use a
third of the rows or less. A piece that is dropped costs no accuracy on a text that does not
hold it, and no word becomes unknown for it: it splits into shorter pieces that are left,
single characters at the worst. Compare Abdaoui et al. 2020, "Load What You Need: Smaller
Versions of Multilingual BERT" (https://arxiv.org/abs/2010.05609).

`prune` writes the preprocessing for the smaller vocabulary, `Backbone.keep_pieces` cuts the
rows, and `compare` tells what it did to other texts.
"""

from __future__ import annotations

import collections
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import switches

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")  # Commands import this module with their flags.

CONTINUATION = "##"
UNKNOWN = "[UNK]"
# Every vocabulary of BERT has them.
SPECIAL_TOKENS = ("[PAD]", UNKNOWN, "[CLS]", "[SEP]")
MASK = "[MASK]"  # Not every vocabulary has it.
KEPT_SHARE = 0.5
_EXAMPLES = 10


def read(preprocessing: Path) -> tuple[str, ...]:
    """Return the pieces of a preprocessing SavedModel, in the order of their ids.

    Raises:
        UserError: its vocabulary is missing or cannot be read.
    """
    assets = sorted((preprocessing / "assets").glob("*"))
    if len(assets) != 1:
        raise UserError(
            f"{preprocessing / 'assets'}: expected one vocabulary, found "
            f"{', '.join(file.name for file in assets) or 'none'}."
        )
    try:
        return tuple(assets[0].read_bytes().removesuffix(b"\n").decode("utf-8").split("\n"))
    except (OSError, ValueError) as error:
        raise UserError(f"{assets[0]}: cannot be read as UTF-8 text: {error}") from None


def switches_of(preprocessing: Path, tokenizer: Any) -> switches.Switches:
    """Return the switches of a preprocessing SavedModel's tokenizer.

    Args:
        preprocessing: its folder.
        tokenizer: its `tokenize`, loaded.

    Raises:
        UserError: it is no preprocessing model for BERT.
    """
    special = (*SPECIAL_TOKENS, MASK)
    return switches.of(tokenizer, read(preprocessing), special, preprocessing)


def choose(
    pieces: Sequence[str], used: Sequence[int] | np.ndarray, share: float = KEPT_SHARE
) -> np.ndarray:
    """Choose the pieces to keep.

    Always: the special tokens, what is used, and every character that is a piece, alone
    and as a continuation: with them a word of known characters is never unknown. Then, up to
    the share, whatever comes first in the vocabulary: BERT's are sorted by frequency, so that
    this is what other texts need most. (On SST-2's, MRPC's and CoLA's dev sets that leaves
    fewer words that split differently, and fewer pieces in all, than a filling with
    continuation pieces.)

    Args:
        pieces: the vocabulary, in the order of its ids.
        used: ids that must stay: those of the task's training texts.
        share: of the pieces that may stay; more stay where more are needed.

    Returns:
        int64 [n], ascending, so that the order of the pieces is kept.

    Raises:
        UserError: a special token is missing.
        ValueError: an id is outside of the vocabulary.
    """
    missing = [token for token in SPECIAL_TOKENS if token not in pieces]
    if missing:
        raise UserError(f"no piece {', '.join(missing)}: not a BERT vocabulary")
    ids = np.unique(np.asarray(used, np.int64))
    if len(ids) and not 0 <= ids[0] <= ids[-1] < len(pieces):
        raise ValueError(f"ids from {ids[0]} to {ids[-1]} for {len(pieces)} pieces")
    needed = np.zeros(len(pieces), bool)
    needed[ids] = True
    for i, piece in enumerate(pieces):
        needed[i] |= piece in (*SPECIAL_TOKENS, MASK) or len(piece.removeprefix(CONTINUATION)) == 1
    places = [piece.startswith("[unused") for piece in pieces]
    free = np.flatnonzero(~needed & ~np.array(places))
    room = max(0, int(share * len(pieces)) - np.count_nonzero(needed))
    return np.sort(np.concatenate([np.flatnonzero(needed), free[:room]]))


def prune(
    preprocessing: Path,
    folder: Path,
    used: Sequence[int] | np.ndarray,
    share: float = KEPT_SHARE,
) -> np.ndarray:
    """Write the preprocessing SavedModel of a smaller vocabulary.

    The texts whose pieces are `used` are tokenized as before. The tokenizer is this project's
    own (`wordpiece`), as for the encoders that it imports; a published preprocessing model
    differs from it in rare characters (docs/tokenization.md), and `compare` counts that too.

    Args:
        preprocessing: the SavedModel before.
        folder: to write to; must not exist.
        used: ids in the task's training texts (`preprocessing.TokenizedTexts.ids`).
        share: as for `choose`.

    Returns:
        int64 [n], the old id of every piece: the rows for `Backbone.keep_pieces`.

    Raises:
        UserError: `folder` exists, or `preprocessing` is no preprocessing model for BERT.
    """
    from bert_glue_tf.data import wordpiece

    if folder.exists():
        raise UserError(f"{folder}: exists already. Give the name of a new folder.")
    pieces = read(preprocessing)
    tokenizer = _tokenizer(preprocessing)
    lower_case = switches.lowers_case(tokenizer, pieces, preprocessing)
    strip_accents = switches.strips_accents(tokenizer, pieces)
    ids = choose(pieces, used, share)
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "vocab.txt"
        path.write_bytes("".join(f"{pieces[i]}\n" for i in ids).encode())
        wordpiece.write_preprocessing(path, folder, lower_case, strip_accents=strip_accents)
    return ids


@dataclasses.dataclass(frozen=True)
class Report:
    """The effect of a smaller vocabulary on some texts.

    Attributes:
        vocabulary_before: number of pieces.
        vocabulary_after: the same, now.
        unknown_before: share of [UNK] among the texts' pieces, special tokens not counted.
        unknown_after: the same, now.
        growth: pieces of the texts now, over those before.
        words: in the texts.
        changed: words that split differently now.
        examples: the most frequent of these: pieces before, pieces now.
    """

    vocabulary_before: int
    vocabulary_after: int
    unknown_before: float
    unknown_after: float
    growth: float
    words: int
    changed: int
    examples: tuple[tuple[str, str], ...]

    @property
    def removed(self) -> float:
        """Return the share of the embedding matrix that is gone."""
        return 1 - self.vocabulary_after / self.vocabulary_before

    def lines(self) -> list[str]:
        """Return the report as lines of text."""
        return [
            f"vocabulary: {self.vocabulary_before:,} -> {self.vocabulary_after:,} pieces "
            f"({self.removed:.1%} of the embedding matrix removed)",
            f"[UNK] among the pieces: {self.unknown_before:.3%} -> {self.unknown_after:.3%}",
            f"words that split differently: {self.changed:,} of {self.words:,} "
            f"({self.changed / self.words:.1%}); pieces in all: {self.growth - 1:+.1%}",
            *(f"  {before} -> {after}" for before, after in self.examples),
        ]


def compare(before: Path, after: Path, texts: Sequence[Sequence[str]]) -> Report:
    """Compare two vocabularies on some texts.

    Args:
        before: the SavedModel with the larger vocabulary.
        after: the one with the smaller.
        texts: one list of texts for each of a task's text fields; at least one word in all.

    Raises:
        UserError: one of them is no preprocessing model for BERT.
    """
    sides = [(read(folder), _tokenizer(folder)) for folder in (before, after)]
    pieces = [0, 0]
    unknown = [0, 0]
    words = 0
    changed: collections.Counter[tuple[str, str]] = collections.Counter()
    for column in texts:
        for old, new in zip(*(_split(*side, column) for side in sides), strict=True):
            for side, found in enumerate((old, new)):
                pieces[side] += sum(map(len, found))
                unknown[side] += sum(word.count(UNKNOWN) for word in found)
            words += len(old)
            if len(old) != len(new):  # Another tokenizer, which finds other words.
                old, new = ([[p for word in found for p in word]] for found in (old, new))
            changed.update(
                (" ".join(was), " ".join(now))
                for was, now in zip(old, new, strict=True)
                if was != now
            )
    return Report(
        len(sides[0][0]),
        len(sides[1][0]),
        unknown[0] / pieces[0],
        unknown[1] / pieces[1],
        pieces[1] / pieces[0],
        words,
        sum(changed.values()),
        tuple(pair for pair, _ in changed.most_common(_EXAMPLES)),
    )


def _tokenizer(folder: Path) -> Any:
    from bert_glue_tf.data import preprocessing

    return preprocessing.load(str(folder), str(folder)).tokenize


def _split(
    pieces: Sequence[str], tokenizer: Any, texts: Sequence[str], batch: int = 1024
) -> Iterator[list[list[str]]]:
    """Yield each text's words, each as its pieces."""
    from bert_glue_tf.data import preprocessing

    for start in range(0, len(texts), batch):
        encoded = [preprocessing.encode(text) for text in texts[start : start + batch]]
        for words in tokenizer(encoded).to_list():
            yield [[pieces[i] for i in word] for word in words]
