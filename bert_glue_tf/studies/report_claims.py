"""The report's claims, answered from its comparisons, its curves, and by arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.evaluation.significance import Equal
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import claims, printed
from bert_glue_tf.studies.claims import Answer, Verdict

Compared = Mapping[str, Comparison | None]
_SECOND = 2  # The epoch of a claim.
# Two accuracies that differ by less are "nearly the same": the report's are 0.007 apart.
_NEARLY = 0.02


class Epoch(Protocol):
    """An epoch of the pruned MRPC: mean, smallest and largest over the seeds, by name."""

    @property
    def epoch(self) -> int: ...
    @property
    def ours(self) -> Mapping[str, tuple[float, float, float]]: ...


def answers(
    pruning: Compared, quantization: Compared, flips: Sequence[int | None], curves: Sequence[Epoch]
) -> list[Answer]:
    """Return the answers to the claims, as far as they were run.

    Args:
      pruning: task -> pruned minus unpruned accuracy.
      quantization: task -> quantized minus float32 accuracy.
      flips: labels that each quantized file of MRPC gives otherwise than its float32 file.
      curves: the epochs of MRPC with pruning.
    """
    found: list[Answer] = []
    for task, one in pruning.items():
        if one is not None:
            found.append(_of(f"report.pruning_{task}", one, _raises(one)))
    for task, one in quantization.items():
        if one is not None:
            found.append(_of(f"report.quantization_{task}", one, _keeps(one)))
    mrpc = pruning.get("mrpc")
    if mrpc is not None:
        found.append(_points(mrpc))
    files = quantization.get("mrpc")
    if files is not None and flips and None not in flips:
        found.append(_arithmetic(files, [flip for flip in flips if flip is not None]))
    found += _second_epoch(curves, mrpc)
    return [*found, _size()]


def _of(claim: str, found: Comparison, verdict: Verdict, numbers: str = "") -> Answer:
    return Answer(
        claim,
        verdict,
        numbers or claims.difference(found),
        found.examples,
        len(found.difference.by_seed),
        found.encoder,
    )


def _raises(found: Comparison) -> Verdict:
    if found.is_of_collapsed:  # As the study's findings: no verdict.
        return Verdict.CANNOT_BE_TOLD
    if found.outcome is Outcome.BETTER:
        return Verdict.HOLDS
    if found.outcome is Outcome.WORSE or found.difference.equivalence.outcome is Equal.YES:
        return Verdict.DOES_NOT_HOLD
    return Verdict.CANNOT_BE_TOLD


def _keeps(found: Comparison) -> Verdict:
    if found.base_mark is Mark.COLLAPSED:
        return Verdict.CANNOT_BE_TOLD
    if found.mark is Mark.COLLAPSED:
        return Verdict.DOES_NOT_HOLD
    if found.outcome is Outcome.BETTER or found.difference.equivalence.outcome is Equal.YES:
        return Verdict.HOLDS
    return Verdict.DOES_NOT_HOLD if found.outcome is Outcome.WORSE else Verdict.CANNOT_BE_TOLD


def _points(found: Comparison) -> Answer:
    """Answer the report's gain of 2.3 points by the interval of ours."""
    table = printed.document("report")["table1_mrpc"]["validation_accuracy"]
    theirs = table[-1][2] / 100
    low, high = found.difference.interval
    verdict = Verdict.CANNOT_BE_TOLD
    if high < theirs and not found.is_of_collapsed:
        verdict = Verdict.DOES_NOT_HOLD
    elif low > 0 and not found.is_of_collapsed:
        verdict = Verdict.HOLDS
    inside = "holds" if low <= theirs <= high else "does not hold"
    numbers = f"{claims.difference(found)}; the interval {inside} the report's {theirs:+.3f}"
    return _of("report.pruning_points", found, verdict, numbers)


def _arithmetic(found: Comparison, flips: Sequence[int]) -> Answer:
    """Answer the gain by quantization by the number of answers that it takes."""
    theirs = printed.quantization()["mrpc"]
    gained = round((theirs["quantized_accuracy"] - theirs["accuracy"]) * found.examples)
    most = max(flips)
    verdict = Verdict.DOES_NOT_HOLD if most < gained else Verdict.CANNOT_BE_TOLD
    follows = (
        "so that rounding cannot give it, and the report's two numbers are of two trainings or two "
        "ways of scoring"
        if most < gained
        else "which rounding could give"
    )
    numbers = (
        f"it takes {gained} more right answers of {found.examples}; our quantized files change "
        f"{', '.join(map(str, flips))} answers at all, {follows}. {claims.difference(found)}"
    )
    return _of("report.quantization_points", found, verdict, numbers)


def _second_epoch(curves: Sequence[Epoch], compared: Comparison | None) -> Iterator[Answer]:
    """Answer the claim about the second epoch of MRPC with pruning."""
    row = next((row for row in curves if row.epoch == _SECOND), None)
    if row is None or compared is None:
        return
    means = {name: values[0] for name, values in row.ours.items()}
    apart = abs(means["accuracy"] - means["val_accuracy"])
    both = apart < _NEARLY and means["val_loss"] < means["loss"]
    theirs = printed.curves("1")[printed.PRUNED][_SECOND - 1]
    numbers = (
        f"accuracy {means['accuracy']:.3f} in training and {means['val_accuracy']:.3f} in "
        f"validation, loss {means['loss']:.3f} and {means['val_loss']:.3f} (training's is a mean "
        f"over the epoch, with dropout). The report's own table has loss {theirs['loss']:.3f} and "
        f"{theirs['val_loss']:.3f}"
    )
    yield Answer(
        "report.second_epoch",
        Verdict.HOLDS if both else Verdict.DOES_NOT_HOLD,
        numbers,
        compared.examples,
        len(compared.seeds),
        compared.encoder,
    )


def _size() -> Answer:
    """Answer the claimed reduction by the two sizes that are printed."""
    theirs = printed.quantization()["mrpc"]
    found = 1 - theirs["quantized_mb"] / theirs["mb"]
    numbers = (
        f"its two sizes, {theirs['mb']:.2f} and {theirs['quantized_mb']:.2f} MB, give {found:.2%}"
    )
    same = f"{found:.2%}" == f"{theirs['reduction']:.2%}"
    return Answer("report.size", Verdict.HOLDS if same else Verdict.DOES_NOT_HOLD, numbers)
