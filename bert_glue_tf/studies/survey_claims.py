"""Claims of the survey's Table 1 that one of our rows answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import claims
from bert_glue_tf.studies.claims import Answer, Verdict
from bert_glue_tf.studies.survey_rows import Row

_POINTS = 0.005  # The survey's 0.5 points.
# Its 67 to 82 of 108 million weights, and as much again on both sides: layers are whole, and the
# embeddings of a small encoder are a larger part of it.
_SHARE = (0.5, 0.9)
_FASTER = (1.2, 1.5)
# "Micro F1 up by nearly 0.07, weights down by 33.33 %": from here on a rise is nearly that, and so
# many of the weights among which was pruned are a third.
_NEARLY = 0.065
_FILTERS_GONE = (0.28, 0.39)


def layer(row: Row | None) -> Answer | None:
    """Return whether layers that go cost no more than half a point, at the survey's share.

    None where none was run, or with another share of the weights.
    """
    if row is None or row.difference is None or row.costs is None:
        return None
    left = row.costs.record.parameters["total"] / row.base.record.parameters["total"]
    smallest, largest = _SHARE
    if not smallest <= left <= largest:
        return None
    found = row.difference
    low, high = found.difference.interval
    verdict = Verdict.CANNOT_BE_TOLD
    if found.base_mark is not None:
        pass  # An unpruned model that has learned nothing has nothing to lose.
    elif high < -_POINTS:
        verdict = Verdict.DOES_NOT_HOLD
    elif low > -_POINTS:
        verdict = Verdict.HOLDS
    return _answer("survey.layer", verdict, f"{left:.0%} of the weights: ", found)


def block(row: Row | None) -> Answer | None:
    """Return whether blocks make it 1.2 to 1.5 times as fast; None where it was not timed."""
    if row is None or row.difference is None or row.milliseconds is None:
        return None
    whole = row.base.latency[max(row.base.latency, key=int)]["p50"]
    times = whole / row.milliseconds
    low, high = _FASTER
    verdict = Verdict.HOLDS if low <= times <= high else Verdict.DOES_NOT_HOLD
    lost = ", with a lower score" if row.difference.outcome is Outcome.WORSE else ""
    told = f"{times:.2f} times as fast as the unpruned file in the same session{lost}: "
    return _answer("survey.block", verdict, told, row.difference)


def filters(row: Row | None) -> Answer | None:
    """Return whether filter pruning raises F1 by nearly 0.07, at the survey's share of the weights.

    None where none was run, of another metric, or at another sparsity.
    """
    if row is None or row.difference is None or row.costs is None:
        return None
    found, counts = row.difference, row.costs.record.parameters
    gone = counts["pruned"] / counts["prunable"]
    smallest, largest = _FILTERS_GONE
    if not found.metric.endswith("f1") or not smallest <= gone <= largest:
        return None
    low, high = found.difference.interval
    verdict = Verdict.CANNOT_BE_TOLD
    if found.base_mark is not None:
        pass
    elif high < _NEARLY:
        verdict = Verdict.DOES_NOT_HOLD
    elif low > 0 and found.difference.mean >= _NEARLY:  # Some rise is not yet one of nearly 0.07.
        verdict = Verdict.HOLDS
    told = f"{gone:.0%} of the filters' weights gone: "
    return _answer("survey.filter", verdict, told, found)


ANSWERED: Mapping[str, Callable[[Row | None], Answer | None]] = {
    "layer": layer,
    "filter": filters,
    "block": block,
}


def _answer(claim: str, verdict: Verdict, told: str, found: Comparison) -> Answer:
    return Answer(
        claim,
        verdict,
        told + claims.difference(found),
        found.examples,
        len(found.difference.by_seed),
        found.encoder,
    )
