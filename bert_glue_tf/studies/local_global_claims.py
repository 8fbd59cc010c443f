"""Claims on local and global pruning, answered from comparisons and from where the zeros are."""

from __future__ import annotations

import math
from collections.abc import Mapping

from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import claims, words
from bert_glue_tf.studies.claims import Answer, Verdict
from bert_glue_tf.studies.zeros import Zeros

_PARTS = ("positions", "types", "words")
_KINDS = {
    Outcome.BETTER: "local better",
    Outcome.WORSE: "global better",
    Outcome.NO_DIFFERENCE: "no difference shown",
    Outcome.UNDEFINED: "cannot be told",
}


def ranking(compared: Mapping[str, Mapping[float, Comparison]]) -> Answer | None:
    """Return whether local is the better ranking, over all tasks and sparsities.

    It holds where local is shown to be better at more of them than global is; the numbers say at
    how many each is, so that a reader may ask for more.

    Args:
      compared: task -> sparsity -> local minus global.

    Returns:
      None where nothing was compared.
    """
    told: dict[Outcome, list[str]] = {one: [] for one in Outcome}
    examples, seeds, encoder = 0, 0, ""
    for task, by_sparsity in compared.items():
        for sparsity, found in by_sparsity.items():
            seeds, encoder = max(seeds, len(found.seeds)), found.encoder
            # A ranking that collapses where the other does not is the worse one; of two that have
            # collapsed nothing can be said.
            both = found.mark is Mark.COLLAPSED and found.base_mark is Mark.COLLAPSED
            kind = Outcome.UNDEFINED if both else found.outcome
            told[kind].append(f"{task} {words.percent(sparsity)} {words.interval(found)}")
        examples += max((found.examples for found in by_sparsity.values()), default=0)
    if not any(told.values()):
        return None
    better, worse = len(told[Outcome.BETTER]), len(told[Outcome.WORSE])
    verdict = Verdict.CANNOT_BE_TOLD
    if better > worse:
        verdict = Verdict.HOLDS
    elif worse > better:
        verdict = Verdict.DOES_NOT_HOLD
    total = sum(map(len, told.values()))
    least = [claims.smallest(one) for by in compared.values() for one in by.values()]
    numbers = f"local is better at {better} of {total}, global at {worse}. " + ". ".join(
        f"{_KINDS[kind]}: {'; '.join(some)}" for kind, some in told.items() if some
    )
    known = [one for one in least if not math.isnan(one)]
    if known:
        numbers += f". Shown four times of five would be {min(known):.3f} to {max(known):.3f}"
    return Answer("local_global.local", verdict, numbers, examples, seeds, encoder)


def zeros(group: Group, found: Zeros) -> Answer | None:
    """Return whether global ranking empties the small embeddings ahead of the words'.

    Args:
      group: models of the task that were pruned.
      found: where their zeros are.

    Returns:
      None where the embeddings were not pruned, or the encoder has no such parts.
    """
    known = {s: values for (name, s), values in sorted(found.items()) if name == "global"}
    if not known or not all(part in values for values in known.values() for part in _PARTS):
        return None
    told, ahead = [], []
    for sparsity, values in known.items():
        positions, types, of_words = (values[part] for part in _PARTS)
        ahead.append(min(positions, types) > of_words)
        told.append(f"{words.percent(sparsity)}: {positions:.1%}, {types:.1%} and {of_words:.1%}")
    verdict = Verdict.HOLDS if all(ahead) else Verdict.DOES_NOT_HOLD
    numbers = (
        f"zeros among positions, token types and words in {group.first.task.name}, "
        f"{'; '.join(told)}"
    )
    return Answer(
        "local_global.bert_zeros", verdict, numbers, 0, len(group.seeds), group.first.encoder
    )
