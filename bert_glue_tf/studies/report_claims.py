"""The report's claims, answered from its comparisons, its curves, and by arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from bert_glue_tf.evaluation import significance
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.evaluation.significance import Equal
from bert_glue_tf.reports import formats
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import claims, printed, printed_claims, shares
from bert_glue_tf.studies.claims import Answer, Verdict

Compared = Mapping[str, Comparison | None]
_SECOND = 2  # The epoch of a claim.
# Two accuracies that differ by less are "nearly the same": the report's are 0.007 apart.
_NEARLY = 0.02


class Epoch(Protocol):
    """An epoch of the pruned MRPC: our values by name, one for each seed; see `CurveRow`."""

    @property
    def epoch(self) -> int: ...
    @property
    def each(self) -> Mapping[str, Sequence[float]]: ...
    @property
    def trained_on(self) -> int: ...
    @property
    def examples(self) -> int: ...
    def mean(self, name: str) -> float: ...


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
    return [*found, printed_claims.size()]


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
    numbers = f"{claims.difference(found)}; the interval {inside} the report's {theirs:+z.3f}"
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
    """Answer the claim about the second epoch of MRPC with pruning, by both of its parts."""
    row = next((row for row in curves if row.epoch == _SECOND), None)
    if row is None or compared is None:
        return
    parts = [_same_accuracy(row), _lower_loss(row)]
    theirs = printed.curves("1")[printed.PRUNED][_SECOND - 1]
    told = (
        f"The report's own table has accuracy {theirs['accuracy']:.3f} and "
        f"{theirs['val_accuracy']:.3f}, loss {theirs['loss']:.3f} and {theirs['val_loss']:.3f}"
    )
    yield Answer(
        "report.second_epoch",
        _of_all([verdict for verdict, _ in parts]),
        ". ".join([*(numbers for _, numbers in parts), told]),
        compared.examples,
        len(compared.seeds),
        compared.encoder,
    )


def _of_all(verdicts: Sequence[Verdict]) -> Verdict:
    """Return the answer to a claim that holds where all of its parts do."""
    if Verdict.DOES_NOT_HOLD in verdicts:
        return Verdict.DOES_NOT_HOLD
    return Verdict.HOLDS if {*verdicts} == {Verdict.HOLDS} else Verdict.CANNOT_BE_TOLD


def _same_accuracy(row: Epoch) -> tuple[Verdict, str]:
    """Tell if the accuracies of training and validation are nearly the same, and by what."""
    training, validation = row.mean("accuracy"), row.mean("val_accuracy")
    low, high = shares.difference((validation, row.examples), (training, row.trained_on))
    verdict = Verdict.CANNOT_BE_TOLD
    if max(-low, high) < _NEARLY:
        verdict = Verdict.HOLDS
    elif low > _NEARLY or high < -_NEARLY:
        verdict = Verdict.DOES_NOT_HOLD
    return verdict, (
        f"accuracy {training:.3f} in training and {validation:.3f} in validation, "
        f"{validation - training:+z.3f} ({low:+z.3f} to {high:+z.3f} over the examples), nearly "
        f"the same (within {_NEARLY:g}): {verdict.value}"
    )


def _lower_loss(row: Epoch) -> tuple[Verdict, str]:
    """Tell if the loss of validation is below that of training, and by what."""
    training, validation = row.mean("loss"), row.mean("val_loss")
    pairs = zip(row.each["val_loss"], row.each["loss"], strict=True)
    apart = [of_validation - of_training for of_validation, of_training in pairs]
    told = (
        f"loss {training:.3f} in training (a mean over the epoch, with dropout) and "
        f"{validation:.3f} in validation, {validation - training:+z.3f}"
    )
    verdict = Verdict.CANNOT_BE_TOLD
    if len(apart) < significance.METHOD_SEEDS:
        return verdict, f"{told}, lower: {verdict.value}: {formats.FEW[len(apart)]}"
    low, high = shares.over_seeds(apart)
    if high < 0:
        verdict = Verdict.HOLDS
    elif low > 0:
        verdict = Verdict.DOES_NOT_HOLD
    return verdict, f"{told} ({low:+z.3f} to {high:+z.3f} over the seeds), lower: {verdict.value}"
