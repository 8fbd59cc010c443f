"""The records of a compression: each file that was tried, each step, and what came of it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from bert_glue_tf.core import records
from bert_glue_tf.core.records import Record, check_types

# How the network of a file came about, from first to last.
ORIGINAL, SEARCHED, TRAINED, QUANTIZE_AWARE = "original", "searched", "trained", "quantize-aware"
FINAL = (
    "final"  # The choice among the files of all stages; it may be of `SEARCHED` ones alone, too.
)


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial(Record):
    """One file that was tried, scored on held-out training examples and nothing else.

    Attributes:
      run: name of its run's folder.
      stage: how its network came about, as `SEARCHED`.
      recipe: of the file.
      file: its path in the folder of the compression; empty for one that was not kept.
      sha256: of the file.
      bytes: of the file on disk.
      predicted: `bytes` and `ms` by the cost tables; empty where nothing was predicted.
      widths: heads and neurons of each layer.
      pieces: rows of its word embeddings.
      metric: name of the task's primary metric.
      score: on the held-out examples; NaN where it is undefined.
      interval: 95 % bootstrap interval of the score; null where there is none.
      loss: mean over the held-out examples.
      drop: by how much the score is lower than that of the original run's float32 file.
      drop_interval: 95 %, paired over the examples; null where it is undefined.
      rise: by how much the loss is higher than that of the same run's float32 file.
      rise_error: its standard error, paired over the examples.
      examples: number of held-out examples.
      was_seen: True where the original run was trained on these examples.
      collapsed: the reason why it is COLLAPSED; empty where it is not.
      at_chance: the reason why its score is not above chance; empty where it is, where it is
        COLLAPSED, and in an older record.
      finished: time in UTC, ISO 8601.
    """

    what_is_foreign: ClassVar[str] = "its run, file and score are not those of a trial"
    kind: ClassVar[str] = "a file that was tried"
    written_by: ClassVar[str] = "the compress command writes it"

    run: str
    stage: str
    recipe: str
    file: str
    sha256: str
    bytes: int
    predicted: Mapping[str, float]
    widths: Sequence[Mapping[str, int]]
    pieces: int
    metric: str
    score: float
    interval: Sequence[float] | None
    loss: float
    drop: float
    drop_interval: Sequence[float] | None
    rise: float
    rise_error: float
    examples: int
    was_seen: bool
    collapsed: str
    at_chance: str = ""
    finished: str = dataclasses.field(default_factory=_now)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the record of a line's values; see `Record.of`."""
        check_types(cls, values)
        numbers = ("score", "loss", "drop", "rise", "rise_error")
        return cls(**{**values, **records.with_nan({name: values[name] for name in numbers})})

    @property
    def key(self) -> tuple[str, str]:
        """The run and the recipe, which tell it from the others."""
        return self.run, self.recipe


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step(Record):
    """One step of a compression that was taken.

    Attributes:
      name: of the step.
      text: what came of it, in a sentence.
      seconds: that it took the process that has ended it; those of one that was killed in it are
        not known.
      peak_memory_bytes: the largest resident set of that process up to the step's end, without
        those of the processes that train; 0 of an older record.
      finished: time in UTC, ISO 8601.
    """

    what_is_foreign: ClassVar[str] = "its name and text are not those of a step"
    kind: ClassVar[str] = "a step of a compression"
    written_by: ClassVar[str] = "the compress command writes it"

    name: str
    text: str
    seconds: float
    peak_memory_bytes: int = 0
    finished: str = dataclasses.field(default_factory=_now)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice(Record):
    """The file that was chosen, by held-out training examples alone.

    Attributes:
      stage: `FINAL`, or that of the last files that were there: `SEARCHED`, `TRAINED`.
      run: name of the chosen file's run.
      recipe: of the file.
      missed: name of a limit -> the value of the file, for those that it does not keep.
      reason: why it was chosen, in a sentence.
      milliseconds: "run recipe" -> median of one example, of all files in one session.
      session: of these times.
    """

    what_is_foreign: ClassVar[str] = "its run and recipe are not those of a choice"
    kind: ClassVar[str] = "a choice among files"
    written_by: ClassVar[str] = "the compress command writes it"

    stage: str
    run: str
    recipe: str
    missed: Mapping[str, float]
    reason: str
    milliseconds: Mapping[str, float]
    session: str
    finished: str = dataclasses.field(default_factory=_now)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome(Record):
    """The result of a compression: the chosen file beside the original run's float32 file.

    Attributes:
      stage: of the choice.
      settings: of the compression, as JSON.
      original: `run`, `bytes`, `ms`, `score` and `interval` on the validation split(s).
      file: the same of the chosen file, its `recipe`, `sha256` and `path`, and why it is
        `collapsed` on the validation split(s), or `at_chance`, or nothing.
      predicted: `bytes` and `ms` by the cost tables.
      in_turns: milliseconds of the file, `predicted` by the costs of its parts and `measured`, all
        in one session, and `busy`, a warning that others kept the machine at work meanwhile, or
        nothing; empty where nothing was predicted, and in an older record.
      held_out: `original` and `file`, the scores that the choice was made by, and `examples`.
      missed: name of a limit -> the value of the file, for those that it does not keep.
      kept_when_chosen: name of a limit of `missed` that the file kept when it was chosen -> the
        value that it had then.
      metric: name of the primary metric.
      difference: of the validation scores, file minus original: `mean`, `low`, `high` (95 %,
        paired), `p`, `test`, and `equal` within `margin` (`yes`, `no`, `unknown`).
      examples: of the validation split(s).
      length: in word pieces, at which `ms` is.
      threads: of LiteRT.
      session: of the times; both files in turns.
      busy: a warning that others kept the machine at work; empty where they did not.
      cut: that the file reads less of long texts than the original; empty where it does not.
      source: where the data came from.
      widths: heads and neurons of each layer, `before` and `after`.
      pieces: rows of the word embeddings, before and after.
      environment: versions and commit.
      finished: time in UTC, ISO 8601.
    """

    what_is_foreign: ClassVar[str] = "its file and original are not those of a compression"
    kind: ClassVar[str] = "a compression"
    written_by: ClassVar[str] = "the compress command writes it"

    stage: str
    settings: Mapping[str, Any]
    original: Mapping[str, Any]
    file: Mapping[str, Any]
    predicted: Mapping[str, float]
    held_out: Mapping[str, Any]
    missed: Mapping[str, float]
    metric: str
    difference: Mapping[str, Any]
    examples: int
    length: int
    threads: int
    session: str
    busy: str
    source: str
    widths: Mapping[str, Sequence[Mapping[str, int]]]
    pieces: Sequence[int]
    environment: Mapping[str, Any]
    cut: str = ""
    kept_when_chosen: Mapping[str, float] = dataclasses.field(default_factory=dict)
    in_turns: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    finished: str = dataclasses.field(default_factory=_now)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the record of a line's values; see `Record.of`."""
        check_types(cls, values)
        found = dict(values["difference"])
        found |= records.with_nan({name: found[name] for name in ("mean", "low", "high", "p")})
        for name in ("original", "file"):
            values[name] = {**values[name], **records.with_nan({"score": values[name]["score"]})}
        return cls(**{**values, "difference": found})

    @property
    def times_smaller(self) -> float:
        """Bytes of the original over those of the file."""
        return float(self.original["bytes"] / self.file["bytes"])

    @property
    def times_as_fast(self) -> float:
        """Milliseconds of the original over those of the file, in one session."""
        return float(self.original["ms"] / self.file["ms"])
