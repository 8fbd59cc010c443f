"""The record of one measured .tflite file."""

from __future__ import annotations

import dataclasses
import datetime
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from bert_glue_tf.core.records import Record, check_types, with_nan
from bert_glue_tf.data import tasks

# `ranges` in what a record says of the quantization, where the grids were trained with the weights.
TRAINED = "trained"
# In `parity`: the root mean square difference of a logit from the Keras model's, as a share of the
# standard deviation of those. One rounding that differs moves all that come after it, so that the
# largest difference of many examples says little of a quantized file.
OF_SPREAD = "rms_difference_of_spread"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportResult(Record):
    """The record of one measured .tflite file.

    Attributes:
      run: the source run's folder.
      config: the source run's `ExperimentConfig` as JSON.
      data: provenance of the validation split(s), and of the calibration sentences.
      encoder: provenance of the encoder.
      recipe: name of the quantization recipe.
      file: name of the file in the export's folder.
      sha256: of the file.
      seq_lengths: lengths that the file runs at.
      metrics: name -> value on the validation split(s); NaN is stored as null.
      intervals: name -> 95 % bootstrap interval of the metric over the examples.
      collapsed: the reason why the file is COLLAPSED; empty where it is not.
      flips: examples whose label differs from float32's.
      parity: largest difference of a logit from the Keras model's, over the examples that are
        not longer than the longest length; the root mean square difference as a share of their
        standard deviation (`OF_SPREAD`; not in older records); labels that differ; the
        number of examples; and of float32 the largest difference of padded texts at each length
        (`parity.PADDED`).
      parameters: of the source run's model.
      bytes: of the file, plain and gzipped, and of the source run's SavedModel.
      operators: name -> number in the signature of the longest length.
      pieces: into how many delegated pieces LiteRT cuts that signature.
      latency: length -> milliseconds p50, p90, min of one example, and `float32_p50`, that of
        float32 interleaved in the same run.
      threads: of the latency and the evaluation.
      peak_memory_bytes: of fresh processes that load the file and predict once (`total`, the
        median, with `total_min` and `total_max`), and of those that only start (`empty`, ...).
      quantization: what int8's selection found; empty for the others.
      environment: device, library versions, commit.
      finished: time in UTC, ISO 8601.
      at_chance: the reason why the file is not above chance; empty where it is, or COLLAPSED; None
        in a record that is older than the field.
      busy: a warning that others kept the machine at work while the latency was measured; empty
        where they did not.
      own_task: what describes a task of the user's own; empty for a known one.
      thresholds: the source run's, at which this file's precision and recall are measured.
      size: name of the network, where the source run's weights hold several; else empty.
    """

    what_is_foreign: ClassVar[str] = "no record of an export"

    run: str
    config: Mapping[str, Any]
    data: Mapping[str, Any]
    encoder: Mapping[str, Any]
    recipe: str
    file: str
    sha256: str
    seq_lengths: Sequence[int]
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    collapsed: str
    flips: int
    parity: Mapping[str, float]
    parameters: Mapping[str, int]
    bytes: Mapping[str, int]
    operators: Mapping[str, int]
    pieces: int
    latency: Mapping[str, Mapping[str, float]]
    threads: int
    peak_memory_bytes: Mapping[str, int]
    quantization: Mapping[str, Any]
    environment: Mapping[str, Any]
    finished: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )
    at_chance: str | None = None
    busy: str = ""
    own_task: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    thresholds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    size: str = ""

    @property
    def examples(self) -> int:
        """The validation examples on which the file was scored."""
        splits = tasks.of(self).scored_splits.values()
        return sum(self.data[split]["examples"] for split in splits)

    @property
    def cut(self) -> str:
        """Return that the file reads less of long texts than its run did; empty where it does not.

        Examples of exactly the longest length count among the cut ones: the tokenizer cuts before
        it counts.
        """
        longest, of_run = max(self.seq_lengths), self.config["seq_length"]
        number = self.examples - int(self.parity["examples"])
        if longest >= of_run or not number:
            return ""
        return (
            f"{number:,} of the {self.examples:,} validation examples fill all {longest} word "
            f"pieces that the files read, or are longer and are cut; the run reads {of_run}. All "
            "are scored, so that a difference of the scores is not one of the recipe alone."
        )

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the record of a line's values; see `Record.of`."""
        check_types(cls, values)
        recipe = values["recipe"]
        # They become names in the export's folder, and must not lead out of it.
        if not re.fullmatch(r"[\w+-]+", recipe) or values["file"] != f"{recipe}.tflite":
            raise ValueError(f"{recipe!r} with the file {values['file']!r} is no recipe")
        for group in ("metrics", "thresholds"):
            values[group] = with_nan(values.get(group, {}))
        return cls(**values)
