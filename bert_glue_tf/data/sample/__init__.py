"""The embedded sample corpus: three small GLUE-shaped tasks that need no network.

The project writes these sentences itself, from the templates and the words below; none
is taken from GLUE or from another corpus. They let every command run, and every
compression step show a cost, on a machine that reaches nothing. Scores on them are
scores on generated text: whoever shows one must say so, and none compares to GLUE.

How the corpus is kept honest:

* `cola` comes in minimal pairs, `mrpc` and `sst2` in templates whose words are drawn
  independently of the label, so that counting words does not give the answer away;
* each example's content words decide its split (`Draw.in_split`), so validation holds
  combinations of words that training never shows;
* one word in seven of each pool is seen in validation alone.

The text is a pure function of `VERSION`. Standard library only.
"""

from __future__ import annotations

import functools
import random

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.sample import cola, mrpc, sst2
from bert_glue_tf.data.sample.draw import Draw, Group, Row

VERSION = "1"  # bump it whenever the text changes; tests pin a digest of the corpus
SPLITS = ("train", "validation")
_TASKS = {"cola": cola, "mrpc": mrpc, "sst2": sst2}
TASKS = tuple(_TASKS)


@functools.cache
def groups(task: str, split: str) -> tuple[Group, ...]:
    """Return the split in its groups, each with its kind; rows of a group are never parted.

    No text of a group occurs in another group of the task, in this split or the other.

    Raises:
      UserError: there is no such task or split in the sample.
    """
    if task not in TASKS:
        raise UserError(f"{task}: not in the embedded sample. Good values: {', '.join(TASKS)}.")
    if split not in SPLITS:
        raise UserError(f"{split}: no such split of the sample. Good values: {', '.join(SPLITS)}.")
    seen: set[str] = set()
    if split == "train":  # the same words in other roles could still meet: look
        seen.update(t for g in groups(task, "validation") for row in g.rows for t in row[0])
    rng = random.Random(f"{VERSION} {task} {split}")
    found: list[Group] = []
    while len(found) < _TASKS[task].SIZES[split]:
        d = Draw(rng, split)
        group = _TASKS[task].group(d, label=len(found) % 2)
        texts = [t for row in group.rows for t in row[0]]
        if d.in_split() and len(set(texts)) == len(texts) and seen.isdisjoint(texts):
            seen.update(texts)
            found.append(group)
    return tuple(found)


def examples(task: str, split: str) -> list[Row]:
    """Return the rows of one split, in a fixed order with the kinds and labels mixed.

    Args:
      task: one of `TASKS`.
      split: "train" or "validation".

    Returns:
      (texts, label id) per example: one text, or two for mrpc; label ids as in tasks.py.

    Raises:
      UserError: there is no such task or split in the sample.
    """
    rows = [row for group in groups(task, split) for row in group.rows]
    rng = random.Random(f"{VERSION} {task} {split} order")
    return sorted(rows, key=lambda _: rng.random())
