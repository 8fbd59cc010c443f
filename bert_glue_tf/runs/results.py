"""ExperimentResult: the one record that every table, plot and comparison is built from."""

from __future__ import annotations

import dataclasses
import datetime
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import re
import subprocess
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, Self, TypeVar

from absl import logging

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError

FILE_NAME = "results.jsonl"
_LARGEST = 2**63  # No count of bytes, weights or milliseconds is beyond it.
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
class ExperimentResult:
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

    def to_line(self) -> str:
        """The record as one line of strict JSON, without the line break."""
        return to_json_line(self)

    @classmethod
    def from_line(cls, line: str) -> ExperimentResult:
        """Reads what `to_line` wrote.

        Raises:
          ValueError: the line is no such record.
        """
        values = strict_json.loads(line)
        names = {field.name for field in dataclasses.fields(cls)}
        # The first records of version 0.1.0 hold no warnings.
        if not isinstance(values, dict) or {*values, "warnings"} != names:
            raise ValueError("its settings, metrics and other fields are not those of a run")
        values.setdefault("warnings", [])
        check_types(cls, values)
        values["warnings"] = tuple(values["warnings"])
        for group in ("metrics", "sparsity"):
            values[group] = {
                name: math.nan if value is None else value for name, value in values[group].items()
            }
        return cls(**values)


class Record(Protocol):
    """What `append` and `load` need of a record."""

    def to_line(self) -> str: ...

    @classmethod
    def from_line(cls, line: str) -> Self: ...


_R = TypeVar("_R", bound=Record)


def check_types(record: type, values: Mapping[str, Any]) -> None:
    """Compares what a line of JSON holds with the annotations of a record's fields.

    A number may be null, as NaN is written. What is annotated `Any` is what differs from run to
    run, and is not looked at.

    Raises:
      ValueError: naming a field that holds something else.
    """
    for name, wanted in typing.get_type_hints(record).items():
        if not _fits(values[name], wanted):
            kind = getattr(wanted, "__name__", "") if not typing.get_args(wanted) else str(wanted)
            kind = re.sub(r"\b(collections\.abc|typing)\.", "", kind)
            raise ValueError(f"its {name} is no {kind}")


def _fits(value: Any, wanted: Any) -> bool:
    origin, inner = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is Any:
        return True
    if wanted is float:
        return value is None or _fits(value, int) or type(value) is float
    if wanted is int:
        return type(value) is int and abs(value) < _LARGEST
    if origin is Mapping:
        return isinstance(value, dict) and all(_fits(item, inner[1]) for item in value.values())
    if origin is Sequence or (origin is tuple and inner[-1] is Ellipsis):
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    if origin is tuple:
        return (
            isinstance(value, list) and len(value) == len(inner) and all(map(_fits, value, inner))
        )
    return isinstance(value, wanted)


def to_json_line(record: Any) -> str:
    """A dataclass as one line of strict JSON; NaN and infinities as null."""
    return json.dumps(_without_nan(dataclasses.asdict(record)), allow_nan=False)


def _without_nan(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return value


def append(path: pathlib.Path, result: Record) -> None:
    """Adds the record to a file of JSON lines; what stands there is never touched.

    A last line that was cut short (a full disk, a killed process) is closed first, so that it
    cannot swallow the new record.
    """
    line = result.to_line() + "\n"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = "\n" + line
        data = line.encode()
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load(path: pathlib.Path) -> list[ExperimentResult]:
    """All records of a run's file of JSON lines; see `load_records`."""
    return load_records(path, ExperimentResult)


def load_records(path: pathlib.Path, kind: type[_R]) -> list[_R]:
    """All records of one kind in a file of JSON lines that holds no others.

    A line that begins as a record and was cut short (a full disk, a killed process) is
    passed over with a warning.

    Raises:
      UserError: the file cannot be read, or a line is no record (the message names it).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a readable file of results ({error}).") from error
    records = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            records.append(kind.from_line(line))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if _is_cut_short(line, kind, error):
                logging.warning(
                    "%s:%d: a record that was cut short when it was written; passed over",
                    path,
                    number,
                )
                continue
            raise UserError(
                f"{path}:{number}: no record of a run ({error}). Each line must be one as the "
                "train command writes it, in the folder of the run itself."
            ) from error
    return records


def _is_cut_short(line: str, kind: Any, error: Exception) -> bool:
    """Whether a line that is no record begins as one and ends before its last brace."""
    if not isinstance(error, json.JSONDecodeError):
        return False
    start = f'{{"{dataclasses.fields(kind)[0].name}": '  # Fields are written in their order.
    begins = line.startswith(start) or start.startswith(line)
    return begins and (error.pos >= len(line) or not line.endswith("}"))


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _versions() -> dict[str, str | None]:
    """Package -> version, None where it is not installed; TensorFlow by its build's name."""
    builds = {name: version for name in _TENSORFLOW if (version := _version(name))}
    return {**(builds or {_TENSORFLOW[0]: None}), **{name: _version(name) for name in _PACKAGES}}


def environment(devices: list[str]) -> dict[str, Any]:
    """Where a result was measured: devices, processor, threads, versions and commit."""
    return {
        "devices": devices,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "packages": _versions(),
        "commit": _commit(),
    }


def _commit() -> str | None:
    """Commit of the code that runs, `-dirty` if changed since; None outside a checkout."""
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
