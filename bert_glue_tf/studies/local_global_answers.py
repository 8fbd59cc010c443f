"""The study's claims, each answered from what was found with the models that it speaks of.

The answer is that of equal sparsity, where it was run; how the same claim comes out as the authors'
code prunes stands behind it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import claims, local_global_claims
from bert_glue_tf.studies.claims import Answer
from bert_glue_tf.studies.local_global_claims import Kept
from bert_glue_tf.studies.local_global_grids import Grid, Way
from bert_glue_tf.studies.local_global_models import BERTS, CONVOLUTIONS, DE_CNNS
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
      zeros: where their zeros are.
      sizes: part of the network -> number of its weights in scope.
    """

    grid: Grid
    unpruned: Group | None
    compared: Mapping[float, Comparison]
    against: Mapping[tuple[str, float], Comparison]
    pruned: Group | None
    zeros: Zeros
    sizes: Mapping[str, int]

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
    made = [_answer(found, ask) for ask in _ASKED]
    return [one for one in made if one is not None]


def told(found: Sequence[Answer]) -> Iterator[tuple[str, str]]:
    """Yield each claim in the study's words, and its answer with what it rests on."""
    known = {claim.name: claim.text for claim in claims.CLAIMS}
    for one in found:
        yield f"Claim: {known[one.claim]}", f"{one.verdict.value}. {one.numbers}."


def _answer(
    found: Sequence[Found], ask: Callable[[Sequence[Found]], Answer | None]
) -> Answer | None:
    """Return the answer of equal sparsity with that of the other way behind it."""
    by_way = {way: ask([one for one in found if one.grid.way is way]) for way in Way}
    equal, regrown = by_way[Way.EQUAL], by_way[Way.REGROWN]
    if equal is None or regrown is None:
        return equal or regrown
    also = f"{Way.REGROWN.told.capitalize()}: {regrown.verdict.value}. {regrown.numbers}"
    return dataclasses.replace(equal, numbers=f"{equal.numbers}. {also}")


def _of(found: Sequence[Found], names: Sequence[str]) -> list[Found]:
    return [one for one in found if one.grid.model in names]


def _local(found: Sequence[Found]) -> Answer | None:
    compared = {one.grid.title: one.compared for one in found}
    return local_global_claims.ranking(compared)


def _convolutions(found: Sequence[Found]) -> Answer | None:
    compared = {one.grid.title: one.compared for one in _of(found, CONVOLUTIONS)}
    return local_global_claims.ranking(compared, "local_global.conv")


def _considerable(
    claim: str, names: Sequence[str], until: float
) -> Callable[[Sequence[Found]], Answer | None]:
    def ask(found: Sequence[Found]) -> Answer | None:
        kept = [one.kept for one in _of(found, names)]
        whole = [one for one in kept if one is not None]
        return local_global_claims.considerable(claim, whole, until, _DROPS_AFTER, len(names))

    return ask


def _de_cnn_zeros(found: Sequence[Found]) -> Answer | None:
    for one in _of(found, DE_CNNS):
        if one.pruned is not None:
            answer = local_global_claims.vectors_last(one.pruned, one.zeros, one.sizes)
            if answer is not None:
                return answer
    return None


def _bert_zeros(found: Sequence[Found]) -> Answer | None:
    for one in found:  # Any encoder with these embeddings, so that a task alone answers it too.
        if one.pruned is not None:
            answer = local_global_claims.zeros(one.pruned, one.zeros)
            if answer is not None:
                return answer
    return None


_ASKED: tuple[Callable[[Sequence[Found]], Answer | None], ...] = (
    _local,
    _considerable("local_global.bert_until_60", BERTS, _BERT_UNTIL),
    _considerable("local_global.de_cnn_until_80", DE_CNNS, _DE_CNN_UNTIL),
    _convolutions,
    _de_cnn_zeros,
    _bert_zeros,
)
