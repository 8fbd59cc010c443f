"""The study's claims, each answered from what was found with the models that it speaks of.

The answer is that of equal sparsity, where it was run; how the same claim comes out as the authors'
code prunes stands behind it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import claims, local_global_claims, words
from bert_glue_tf.studies.claims import Answer, Verdict
from bert_glue_tf.studies.local_global_claims import Kept
from bert_glue_tf.studies.local_global_grids import Grid, Way
from bert_glue_tf.studies.local_global_models import BERTS, CONVOLUTIONS, DE_CNNS, MODELS
from bert_glue_tf.studies.zeros import Zeros

# Up to which sparsity local keeps a considerable score, and behind which global drops.
_DE_CNN_UNTIL, _BERT_UNTIL, _DROPS_AFTER = 0.8, 0.6, 0.3


@dataclasses.dataclass(frozen=True)
class Found:
    """The findings with one model.

    Attributes:
      grid: of the model.
      unpruned: its models without pruning; None where none was finished.
      compared: sparsity -> local minus global.
      against: (ranking, sparsity) -> difference to the unpruned model.
      pruned: some of its pruned models; None where none was finished.
      removed: (ranking, sparsity) -> share of the weights in scope that are zero in truth.
      zeros: where their zeros are.
      sizes: part of the network -> number of its weights in scope.
    """

    grid: Grid
    unpruned: Group | None
    compared: Mapping[float, Comparison]
    against: Mapping[tuple[str, float], Comparison]
    pruned: Group | None
    removed: Mapping[tuple[str, float], float]
    zeros: Zeros
    sizes: Mapping[str, int]

    @property
    def mark(self) -> Mark | None:
        """The worst mark of its unpruned models; None where they have none."""
        return self.unpruned.mark if self.unpruned else None

    @property
    def kept(self) -> Kept | None:
        """Its scores, for the claims on a considerable one; None without the unpruned model."""
        if self.unpruned is None:
            return None
        return Kept(self.grid.title, self.unpruned.mean, self.against)


def outcome(found: Comparison) -> Outcome:
    """Return which ranking is better; see `local_global_claims.outcome`."""
    return local_global_claims.outcome(found)


def answers(found: Sequence[Found]) -> list[Answer]:
    """Return the answers to the claims, as far as their models were run; each claim once."""
    made = [_answer(found, one) for one in _ASKED]
    return [one for one in made if one is not None]


def told(found: Sequence[Answer]) -> Iterator[tuple[str, str]]:
    """Yield each claim in the study's words, and its answer with what it rests on."""
    known = {claim.name: claim.text for claim in claims.CLAIMS}
    for one in found:
        yield f"Claim: {known[one.claim]}", f"{one.verdict.value}. {one.numbers}."


def in_words(better: int, worse: int, total: int) -> str:
    """Return whether local is the better one, by the sparsities at which either is better."""
    if better and not worse:
        return f"holds at {better} of {total}, and is contradicted at none"
    if worse and not better:
        return f"does not hold: global is better at {worse} of {total}"
    if better:
        return f"depends on the sparsity: local is better at {better} of {total}, global at {worse}"
    return f"cannot be told: at none of {total} a difference is shown"


# What answers a claim from the findings with its models; None where they do not answer it.
_Ask = Callable[[Sequence[Found]], Answer | None]


@dataclasses.dataclass(frozen=True)
class _Question:
    """A claim to be answered.

    Attributes:
      ask: returns its answer.
      models: that it speaks of; empty for all.
      compares: the two rankings are compared with each other.
      is_of_scores: what is gone in truth has to stand beside the answer.
      is_of_models: it is the same however they are pruned.
    """

    ask: _Ask
    models: Sequence[str] = ()
    compares: bool = False
    is_of_scores: bool = False
    is_of_models: bool = False


def _answer(found: Sequence[Found], asked: _Question) -> Answer | None:
    """Return the answer of equal sparsity with that of the other way behind it.

    As the authors' code prunes, the two rankings do not remove as much, so that alone it tells
    nothing about which of them is the better one.
    """
    own = [one for one in found if not asked.models or one.grid.model in asked.models]
    if asked.is_of_models:
        return asked.ask(own)
    by_way = {way: [one for one in own if one.grid.way is way] for way in Way}
    equal, regrown = (asked.ask(by_way[way]) for way in (Way.EQUAL, Way.REGROWN))
    if regrown is None:
        return equal
    numbers = regrown.numbers
    if asked.is_of_scores:
        numbers = f"{numbers}. {_unequal(by_way[Way.REGROWN])}"
    also = f"{Way.REGROWN.told.capitalize()}, at unequal sparsity: "
    if equal is not None:
        told = f"{equal.numbers}. {also}{regrown.verdict.value}. {numbers}"
        return dataclasses.replace(equal, numbers=told)
    verdict = Verdict.CANNOT_BE_TOLD if asked.compares else regrown.verdict
    return dataclasses.replace(regrown, verdict=verdict, numbers=f"{also}{numbers}")


def _unequal(found: Sequence[Found]) -> str:
    """Return what is gone in truth: at each sparsity of a model, of several where it differs most.

    As `local 50 % (26.6 % gone) against global (53.0 %)`.
    """
    told = []
    for one in found:
        both = [
            (sparsity, one.removed["local", sparsity], one.removed["global", sparsity])
            for sparsity in one.compared
            if {("local", sparsity), ("global", sparsity)} <= set(one.removed)
        ]
        if len(found) > 1:
            both = sorted(both, key=lambda row: -abs(row[1] - row[2]))[:1]
        rows = [
            f"local {words.percent(sparsity)} ({local:.1%} gone) against global ({whole:.1%})"
            for sparsity, local, whole in both
        ]
        if rows:
            told.append(f"{one.grid.title}: {'; '.join(rows)}")
    most = ", where it differs most" if len(found) > 1 else ""
    return f"In truth{most}: {'. '.join(told)}"


def _ranked(claim: str, models: int = 0) -> _Ask:
    def ask(found: Sequence[Found]) -> Answer | None:
        compared = {one.grid.title: one.compared for one in found}
        marked = {one.grid.title: one.mark for one in found if one.mark is not None}
        return local_global_claims.ranking(compared, claim, marked, models)

    return ask


def _considerable(claim: str, models: int, until: float) -> _Ask:
    def ask(found: Sequence[Found]) -> Answer | None:
        whole = [kept for one in found if (kept := one.kept) is not None]
        return local_global_claims.considerable(claim, whole, until, _DROPS_AFTER, models)

    return ask


def _of_each(answer: Callable[[Found, Group], Answer | None]) -> _Ask:
    """Return what asks each model for itself, by where its zeros are: the claim holds if all do."""

    def ask(found: Sequence[Found]) -> Answer | None:
        told: list[Answer] = []
        for one in found:
            own = answer(one, one.pruned) if one.pruned else None
            if own is None:
                continue
            numbers, verdict = f"{one.grid.title}: {own.numbers}", own.verdict
            if one.mark is not None:
                numbers = local_global_claims.unlearned(one.grid.title, one.mark)
                verdict = Verdict.CANNOT_BE_TOLD
            told.append(dataclasses.replace(own, verdict=verdict, numbers=numbers))
        if not told:
            return None
        verdicts = [one.verdict for one in told]
        return dataclasses.replace(
            told[0],
            verdict=next(one for one in _LEAST_FIRST if one in verdicts),
            numbers=". ".join(one.numbers for one in told),
            seeds=min(one.seeds for one in told),
            encoder=", ".join(dict.fromkeys(one.encoder for one in told)),
        )

    return ask


def _share(found: Sequence[Found]) -> Answer | None:
    names = {one.grid.model: MODELS[one.grid.model].title for one in found}
    sizes = {names[one.grid.model]: one.sizes for one in found if one.sizes}
    encoders = dict.fromkeys(one.pruned.first.encoder for one in found if one.pruned)
    return local_global_claims.vectors_share(sizes, list(encoders))


_LEAST_FIRST = (Verdict.DOES_NOT_HOLD, Verdict.CANNOT_BE_TOLD, Verdict.HOLDS)
_ASKED: tuple[_Question, ...] = (
    _Question(_ranked("local_global.local"), compares=True, is_of_scores=True),
    _Question(
        _considerable("local_global.bert_until_60", len(BERTS), _BERT_UNTIL),
        BERTS,
        is_of_scores=True,
    ),
    _Question(
        _considerable("local_global.de_cnn_until_80", len(DE_CNNS), _DE_CNN_UNTIL),
        DE_CNNS,
        is_of_scores=True,
    ),
    _Question(
        _ranked("local_global.conv", len(CONVOLUTIONS)),
        CONVOLUTIONS,
        compares=True,
        is_of_scores=True,
    ),
    _Question(_share, DE_CNNS, is_of_models=True),
    _Question(
        _of_each(
            lambda one, pruned: local_global_claims.vectors_last(pruned, one.zeros, one.sizes)
        ),
        DE_CNNS,
    ),
    # Any encoder with these embeddings, so that a task alone answers it too.
    _Question(_of_each(lambda one, pruned: local_global_claims.zeros(pruned, one.zeros))),
)
