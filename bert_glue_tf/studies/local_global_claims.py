"""Claims on local and global pruning, answered from comparisons and from where the zeros are."""

from __future__ import annotations

import dataclasses
import math
import types
from collections.abc import Mapping, Sequence

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


# A score is called considerable where it is at least so much of the unpruned model's: the study
# names no number.
CONSIDERABLE = 0.5
_VECTORS = " vectors"
_ABOUT_70 = (0.65, 0.75)  # "About 70 % of the parameters": nearer to it than to another ten.
_RIGHT_AFTER = 0.1  # A drop at a sparsity that is larger by no more is one right after another.


@dataclasses.dataclass(frozen=True)
class Kept:
    """The scores of one model, pruned and not.

    Attributes:
      title: the name to call it by.
      unpruned: score of the unpruned model, mean over the seeds.
      against: (ranking, sparsity) -> difference to it.
    """

    title: str
    unpruned: float
    against: Mapping[tuple[str, float], Comparison]

    def is_considerable(self, ranking: str, sparsity: float) -> bool | None:
        """Tell if a score is at least `CONSIDERABLE` of the unpruned model's.

        None where the interval of their difference holds both answers, where it was not run, or
        where the unpruned model itself is not above chance.
        """
        found = self.against.get((ranking, sparsity))
        if found is None or not found.difference.is_defined or found.base_mark is not None:
            return None
        floor = (CONSIDERABLE - 1) * self.unpruned
        low, high = found.difference.interval
        return True if low >= floor else False if high < floor else None

    def told(self, ranking: str, sparsity: float) -> str:
        """Return a score with its difference to the unpruned model, in words."""
        found = self.against[ranking, sparsity]
        score = self.unpruned + found.difference.mean
        kept = _KEPT[self.is_considerable(ranking, sparsity)]
        return f"{ranking} {words.percent(sparsity)} {score:.3f}, {kept} ({words.interval(found)})"


_KEPT = {True: "considerable", False: "not considerable", None: "cannot be told"}


def outcome(found: Comparison) -> Outcome:
    """Return which ranking is better; where all models of both have collapsed nothing can be said.

    A ranking that collapses where the other does not, or with more of its seeds, is compared as any
    other.
    """
    return Outcome.UNDEFINED if found.all_collapsed else found.outcome


def ranking(
    compared: Mapping[str, Mapping[float, Comparison]],
    claim: str = "local_global.local",
    marked: Mapping[str, Mark] = types.MappingProxyType({}),
    models: int = 0,
) -> Answer | None:
    """Return whether local is the better ranking, over all tasks and sparsities.

    It holds where local is shown to be better at more of them than global is; the numbers say at
    how many each is, so that a reader may ask for more.

    Args:
      compared: task or model -> sparsity -> local minus global.
      claim: the name of the claim.
      marked: task or model -> mark of its unpruned model, of which nothing can be told.
      models: how many the claim speaks of, all of which it needs to hold; 0 for any number.

    Returns:
      None where nothing was compared.
    """
    compared = {title: by_sparsity for title, by_sparsity in compared.items() if by_sparsity}
    if not compared:
        return None
    counted = {title: one for title, one in compared.items() if title not in marked}
    every = [one for by_sparsity in counted.values() for one in by_sparsity.values()]
    outcomes = [outcome(one) for one in every]
    better, worse = outcomes.count(Outcome.BETTER), outcomes.count(Outcome.WORSE)
    verdict = Verdict.CANNOT_BE_TOLD
    if better > worse and len(counted) >= models:
        verdict = Verdict.HOLDS
    elif worse > better:
        verdict = Verdict.DOES_NOT_HOLD
    run = [one for by_sparsity in compared.values() for one in by_sparsity.values()]
    seeds = max(len(one.seeds) for one in run)
    numbers = _of_models(len(compared), models)
    if counted:
        numbers += f"local is better at {better} of {len(every)}, global at {worse}"
        numbers += f"{words.these_models(seeds)}. "
        numbers += _by_sparsity(counted) if len(counted) == 1 else _by_model(counted)
    told = [one for one in every if outcome(one) is not Outcome.UNDEFINED]
    least = sorted({f"{claims.smallest(one):.3f}" for one in told} - {"nan"})
    if least:
        numbers += f". Shown four times of five would be {' to '.join(_ends(least))}"
    for title in compared:
        if title in marked:
            numbers += f"{'. ' if counted else ''}{unlearned(title, marked[title])}"
    examples = sum(max(o.examples for o in by.values()) for by in compared.values())
    encoder = ", ".join(dict.fromkeys(one.encoder for one in run))
    return Answer(claim, verdict, numbers, examples, seeds, encoder)


def unlearned(title: str, mark: Mark) -> str:
    """Return why a model answers nothing whose unpruned one is marked."""
    return f"{title}: its unpruned model is {mark.value}, so that nothing can be told of it"


def _of_models(run: int, models: int) -> str:
    return f"{run} of its {models} models were run. " if run < models else ""


def _by_sparsity(compared: Mapping[str, Mapping[float, Comparison]]) -> str:
    """Return the differences at each sparsity, by which ranking is better."""
    told: dict[Outcome, list[str]] = {one: [] for one in Outcome}
    for title, by_sparsity in compared.items():
        for sparsity, found in by_sparsity.items():
            text = f"{title} {words.percent(sparsity)} {words.interval(found)}"
            told[outcome(found)].append(text)
    return ". ".join(f"{_KINDS[kind]}: {'; '.join(some)}" for kind, some in told.items() if some)


def _by_model(compared: Mapping[str, Mapping[float, Comparison]]) -> str:
    """Return at how many sparsities each ranking is better, a model each."""
    told = []
    for title, by_sparsity in compared.items():
        found = [outcome(one) for one in by_sparsity.values()]
        told.append(
            f"{title}: local at {found.count(Outcome.BETTER)}, global at "
            f"{found.count(Outcome.WORSE)} of {len(found)}"
        )
    return "; ".join(told)


def _ends(texts: Sequence[str]) -> Sequence[str]:
    return texts if len(texts) == 1 else (texts[0], texts[-1])


def considerable(
    claim: str, found: Sequence[Kept], until: float, after: float, models: int
) -> Answer | None:
    """Return whether local keeps a considerable score until a sparsity, and global drops early.

    It holds where local is considerable at every sparsity up to `until`, and global is at the last
    one up to `after` but not at the first one behind it, which has to be at most 0.1 more, with
    each model.

    Args:
      claim: its name.
      found: the models that it speaks of, as far as they were run.
      until: sparsity up to which local keeps it.
      after: sparsity behind which global drops.
      models: how many the claim speaks of.

    Returns:
      None where no model has local at `until` and global behind `after`.
    """
    holds: list[bool | None] = []
    told = []
    tested: list[Comparison] = []
    for one in found:
        local = sorted(s for name, s in one.against if name == "local" and s <= until + 1e-9)
        behind = sorted(s for name, s in one.against if name == "global" and s > after + 1e-9)
        if not local or not math.isclose(local[-1], until) or not behind:
            continue
        ahead = sorted(s for name, s in one.against if name == "global" and s <= after + 1e-9)
        holds += [one.is_considerable("local", sparsity) for sparsity in local]
        holds.append(one.is_considerable("global", ahead[-1]) if ahead else None)
        is_right_after = behind[0] <= after + _RIGHT_AFTER + 1e-9
        dropped = one.is_considerable("global", behind[0])
        # What is lost later may have been lost long after; what is kept there was not lost before.
        is_open = dropped is None or (not dropped and not is_right_after)
        holds.append(None if is_open else not dropped)
        shown = [("local", local[-1]), *(("global", s) for s in (*ahead[-1:], behind[0]))]
        tested += [one.against[key] for key in shown]
        missing = [
            *([] if ahead else [f"global up to {words.percent(after)}"]),
            *([] if is_right_after else [f"global right after {words.percent(after)}"]),
        ]
        told.append(
            f"{one.title}, unpruned {one.unpruned:.3f}: "
            + "; ".join(one.told(*key) for key in shown)
            + (f"; not run: {', '.join(missing)}" if missing else "")
        )
    if not told:
        return None
    verdict = Verdict.CANNOT_BE_TOLD
    if any(one is False for one in holds):
        verdict = Verdict.DOES_NOT_HOLD
    elif all(holds) and len(told) == models:
        verdict = Verdict.HOLDS
    numbers = (
        f"{_of_models(len(told), models)}considerable: at least {words.percent(CONSIDERABLE)} of "
        f"the unpruned model's score. {'. '.join(told)}."
    )
    return _answer(claim, verdict, numbers, tested)


def _answer(claim: str, verdict: Verdict, numbers: str, tested: Sequence[Comparison]) -> Answer:
    """Return an answer by comparisons, with the smallest difference that they could show."""
    least = max(claims.smallest(one) for one in tested)
    return Answer(
        claim,
        verdict,
        f"{numbers} Shown four times of five would be {least:.3f}",
        max(one.examples for one in tested),
        min(len(one.seeds) for one in tested),
        ", ".join(dict.fromkeys(one.encoder for one in tested)),
    )


def _of_vectors(sizes: Mapping[str, int]) -> int:
    return sum(count for part, count in sizes.items() if part.endswith(_VECTORS))


def vectors_share(
    models: Mapping[str, Mapping[str, int]], encoders: Sequence[str]
) -> Answer | None:
    """Return whether about 70 % of a CNN's weights are in its word vectors, of each model.

    It is arithmetic: each word has 300 general and 100 domain numbers, and the network above them
    is the same for any number of words.

    Args:
      models: title of a model -> part of its network -> number of its weights in scope.
      encoders: their names.

    Returns:
      None where the vectors of no model were in scope.
    """
    told, near = [], []
    for title, sizes in models.items():
        vectors, whole = _of_vectors(sizes), sum(sizes.values())
        if not vectors or vectors == whole:
            continue
        low, high = _ABOUT_70
        near.append(low <= vectors / whole < high)
        told.append(
            f"{title}: {vectors:,} of {whole:,} weights, {vectors / whole:.1%}, where a network "
            f"with so many others has 70 % with {0.7 / 0.3 * (whole - vectors):,.0f}"
        )
    if not told:
        return None
    verdict = Verdict.HOLDS if all(near) else Verdict.DOES_NOT_HOLD
    numbers = f"{'; '.join(told)}. The share grows with the number of words that have a vector"
    return Answer("local_global.de_cnn_share", verdict, numbers, encoder=", ".join(encoders))


def vectors_last(group: Group, found: Zeros, sizes: Mapping[str, int]) -> Answer | None:
    """Return whether global ranking empties all of a CNN ahead of its word vectors.

    The layers and the classifier are asked each for itself.

    Args:
      group: pruned models.
      found: where their zeros are.
      sizes: part of the network -> number of its weights in scope.

    Returns:
      None where the vectors were not pruned, or the encoder has none.
    """
    known = {s: values for (name, s), values in sorted(found.items()) if name == "global"}
    vectors = [part for part in sizes if part.endswith(_VECTORS)]
    others = [part for part in sizes if part not in vectors]
    if not known or not vectors or not others:
        return None
    whole = _of_vectors(sizes)
    told, ahead = [], []
    for sparsity, values in known.items():
        gone = sum(values[part] * sizes[part] for part in vectors) / whole
        fullest = min(others, key=lambda part: values[part])
        ahead.append(values[fullest] > gone)
        told.append(
            f"{words.percent(sparsity)}: {100 * gone:.1f} % of the vectors, "
            f"{100 * values[fullest]:.1f} % of {fullest}"
        )
    verdict = Verdict.HOLDS if all(ahead) else Verdict.DOES_NOT_HOLD
    numbers = "zeros of the vectors and of the other part that has the fewest, " + "; ".join(told)
    return Answer(
        "local_global.de_cnn_zeros", verdict, numbers, 0, len(group.seeds), group.first.encoder
    )


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
