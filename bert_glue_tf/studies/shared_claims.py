"""Claims on shared weights, answered from comparisons and by arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bert_glue_tf.evaluation import sharing
from bert_glue_tf.evaluation.significance import Equal
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import claims, printed, words
from bert_glue_tf.studies.claims import Answer, Verdict

# What the report says from which sparsity sharing pays, on its CPU and on its vector unit.
PRINTED_CPU, PRINTED_LEA = 0.04, 0.2
_SIDE = 5  # Of LeNet-5's kernels.


def accuracy(training: str, compared: Mapping[str, Sequence[tuple[str, Comparison]]]) -> Answer:
    """Return whether the accuracies of models that share their weights hardly differ.

    It holds where every model is shown to be equal to the densest one within the margin, and does
    not where one is shown to differ.

    Args:
      training: in words.
      compared: network -> name of each sparser model, and its difference to the densest.
    """
    told, outcomes, equal = [], set(), []
    examples, seeds, encoder = 0, 0, []
    for network, differences in compared.items():
        for size, found in differences:
            told.append(f"{network}, {size}: {words.interval(found)}")
            outcomes.add(Outcome.UNDEFINED if found.is_of_collapsed else found.outcome)
            equal.append(found.difference.equivalence.outcome is Equal.YES)
            seeds = max(seeds, len(found.difference.by_seed))
        if differences:
            examples += differences[0][1].examples
            encoder.append(differences[0][1].encoder)
    if not told:
        return Answer(CLAIM, Verdict.NOT_RUN, f"{training}: no network has two finished models")
    verdict = Verdict.CANNOT_BE_TOLD
    if all(equal):
        verdict = Verdict.HOLDS
    elif outcomes & {Outcome.BETTER, Outcome.WORSE}:
        verdict = Verdict.DOES_NOT_HOLD
    least = [claims.smallest(one) for some in compared.values() for _, one in some]
    numbers = (
        f"{training}, against the densest model: {'; '.join(told)}. Shown four times of five would "
        f"be {min(least):.3f} to {max(least):.3f}. In its own table the models of a network differ "
        f"by {_own()}"
    )
    return Answer(CLAIM, verdict, numbers, examples, seeds, ", ".join(dict.fromkeys(encoder)))


CLAIM = "shared.accuracy"
PAYS = "shared.pays"


def _own() -> str:
    """Return how far the models of each network are apart in the report, in points."""
    told = []
    for network in printed.shared_networks():
        found = [one.accuracy for one in printed.shared(network)]
        told.append(f"{100 * (max(found) - min(found)):.2f} ({network.split(' / ')[0]})")
    return f"{', '.join(told)} points"


def pays() -> Answer:
    """Return whether sharing pays from 4 % on a CPU and from 20 % on the vector unit.

    By arithmetic: an index of a weight's width for each kernel, or for each row of one.
    """
    cpu = sharing.pays_from(1, 1, group=_SIDE * _SIDE)
    lea = sharing.pays_from(1, 1, group=_SIDE)
    holds = (cpu, lea) == (PRINTED_CPU, PRINTED_LEA)
    bitmap = ", ".join(
        f"{words.percent(round(sharing.pays_from(1, bits), 4))} of {bits} bits"
        for bits in (32, 16, 8)
    )
    runs = ", ".join(
        f"{100 * sharing.run_length_pays_from(bits):.1f} % of {bits}" for bits in (32, 16, 8)
    )
    numbers = (
        f"the report prints no formula; an index as wide as a weight for each kernel of "
        f"{_SIDE} x {_SIDE} gives {words.percent(cpu)}, and one for each of its rows "
        f"{words.percent(lea)}. Single weights: a bitmap pays from {bitmap} a weight, run lengths "
        f"of {sharing.RUN_BITS} bits from {runs}"
    )
    return Answer(PAYS, Verdict.HOLDS if holds else Verdict.DOES_NOT_HOLD, numbers)
