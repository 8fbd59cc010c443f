"""Examples of a task, as texts and labels in memory."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.problems import Problem

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")  # Commands import this module with their flags.


@dataclasses.dataclass(frozen=True)
class Examples:
    """Examples of one split, in memory.

    Attributes:
      texts: one list of n strings per text field of the task.
      labels: int32 [n] class ids, float32 [n] for regression, None for a test split of GLUE.
      provenance: JSON-able: `name` of the source ("tfds", "sample", or of files "tsv", "tables",
        "aspects" or "own"), `split`, `version` (None for a file), `sha256` (of the file's bytes;
        else of the split's examples as JSON lines), `path` (files only), `examples` (n here),
        `split_examples` (n before any limit), `dropped_rows`.
      sources: n codes of where each example comes from (CoLA: the publication), where the
        task's files have them; else None. TFDS leaves them out.
    """

    texts: tuple[list[str], ...]
    labels: np.ndarray | None
    provenance: Mapping[str, object]
    sources: list[str] | None = None

    def __len__(self) -> int:
        return len(self.columns[0])

    @property
    def columns(self) -> tuple[Any, ...]:
        """Return what the examples are made of: n values for each field."""
        return self.texts

    def hold_out(self, count: int, problem: Problem) -> tuple[Self, Self | None]:
        """Split off `count` examples, a fixed pseudo-random choice: return the others, and them.

        One example of each label is chosen last of all, since a label that is in none of the
        others is never learned. A larger choice contains a smaller one.

        Args:
          count: of the examples to split off; 0 for none.
          problem: tells which examples have the same label (`with_label`).

        Raises:
          UserError: nothing would be left to train on.
        """
        if not count:
            return self, None
        if count >= len(self):
            raise UserError(
                f"--held_out={count}: the training split has only {len(self)} examples. "
                "Give a small part of it."
            )
        order = np.random.RandomState(1).permutation(len(self))
        groups = [] if self.labels is None else problem.with_label(self.labels)
        place = np.argsort(order)
        staying = np.isin(order, [members[place[members].argmax()] for members in groups])
        order = np.concatenate([order[~staying], order[staying]])
        return self.choose(np.sort(order[count:])), self.choose(np.sort(order[:count]))

    def choose(self, chosen: np.ndarray) -> Self:
        """Return some examples, int [b], in that order."""
        return dataclasses.replace(
            self,
            texts=tuple([field[i] for i in chosen] for field in self.texts),
            labels=None if self.labels is None else self.labels[chosen],
            provenance={**self.provenance, "examples": len(chosen)},
            sources=None if self.sources is None else [self.sources[i] for i in chosen],
        )

    def take(self, limit: int) -> Self:
        """Return `limit` examples, 0 = all: a fixed pseudo-random subset, in the file's order.

        Not the first rows, because CoLA, STS-B and MNLI come sorted by source. The
        subset depends on the number of examples alone, never on a run's seed, so that
        runs compare; a smaller one is contained in a larger one.

        Raises:
          ValueError: `limit` is negative.
        """
        if limit < 0:
            raise ValueError(f"limit={limit}: has to be 0 (all) or more.")
        if limit == 0 or limit >= len(self):
            return self
        # RandomState's stream is frozen for good (NumPy's NEP 19); default_rng's is not.
        chosen = np.sort(np.random.RandomState(0).permutation(len(self))[:limit])
        return self.choose(chosen)


def make(
    problem: Problem,
    fields: Iterable[Iterable[str]],
    labels: Iterable[float] | None,
    sources: list[str] | None = None,
    **provenance: object,
) -> Examples:
    """Return the examples of a split that has been read.

    Args:
      problem: gives the labels their dtype.
      fields: one list of n texts per text field of the task.
      labels: n, or None.
      sources: as `Examples.sources`.
      **provenance: what is known of it; the number of examples is added, and a digest of the
        texts and labels where there is none of a file.
    """
    texts = tuple(list(field) for field in fields)
    array = None if labels is None else problem.as_labels(labels)
    if "sha256" not in provenance:
        digest = hashlib.sha256()
        columns = texts if array is None else (*texts, array.tolist())
        for row in zip(*columns, strict=True):
            digest.update((json.dumps(row) + "\n").encode())
        provenance["sha256"] = digest.hexdigest()
    n = len(texts[0])
    common = {"path": None, "examples": n, "split_examples": n, "dropped_rows": 0}
    return Examples(texts=texts, labels=array, provenance={**common, **provenance}, sources=sources)
