"""Claims of the survey's Table 1 that one of our rows answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.evaluation.significance import Equal
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import claims, hybrids
from bert_glue_tf.studies.claims import Answer, Verdict
from bert_glue_tf.studies.survey_measure import FLOAT32, INT8, Costs
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
# TextPruner's methods by our names, and "41.3 % of the size, 1.90 times as fast".
_TEXT_PRUNER = ("attention_head", "neuron", "vocabulary")
_TEXT_PRUNER_MOST, _TEXT_PRUNER_FASTER = 0.42, 1.9
_FIVE_TIMES = 0.795  # "Up to 5.0 times": of whole blocks not quite 80 % may go.
_UNSTRUCTURED, _SPARSE_FASTER = 0.895, 3.4  # "3.4 times as fast at 90 %".
_CONNECTIONS = 0.968  # "Up to 96.84 % of the connections".


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
    times = _times(row)
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


def structured(rows: Iterable[Row]) -> Answer | None:
    """Return whether structured pruning to 41.3 % of the size is as fast and as good as claimed.

    By the row of heads, neurons and vocabulary with the smallest float32 file; None where none is
    as small.
    """
    small = [row for row in rows if _is_structured(row) and _left(row) <= _TEXT_PRUNER_MOST]
    if not small:
        return None
    row = min(small, key=_left)
    assert row.difference is not None
    times = _times(row)
    verdict = _degradation(row.difference)
    if times < _TEXT_PRUNER_FASTER:  # Whatever the score says, half of the claim is wrong.
        verdict = Verdict.DOES_NOT_HOLD
    size, fast = f"{_left(row):.1%} of the size", f"{times:.2f} times as fast"
    told = f"{row.method}: {size} ({FLOAT32}), {fast} ({INT8}): "
    return _answer("survey.structured", verdict, told, row.difference)


def block_norm(row: Row | None) -> Answer | None:
    """Return whether five times fewer weights, in blocks, cost nothing or little.

    A score that is worse with more weights left says so too. None where fewer are pruned without.
    """
    if row is None or row.difference is None or row.costs is None:
        return None
    gone, verdict = _gone(row.costs), _degradation(row.difference)
    if gone < _FIVE_TIMES and verdict is not Verdict.DOES_NOT_HOLD:
        return None
    told = f"{1 / (1 - gone):.2f} times fewer weights of those in scope: "
    return _answer("survey.block_norm", verdict, told, row.difference)


def unstructured(row: Row | None) -> Answer | None:
    """Return how fast 90 % of single zeros make it here, on a CPU; None of fewer or untimed."""
    if row is None or row.difference is None or row.costs is None or row.milliseconds is None:
        return None
    gone, times = _gone(row.costs), _times(row)
    if gone < _UNSTRUCTURED:
        return None
    verdict = Verdict.HOLDS if times >= _SPARSE_FASTER else Verdict.DOES_NOT_HOLD
    told = (
        f"{gone:.0%} pruned, {times:.2f} times as fast as the unpruned file in the same session, "
        "in LiteRT on a CPU, which multiplies with zeros as with other numbers; SparseRT's kernels "
        "of a GPU are not run here: "
    )
    return _answer("survey.unstructured", verdict, told, row.difference)


def magnitude(row: Row | None) -> Answer | None:
    """Return whether 96.84 % of the weights can go; None where fewer are pruned."""
    if row is None or row.difference is None or row.costs is None:
        return None
    gone, verdict = _gone(row.costs), _degradation(row.difference)
    if gone < _CONNECTIONS:
        return None
    told = f"{gone:.2%} of the weights in scope, of a BERT and no RNN: "
    return _answer("survey.magnitude", verdict, told, row.difference)


def answers(rows: Sequence[Row]) -> list[Answer]:
    """Return the answers that the rows of a survey give, the unpruned one left out."""
    by_method = {row.method: row for row in rows}
    found = [answer(by_method.get(name)) for name, answer in _ANSWERED]
    return [one for one in (*found, structured(rows)) if one is not None]


_ANSWERED: Sequence[tuple[str, Callable[[Row | None], Answer | None]]] = (
    ("layer", layer),
    ("filter", filters),
    ("block", block),
    ("block", block_norm),
    ("magnitude", unstructured),
    ("magnitude", magnitude),
)


def _degradation(found: Comparison) -> Verdict:
    """Return whether a score is kept: as good, worse, or neither is shown."""
    if found.base_mark is not None:
        return Verdict.CANNOT_BE_TOLD  # An unpruned model that has learned nothing loses nothing.
    if found.outcome is Outcome.WORSE or found.mark is Mark.COLLAPSED:
        return Verdict.DOES_NOT_HOLD
    if found.outcome is Outcome.BETTER or found.difference.equivalence.outcome is Equal.YES:
        return Verdict.HOLDS
    return Verdict.CANNOT_BE_TOLD


def _gone(costs: Costs) -> float:
    counts = costs.record.parameters
    return counts["pruned"] / counts["prunable"] if counts.get("prunable") else 0.0


def _is_structured(row: Row) -> bool:
    used = {*hybrids.methods(row.method)} if row.difference is not None else set()
    return bool(used) and used <= {*_TEXT_PRUNER} and row.milliseconds is not None


def _left(row: Row) -> float:
    """Return the bytes of a row's float32 file over those of the unpruned one."""
    assert row.costs is not None
    own, whole = (one.files[FLOAT32].bytes["plain"] for one in (row.costs, row.base))
    return own / whole


def _times(row: Row) -> float:
    """Return how many times as fast as the unpruned file a row's is, of the same kind."""
    assert row.milliseconds is not None
    return row.base.latency[max(row.base.latency, key=int)]["p50"] / row.milliseconds


def _answer(claim: str, verdict: Verdict, told: str, found: Comparison) -> Answer:
    return Answer(
        claim,
        verdict,
        told + claims.difference(found),
        found.examples,
        len(found.difference.by_seed),
        found.encoder,
    )
