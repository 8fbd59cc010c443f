"""The levels of the vocabulary: fewer word pieces, those first that the training texts use most.

Special tokens and single characters stay at every level, so that an unseen word splits into smaller
pieces instead of vanishing (`data.vocabulary`; Abdaoui et al. 2020, "Load What You Need",
https://arxiv.org/abs/2010.05609).
"""

from __future__ import annotations

import hashlib
import pathlib
import tempfile
from collections.abc import Sequence

import numpy as np

from bert_glue_tf.data import batching, vocabulary
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.search.texts import tokenizer

# Of the pieces that the training texts use beyond those that always stay, shares that are levels.
_USED = (0.0, 0.25, 0.5, 0.75, 1.0)
_REST = (0.0, 0.5, 1.0)  # Of the others, in the vocabulary's order, which is by frequency.


class Vocabularies:
    """The smaller vocabularies of a classifier.

    Args:
      run: of the classifier.
      preprocessing: its folder.
      used: int64 [pieces], how often the training texts use each piece.
    """

    def __init__(self, run: Run, preprocessing: pathlib.Path, used: np.ndarray) -> None:
        self._run = run
        self._preprocessing = preprocessing
        self._used = used
        # Kept with the object: a preprocessing is read until its classifier is saved.
        self._scratch = tempfile.TemporaryDirectory()

    def levels(self) -> list[tuple[int, ...]]:
        """Return the ids that stay at each level, ascending; the last has all pieces.

        Raises:
          UserError: the vocabulary cannot be read, or is none of BERT's.
        """
        pieces = vocabulary.read(self._preprocessing)
        needed = vocabulary.choose(pieces, [], share=0.0)
        is_needed = np.zeros(len(pieces), bool)
        is_needed[needed] = True
        # The most frequent first, then what is never used in the vocabulary's own order.
        ranked = np.argsort(-self._used, kind="stable")
        ranked = ranked[~is_needed[ranked]]
        count = int(np.count_nonzero(self._used[ranked]))
        used = [round(count * share) for share in _USED]
        rest = [count + round((len(ranked) - count) * share) for share in _REST]
        return [
            tuple(np.sort(np.concatenate([needed, ranked[:number]])).tolist())
            for number in sorted({*used, *rest})
        ]

    def folder(self, ids: Sequence[int]) -> pathlib.Path:
        """Return the preprocessing SavedModel of some pieces, written where it was not yet.

        Raises:
          UserError: special tokens or single characters are not among them.
        """
        if len(ids) == len(self._used):
            return self._preprocessing
        digits = hashlib.sha256(np.asarray(ids, np.int64).tobytes()).hexdigest()[:16]
        folder = pathlib.Path(self._scratch.name) / digits / "preprocessing"
        if not folder.exists():
            folder.parent.mkdir(exist_ok=True)
            found = vocabulary.prune(self._preprocessing, folder, list(ids), share=0.0)
            if list(found) != list(ids):
                raise ValueError("a vocabulary without its special tokens and characters")
        return folder

    def tokenized(self, ids: Sequence[int], examples: Examples) -> Split:
        """Return labelled texts in the pieces of a smaller vocabulary."""
        folder = self.folder(ids)
        return batching.tokenize(tokenizer(self._run, str(folder)), "train", examples)
