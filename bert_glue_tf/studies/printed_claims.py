"""Claims that the documents' own numbers answer, without a run."""

from __future__ import annotations

import math

from bert_glue_tf.studies import claims, printed
from bert_glue_tf.studies.claims import Answer, Verdict

_STRUCTURES = ("row", "column", "block")
# Task -> the answer that is always the same, and its examples, in words.
_ALWAYS = {
    "mrpc": "Always answering yes has an F1 of {:.3f} on MRPC's {} pairs",
    "rte": "Always answering yes has an accuracy of {:.3f} on RTE's {} pairs",
}


def answers() -> list[Answer]:
    """Return the answers to claims that take no run."""
    return [size(), *(works(task) for task in _ALWAYS)]


def size() -> Answer:
    """Answer the first report's reduction by the two sizes that it prints."""
    theirs = printed.quantization()["mrpc"]
    found = 1 - theirs["quantized_mb"] / theirs["mb"]
    numbers = (
        f"its two sizes, {theirs['mb']:.2f} and {theirs['quantized_mb']:.2f} MB, give {found:.2%}"
    )
    same = f"{found:.2%}" == f"{theirs['reduction']:.2%}"
    return Answer("report.size", Verdict.HOLDS if same else Verdict.DOES_NOT_HOLD, numbers)


def works(task: str, ours: str = "") -> Answer:
    """Tell if the second report's rows, columns and blocks beat an answer that reads no text.

    Args:
      task: mrpc or rte.
      ours: what was found here, in words; empty where nothing was run.
    """
    always, examples = printed.MAJORITY[task]
    scores = {name: printed.structures()[name][task] for name in _STRUCTURES}
    noise = printed.NORMAL_95 * math.sqrt(always * (1 - always) / examples)
    listed = ", ".join(f"{name} {score:.3f}" for name, score in scores.items())
    if max(scores.values()) < always:
        verdict = Verdict.DOES_NOT_HOLD
        told = f"{listed} are below it, as of models that have not read the pairs"
    elif all(printed.is_above(score, always, examples) for score in scores.values()):
        verdict = Verdict.HOLDS
        told = f"{listed}"
    else:
        verdict = Verdict.CANNOT_BE_TOLD
        told = (
            f"{listed} are above it by no more than the noise of so many examples, {noise:.3f}; "
            f"shown four times of five would be {claims.found_four_times_of_five(noise):.3f}"
        )
    numbers = f"{_ALWAYS[task].format(always, examples)}; {told}"
    irregular = printed.structures()["magnitude"][task]
    numbers += f". Its irregular pruning has {irregular:.3f}"
    return Answer(
        f"structured.{task}", verdict, f"{numbers}. {ours}" if ours else numbers, examples
    )
