"""Claims of the survey's Table 1 that one of our rows answers."""

from __future__ import annotations

from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import claims
from bert_glue_tf.studies.claims import Answer, Verdict
from bert_glue_tf.studies.survey_rows import Row

_POINTS = 0.005  # The survey's 0.5 points.
# Its 67 to 82 of 108 million weights, and as much again on both sides: layers are whole, and the
# embeddings of a small encoder are a larger part of it.
_SHARE = (0.5, 0.9)
_FASTER = (1.2, 1.5)


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
    if high < -_POINTS:
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


def _answer(claim: str, verdict: Verdict, told: str, found: Comparison) -> Answer:
    return Answer(
        claim,
        verdict,
        told + claims.difference(found),
        found.examples,
        len(found.difference.by_seed),
        found.encoder,
    )
