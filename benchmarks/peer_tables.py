"""The records of the comparison with other runtimes, and the tables that are printed of them."""

from __future__ import annotations

import dataclasses
import datetime
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from peer import named

from bert_glue_tf.core import records

UNPADDED = "unpadded"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PeerResult(records.Record):
    """One model in one runtime.

    Attributes:
      run: name of the source run, also of a file of other weights: the one that it stands beside.
      task, encoder, data: its task, encoder, and provenance of the dev split.
      runtime, recipe: what was measured.
      settings: of the runtime and its quantizer.
      bytes: of the model's file(s).
      metrics: name -> value over the examples.
      flips: labels that differ from the Keras model's; None of other weights.
      largest_difference: of a logit from the Keras model's; None of other weights.
      examples: of the dev split that fit into the longest length, and how many did not.
      latency: length, or "unpadded" -> see `summary`; of other weights without the lengths that
        their file lacks, and with `relative`, see `measure`.
      threads, rounds, sentences: of the latency.
      environment: machine, Python, library versions, commit.
      other: which weights a file has that are not the run's, see `Peer`; empty where they are.
      finished: time in UTC, ISO 8601.
    """

    run: str
    task: str
    encoder: str
    data: Mapping[str, Any]
    runtime: str
    recipe: str
    settings: Mapping[str, Any]
    bytes: int
    metrics: Mapping[str, float]
    flips: int | None
    largest_difference: float | None
    examples: Mapping[str, int]
    latency: Mapping[str, Mapping[str, Any]]
    threads: int
    rounds: int
    sentences: int
    environment: Mapping[str, Any]
    other: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    finished: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )


def print_tables(found: Sequence[PeerResult], primary: str) -> None:
    """Print the measurements, at most 80 columns wide."""
    first = found[0]
    examples = first.examples["scored"]
    print(f"{first.run}: {first.task}, {first.encoder}, {examples:,} dev examples")
    if first.examples["too_long"]:
        print(f"({first.examples['too_long']:,} are longer than the longest length: left out)")
    versions = ", ".join(f"{k} {v}" for k, v in first.environment["packages"].items())
    print(textwrap.fill(versions, 79))
    where = first.environment
    print(f"{where['cores']} cores, load average {where['load_average']:.1f} in the last minute")
    wide = max(27, *(len(_name(record)) + 2 for record in found))
    others = [record for record in found if record.other]
    print(f"\n{'':<{wide}}{'other labels':>14}{'logits':>10}{primary:>12}{'MB':>10}")
    for record in found:
        print(f"{_name(record):<{wide}}{_differences(record)}", end="")
        print(f"{record.metrics[primary]:>12.4f}{record.bytes / 1e6:>10.2f}")
    for label in first.latency:
        print(f"\n{place(label)}, {_threads(first.threads)}")
        print(f"{'':<{wide}}{_HEADER}")
        for record in found:
            if label in record.latency:
                print(f"{_name(record):<{wide}}{_times(record.latency[label])}")
            else:
                has = ", ".join(map(str, record.other["lengths"]))
                print(f"{_name(record):<{wide}}does not run at {label}: its file has {has}")
        for record in others:
            _print_relative(record, label, wide)
    print()
    told = (
        "Other labels, and the largest difference of a logit: compared with the Keras "
        f"model's. Times: {first.rounds} rounds of {first.sentences} dev sentences. Ratio: "
        "time relative to our float32 file's in the same round (below 1 is faster), median "
        "and quartiles over the rounds; and that of the two shortest times."
    )
    print(textwrap.fill(told, 79))
    for record in others:
        print(textwrap.fill(_told(record), 79))


_HEADER = f"{'p50 ms':>9}{'min':>8}{'ratio':>8}   {'(quartiles)':<14}{'of min':>8}"


def _differences(record: PeerResult) -> str:
    if record.flips is None or record.largest_difference is None:
        return f"{'-':>14}{'-':>10}"
    return f"{record.flips:>14}{record.largest_difference:>10.1e}"


def _times(timed: Mapping[str, Any]) -> str:
    return f"{timed['p50']:>9.2f}{timed['min']:>8.2f}{_ratios(timed)}"


def _ratios(timed: Mapping[str, Any]) -> str:
    low, high = timed["ratio_quartiles"]
    spread = f"({low:.2f} to {high:.2f})"
    return f"{timed['ratio']:>8.2f}   {spread:<14}{timed['ratio_of_min']:>8.2f}"


def _print_relative(record: PeerResult, label: str, wide: int) -> None:
    """Print the times of a file of other weights relative to each model of the run."""
    if label not in record.latency:
        return
    print(f"{_name(record)}, {place(label)}: its time relative to that of")
    for name, timed in record.latency[label]["relative"].items():
        print(f"  {name:<{wide - 2}}{'':>17}{_ratios(timed)}")


def _told(record: PeerResult) -> str:
    """Return a sentence on a file of other weights."""
    run = record.other["run"] or "an export that does not name its run"
    return (
        f"{_name(record)}: {record.other['file']} of {run}, other weights than those of "
        f"{record.run}. It reads the same examples by its own tokenizer, each padded to the next "
        "of its lengths; its labels are not compared with the Keras model's."
    )


def place(label: str) -> str:
    """Return the words for a length, or for "unpadded"."""
    if label == UNPADDED:
        return "one example not padded (ours: to the next of its lengths)"
    return f"one example padded to {label}"


def _threads(number: int) -> str:
    return f"{number} thread{'s' if number > 1 else ''}"


def _name(record: PeerResult) -> str:
    return named(record.runtime, record.recipe, record.other)
