"""Claims on shared weights, answered from comparisons and by arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bert_glue_tf.evaluation import sharing
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.evaluation.sharing import Account
from bert_glue_tf.evaluation.significance import Equal
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import claims, printed, words
from bert_glue_tf.studies.claims import Answer, Verdict

# What the report says from which sparsity sharing pays, on its CPU and on its vector unit.
PRINTED_CPU, PRINTED_LEA = 0.04, 0.2
_SIDE = 5  # Of LeNet-5's kernels.
LENET = "lenet5"  # The encoder of which the report says so.


def accuracy(training: str, compared: Mapping[str, Sequence[tuple[str, Comparison]]]) -> Answer:
    """Return whether the accuracies of models that share their weights hardly differ.

    It holds where every model is shown to be equal to the densest one within the margin, and does
    not where one is shown to differ, or is collapsed where the densest is not. Where the densest
    is collapsed itself the difference says nothing.

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
            if found.mark is Mark.COLLAPSED and found.base_mark is not Mark.COLLAPSED:
                outcomes.add(Outcome.WORSE)
            is_equal = found.difference.equivalence.outcome is Equal.YES
            equal.append(is_equal and not found.is_of_collapsed)
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


def pays(account: Account) -> Answer:
    """Return what our bytes say of the sparsities from which sharing pays, 4 % and 20 %.

    The report prints no formula, so that no run shows its numbers right or wrong; that they follow
    from an index of a weight's width for each kernel, or for each row of one, is our inference.

    Args:
      account: of LeNet-5's networks.
    """
    cpu = sharing.pays_from(1, 1, group=_SIDE * _SIDE)
    lea = sharing.pays_from(1, 1, group=_SIDE)
    least = {"a bitmap": account.bitmap, "run lengths": account.run_lengths}
    ours = " and ".join(
        f"{words.percent(round(account.pays_from_bytes(size), 4))} with {name} of {size:,} bytes"
        for name, size in least.items()
    )
    numbers = (
        f"the report prints no formula for its {words.percent(PRINTED_CPU)} and "
        f"{words.percent(PRINTED_LEA)}. Our inference: an index as wide as a weight for each "
        f"kernel of {_SIDE} x {_SIDE} would give {words.percent(cpu)}, and one for each of its "
        f"rows {words.percent(lea)}. Counted of the {account.prunable:,} weights of our LeNet-5 "
        f"that can be pruned, of {account.weight_bits} bits, its {len(account.names)} networks' "
        f"positions pay from {ours}"
    )
    return Answer(PAYS, Verdict.CANNOT_BE_TOLD, numbers, encoder=LENET)
