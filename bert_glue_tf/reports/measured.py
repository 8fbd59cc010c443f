"""Model: one trained model or exported file, with all that its record says of it."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.analysis.record import Sensitivity
from bert_glue_tf.compression import described
from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation.collapse import Mark, Marked
from bert_glue_tf.export.timings import Timing
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED
from bert_glue_tf.models.settings import QuantizationSettings
from bert_glue_tf.runs import identity
from bert_glue_tf.runs.config import PRUNING
from bert_glue_tf.runs.settings import TEACHING

KERAS = "keras"  # Stands for the recipe of a model that was not exported.
REFERENCE = "float32"
SAMPLE = "sample"  # The name of the generated data.
# Settings that tell two trainings of the same experiment apart, or do not decide the model.
BUT_SEED = ("seed",)
BUT_PRUNING = (*BUT_SEED, "pruning_method", *PRUNING)
BUT_TEACHER = (*BUT_SEED, *TEACHING)
BUT_QUANTIZATION = (*BUT_SEED, *QuantizationSettings.names())
BUT_PRUNING_AND_TEACHER = (*BUT_PRUNING, *TEACHING)

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Time:
    """The time of a file in the session that its comparison has chosen; see `times.share`.

    Attributes:
      session: its name; only times of the same session compare.
      length: in word pieces.
      milliseconds: median of one example of that length.
      speed: times as fast as the reference.
      reference: run and recipe of the file that all are compared with.
      base: that file's own times, with the machine, the threads and the load.
    """

    session: str
    length: str
    milliseconds: float
    speed: float
    reference: str
    base: Timing


@dataclasses.dataclass(frozen=True)
class Pruned:
    """The weights that a run has pruned.

    Attributes:
      number: of them.
      fraction: of the weights among which was pruned.
      part: what these are, as `the classifier`.
      of_model: the fraction of all weights that the model had before, all that has gone with them
        included.
    """

    number: int
    fraction: float
    part: str
    of_model: float

    @classmethod
    def of(cls, config: Mapping[str, Any], parameters: Mapping[str, int]) -> Pruned:
        """Return the weights that a record says are pruned.

        Args:
          config: the settings of its run.
          parameters: its counts, `prunable` above 0.
        """
        number, total = parameters["pruned"], parameters["total"]
        zeros = total - parameters["nonzero"]
        # Records of before 30 November 2026 do not say how many weights there were. What is pruned
        # and no zero has been cut out, and is not in the total.
        whole = parameters.get("whole", total + max(0, number - zeros))
        # With a filter go the next layer's weights for it, which are none of those that are pruned.
        gone = number if whole == total else max(number, whole - total + zeros)
        return cls(number, number / parameters["prunable"], described.part(config), gone / whole)


@dataclasses.dataclass(frozen=True)
class Model:
    """One record, trained model or exported file, as a comparison sees it.

    Attributes:
      run: name of the run's folder; its path where two folders have the same name.
      recipe: quantization recipe, or `keras`.
      config: the run's settings.
      data: provenance of the validation split(s) and the training split.
      encoder: name of the encoder.
      encoder_digest: SHA-256 of its files, as far as it is known.
      metrics: name -> value.
      intervals: name -> 95 % bootstrap interval.
      marked: the reasons why it is COLLAPSED, or not above chance.
      flips: labels that differ from float32's; None for a trained model.
      sparsity: pruned weights over those that could be; None without pruning.
      parameters: number of weights, and of those that are not zero.
      bytes: plain and gzipped.
      peak_memory_bytes: of a process that predicts once; None if not exported.
      predictions: split -> file with the answers.
      history: the run's curves, a dict of text an epoch.
      widths: `before` and `after` the pruning, for each layer the number of its units by name;
        empty where the record does not say.
      folder: of the run.
      timings: of the file, one a session; empty if it is not exported or was never timed.
      time: that of the session which all files of the comparison share; None without one.
      own_task: what describes a task of the user's own; empty for a known one.
      thresholds: names of operating points -> the probability from which an answer is positive.
      teacher: what its teacher is (`identity.teacher`); empty without one.
      sensitivity: what its parts are worth; empty where that was not measured.
      is_tested: whether it is judged on the task's test splits instead of the validation splits.
      size: name of the network, where the run's weights hold several; else empty.
      start: what its record says of the run whose weights its training began with: `run`, its name,
        and `metrics`, its scores; empty where there is none.
    """

    run: str
    recipe: str
    config: Mapping[str, Any]
    data: Mapping[str, Any]
    encoder: str
    encoder_digest: str
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    marked: Marked
    flips: int | None
    sparsity: float | None
    parameters: Mapping[str, int]
    bytes: Mapping[str, int]
    peak_memory_bytes: int | None
    predictions: Mapping[str, pathlib.Path]
    history: Sequence[Mapping[str, str]]
    widths: Mapping[str, Sequence[Mapping[str, int]]]
    folder: pathlib.Path
    timings: Sequence[Timing] = ()
    time: Time | None = None
    own_task: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    teacher: str = ""
    sensitivity: Sequence[Sensitivity] = ()
    is_tested: bool = False
    size: str = ""
    start: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def task(self) -> tasks.TaskSpec:
        """The task that it was trained on."""
        return tasks.of(self)

    @property
    def seed(self) -> int:
        """The seed of its training."""
        return int(self.config["seed"])

    @property
    def method(self) -> str:
        """The pruning method; `none` without pruning."""
        return str(self.config["pruning_method"])

    @property
    def is_quantize_aware(self) -> bool:
        """Tell if its training rounded weights and activations."""
        return bool(self.config["quantize_aware"] != NOT_QUANTIZED)

    @property
    def collapsed(self) -> str:
        """The reason why it is COLLAPSED; empty where it is not."""
        return self.marked.collapsed

    @property
    def mark(self) -> Mark | None:
        """The mark that it is shown with; None where it needs none."""
        return self.marked.mark

    @property
    def source(self) -> str:
        """Where the data came from: `sample` is named wherever its results are."""
        return str(next(iter(self.data.values()))["name"])

    @property
    def subject(self) -> tuple[str, str, str]:
        """Task, source of the data and encoder: only models that share them are compared."""
        return self.task.name, self.source, self.encoder

    @property
    def splits(self) -> Mapping[str, str]:
        """Suffix of the metrics' names -> split that it is judged on."""
        return self.task.test_splits if self.is_tested else self.task.validation_splits

    @property
    def examples(self) -> int:
        """Number of the examples that it is judged on, all these splits together."""
        return sum(self.data[split]["examples"] for split in self.splits.values())

    @property
    def primary(self) -> float:
        """The task's primary metric, its mean over the splits that it is judged on."""
        return self.score(self.task.primary_metric)

    def score(self, metric: str) -> float:
        """Return one of the task's metrics, its mean over the splits that it is judged on."""
        names = [f"{metric}{suffix}" for suffix in self.splits]
        return float(np.mean([self.metrics[name] for name in names]))

    @property
    def primary_names(self) -> list[str]:
        """Names of the primary metric in `metrics`, one for each split that it is judged on."""
        return [f"{self.task.primary_metric}{suffix}" for suffix in self.splits]

    @property
    def interval(self) -> Interval | None:
        """95 % bootstrap interval of `primary`, its ends' means over the splits."""
        return self.interval_of(self.task.primary_metric)

    def interval_of(self, metric: str) -> Interval | None:
        """Return the 95 % bootstrap interval of one of the task's metrics, as `interval`."""
        return mean_interval([self.intervals.get(f"{metric}{suffix}") for suffix in self.splits])

    @property
    def digests(self) -> dict[str, str]:
        """Split -> SHA-256 of its data."""
        return {split: str(read["sha256"]) for split, read in self.data.items()}

    @property
    def milliseconds(self) -> float | None:
        """Median time of one example, in the session that the comparison shares."""
        return self.time.milliseconds if self.time else None

    @property
    def speed(self) -> float | None:
        """Times as fast as the comparison's reference, in that session."""
        return self.time.speed if self.time else None

    @property
    def session(self) -> str | None:
        """The session of `milliseconds` and `speed`: those of two sessions do not compare."""
        return self.time.session if self.time else None

    @functools.cached_property
    def prunings(self) -> tuple[described.Pruning, ...]:
        """The settings of each of its pruning methods; none without pruning."""
        return described.prunings(self.config)

    @functools.cached_property
    def deciding(self) -> dict[str, Any]:
        """The settings that come into the model: of the pruning's, those that its methods use."""
        return identity.deciding(self.config, self.prunings, self.teacher)

    @property
    def pruned(self) -> Pruned | None:
        """The weights that are pruned, and of what; None without pruning."""
        if self.method == NO_PRUNING or not self.parameters.get("prunable"):
            return None
        return Pruned.of(self.config, self.parameters)

    def key(self, without: Iterable[str] = BUT_SEED) -> str:
        """Return a text that is equal for models that differ only in the settings `without`.

        Data, encoder and teacher count by their content, not by the path that led to them.
        """
        content = [self.source, self.digests, self.encoder, self.encoder_digest]
        left_out = set(without)
        if "pruning_method" not in left_out:
            content = identity.of_size(content, self.size)
        return identity.key(self.deciding, self.prunings, content, self.recipe, left_out)


def mean_interval(intervals: Sequence[Interval | None]) -> Interval | None:
    """Return the means of the ends; None where one of the intervals is missing or undefined."""
    ends = [pair for pair in intervals if pair and None not in pair]
    if not ends or len(ends) < len(intervals):
        return None
    return float(np.mean([low for low, _ in ends])), float(np.mean([high for _, high in ends]))
