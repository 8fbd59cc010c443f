"""ExperimentResult: the one record that every table, plot and comparison is built from."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import os
import pathlib
import platform
import subprocess
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from bert_glue_tf.core import records
from bert_glue_tf.core.records import Record, check_types, with_nan

FILE_NAME = "results.jsonl"
# The same package under the names of its builds, of which one is installed.
_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-tpu")
_PACKAGES = (
    "tf-keras",
    "tensorflow-text",
    "tensorflow-hub",
    "tf-models-official",
    "tensorflow-model-optimization",
    "numpy",
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentResult(Record):
    """One measured model.

    Attributes:
      config: the run's `ExperimentConfig` as JSON.
      data: provenance of the examples by split (source, version, checksum, number).
      encoder: provenance of the encoder (name, version, checksum, native or opaque).
      pruning: the method's effective schedule; empty without pruning.
      metrics: name -> value on the validation split(s); NaN is stored as null.
      intervals: name -> 95 % bootstrap interval of the metric over the examples.
      sparsity: name of a pruned weight -> fraction of its elements that are zero.
      parameters: number of weights of the model, and of those that are not zero.
      bytes: the saved model's size, plain and gzipped.
      speed: examples a second in training and evaluation, seconds in all.
      peak_memory_bytes: largest resident set of the process.
      environment: device, threads, library versions, commit.
      finished: time in UTC, ISO 8601.
      warnings: why the model is worthless whatever it scores (every prediction the same, NaN,
        a score at chance), a sentence for each validation split; empty where it is not.
    """

    what_is_foreign: ClassVar[str] = "its settings, metrics and other fields are not those of a run"

    config: Mapping[str, Any]
    data: Mapping[str, Any]
    encoder: Mapping[str, Any]
    pruning: Mapping[str, Any]
    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    sparsity: Mapping[str, float]
    parameters: Mapping[str, int]
    bytes: Mapping[str, int]
    speed: Mapping[str, float]
    peak_memory_bytes: int
    environment: Mapping[str, Any]
    finished: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, values: dict[str, Any]) -> Self:
        """Return the record of a line's values; see `Record.of`."""
        check_types(cls, values)
        for group in ("metrics", "sparsity"):
            values[group] = with_nan(values[group])
        return cls(**{**values, "warnings": tuple(values.get("warnings", ()))})


def load(path: pathlib.Path) -> list[ExperimentResult]:
    """Return all records of a run's file of JSON lines; see `records.load`."""
    return records.load(path, ExperimentResult)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def versions() -> dict[str, str | None]:
    """Return package -> version (None: not installed), TensorFlow by its build's name."""
    builds = {name: version for name in _TENSORFLOW if (version := _version(name))}
    return {**(builds or {_TENSORFLOW[0]: None}), **{name: _version(name) for name in _PACKAGES}}


def environment(devices: list[str]) -> dict[str, Any]:
    """Return where a result is measured: devices, processor, versions and commit."""
    return {
        "devices": devices,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": versions(),
        "commit": commit(),
    }


def commit() -> str | None:
    """Return the commit of the code that runs, `-dirty` if changed; None outside a checkout."""
    here = pathlib.Path(__file__)

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=here.parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()

    try:
        # Fails for a copy in site-packages that happens to lie inside another checkout.
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*") or None
    except (OSError, subprocess.SubprocessError):
        return None
