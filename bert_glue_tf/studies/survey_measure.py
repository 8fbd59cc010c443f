"""Measures what the survey's records do not hold, and keeps it in `measured.json`.

The latency of all files, interleaved in one run, and each model's robustness. It is measured anew
where the files or the models are others.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from bert_glue_tf.core import cli, files, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.evaluation import robustness
from bert_glue_tf.evaluation.defaults import TYPOS
from bert_glue_tf.export.defaults import LENGTHS, REPETITIONS, THREADS
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.models import encoders
from bert_glue_tf.runs import finished
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.results import ExperimentResult

FLOAT32, INT8 = "float32", "dynamic_int8"
MEASURED = "measured.json"
_BATCH = 64


@dataclasses.dataclass(frozen=True)
class MeasureSettings:
    """The settings by which the files are made and timed.

    Attributes:
      seq_lengths: lengths of the files in word pieces.
      threads: of LiteRT.
      repetitions: timed runs of each file at each length.
      rate: of the typos, see `robustness.typos`.

    Raises:
      UserError: a length is none that an encoder can have, or the rate is no share.
    """

    seq_lengths: tuple[int, ...] = LENGTHS
    threads: int = THREADS
    repetitions: int = REPETITIONS
    rate: float = TYPOS

    def __post_init__(self) -> None:
        low, high = encoders.MIN_SEQ_LENGTH, encoders.MAX_SEQ_LENGTH
        if not all(low <= length <= high for length in self.seq_lengths):
            given = ",".join(map(str, self.seq_lengths))
            raise UserError(f"--seq_lengths={given}: give whole numbers from {low} to {high}.")
        if not 0 <= self.rate <= 1:
            raise UserError(f"--typos={self.rate}: must be from 0 to 1.")


@dataclasses.dataclass(frozen=True)
class Costs:
    """The measured costs of one model, that of the first seed.

    Attributes:
      config: of its run.
      record: its run's.
      files: recipe -> record of the file; empty where it could not be exported.
      latency: length -> milliseconds p50, p90 and min of `dynamic_int8`, and `float32_p50` of
        the unpruned model's float32 file, all files of the survey in turns.
      robustness: validation split -> see `robustness.measure`.
      reason: why there are no files.
      session: the one in which `latency` was measured.
      recipe: of the file that the row is about, as the one that its training has rounded for;
        empty where it is about none.
      own_latency: as `latency`, of that file.
    """

    config: ExperimentConfig
    record: ExperimentResult
    files: Mapping[str, ExportResult]
    latency: Mapping[str, Mapping[str, float]]
    robustness: Mapping[str, Any]
    reason: str
    session: str = ""
    recipe: str = ""
    own_latency: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)

    @property
    def own(self) -> ExportResult | None:
        """The record of the file that the row is about."""
        return self.files.get(self.recipe)


def measure(
    folders: Mapping[str, pathlib.Path],
    configs: Mapping[str, ExperimentConfig],
    unpruned: str,
    settings: MeasureSettings,
    output: pathlib.Path,
    recipes: Mapping[str, str] | None = None,
) -> dict[str, Costs]:
    """Export and measure finished runs; what was measured before is kept.

    Args:
      folders: label -> folder of its run.
      configs: label -> its run's settings.
      unpruned: the label of the unpruned model, which is among them.
      settings: of the measurements.
      output: the folder of `measured.json`.
      recipes: label -> recipe of the file that the row is about, for rows that are about one.

    Returns:
      The labels -> what was measured.

    Raises:
      UserError: the unpruned model cannot be exported, since everything is compared with it; or
        the folder cannot be written.
    """
    own = recipes or {}
    exported, reasons = {}, {}
    for label, folder in folders.items():
        exported[label], reasons[label] = _exported(folder, own.get(label, ""), settings)
    if reasons[unpruned]:
        raise UserError(f"the unpruned model cannot be exported: {reasons[unpruned]}")
    try:
        output.mkdir(parents=True, exist_ok=True)
        kept = _Kept(output / MEASURED)
        session, latency = _latency(kept, folders, exported, settings, unpruned)
        robust = {
            label: _robustness(kept, configs[label], folder, settings)
            for label, folder in folders.items()
        }
    except OSError as error:
        raise UserError(
            f"--output={output}: cannot be written ({error.strerror}). "
            "Give a folder that you may write, on a disk with space left."
        ) from error
    return {
        label: Costs(
            configs[label],
            finished.Run.read(folder).result,
            exported[label],
            latency.get(label, {}),
            robust[label],
            reasons[label],
            session,
            own.get(label, ""),
            latency.get(_timed_name(label, own.get(label, INT8)), {}),
        )
        for label, folder in folders.items()
    }


class _Kept:
    """The file measured.json: measured values, each with the facts that decide it."""

    def __init__(self, path: pathlib.Path) -> None:
        self._path = path
        try:
            text = path.read_text(encoding="utf-8") if path.exists() else "{}"
            self._values: dict[str, Any] = dict(strict_json.loads(text))
            if not all(set(value) == {"key", "value"} for value in self._values.values()):
                raise ValueError("an entry has not the form {key, value}")
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"{path}: not what a survey has measured ({error}). Delete it to measure anew."
            ) from None

    def get(self, name: str, key: Any) -> Any:
        """Return the value that was measured under a name with the same key; else None."""
        found = self._values.get(name)
        return found["value"] if found and found["key"] == key else None

    def put(self, name: str, key: Any, value: Any) -> None:
        """Keep a value under a name, with the facts that decide it."""
        self._values[name] = {"key": key, "value": value}
        write_atomically(self._path, json.dumps(self._values, indent=1) + "\n")


def _exported(
    folder: pathlib.Path, own: str, settings: MeasureSettings
) -> tuple[dict[str, ExportResult], str]:
    """Return the records of a run's files, and why one is missing; empty where none is.

    The command makes them in a process of its own: a conversion leaves much memory behind.

    Args:
      folder: of the run.
      own: recipe of the file that the row is about; empty for none.
      settings: of the measurements.
    """
    wanted = tuple(dict.fromkeys(filter(None, (FLOAT32, INT8, own))))
    lengths = sorted(
        {min(n, finished.Run.read(folder).config.seq_length) for n in settings.seq_lengths}
    )
    found = _files(folder, lengths, wanted)
    if found:
        return found, ""
    logging.info("exporting %s", folder)
    line = [
        f"--run={folder}",
        f"--recipes={','.join(wanted[1:])}",
        f"--seq_lengths={','.join(map(str, lengths))}",
        f"--threads={settings.threads}",
        f"--latency_repetitions={settings.repetitions}",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "bert_glue_tf.export_tflite", *line],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if not done.returncode:
        return _files(folder, lengths, wanted), ""
    # Those that every row has may be there: then one's own could not be made.
    found = _files(folder, lengths, wanted[:2])
    lines = done.stderr.strip().splitlines()
    errors = [text for text in lines if text.startswith("error: ")]
    if done.returncode == cli.USER_ERROR and errors:
        return found, f"not exported: {errors[-1].removeprefix('error: ')}"
    last = lines[-1] if lines else "no output"
    return found, f"not exported: exit status {done.returncode}: {last}"


def _files(
    folder: pathlib.Path, lengths: Sequence[int], recipes: Sequence[str]
) -> dict[str, ExportResult]:
    """Return the records of files of a run; empty unless all are there for these lengths."""
    records = ExportFolder(folder / FOLDER).records()
    found = {name: records[name] for name in recipes if name in records}
    same = all(list(record.seq_lengths) == list(lengths) for record in found.values())
    return found if same and len(found) == len(recipes) else {}


def _timed_name(label: str, recipe: str) -> str:
    """Return the name of a file among those that are timed; no label has a blank."""
    return label if recipe == INT8 else f"{label} {recipe}"


def _latency(
    kept: _Kept,
    folders: Mapping[str, pathlib.Path],
    files: Mapping[str, Mapping[str, ExportResult]],
    settings: MeasureSettings,
    unpruned: str,
) -> tuple[str, dict[str, dict[str, dict[str, float]]]]:
    """Return the session, and `_timed_name` -> length -> milliseconds of that file.

    Each row has its dynamic_int8 file in it, and the one that it is about.
    """
    chosen = {
        _timed_name(label, recipe): (folders[label], recipe, record)
        for label, found in files.items()
        for recipe, record in found.items()
        if recipe != FLOAT32
    }
    # No method has an empty name.
    chosen[""] = (folders[unpruned], FLOAT32, files[unpruned][FLOAT32])
    key = {
        "sha256": {name: record.sha256 for name, (_, _, record) in chosen.items()},
        "threads": settings.threads,
        "repetitions": settings.repetitions,
    }
    known, session = kept.get("latency", key), kept.get("session", key)
    if known and session:  # Without its name the session's times could not be plotted.
        return str(session), dict(known)
    from bert_glue_tf.export import benchmark, timings

    paths = {
        name: ExportFolder(folder / FOLDER).model(recipe)
        for name, (folder, recipe, _) in chosen.items()
    }
    # Two rows may be one run, whose file is timed once.
    distinct = {
        paths[name]: benchmark.File(paths[name], folder.name, recipe)
        for name, (folder, recipe, _) in chosen.items()
    }
    times = benchmark.session(
        list(distinct.values()),
        files[unpruned][FLOAT32].seq_lengths,
        threads=settings.threads,
        repetitions=settings.repetitions,
    )
    timed = dict(zip(distinct, times, strict=True))
    base = timed[paths.pop("")]
    found = {name: timings.with_float32(timed[path], base) for name, path in paths.items()}
    kept.put("session", key, base.session)
    kept.put("latency", key, found)
    return base.session, found


def _robustness(
    kept: _Kept, config: ExperimentConfig, folder: pathlib.Path, settings: MeasureSettings
) -> dict[str, Any]:
    """Return validation split -> the scores of the run's model on what is harder or elsewhere."""
    weights = folder / "model" / "variables" / "variables.data-00000-of-00001"
    record = finished.Run.read(folder).result
    task = tasks.of(record)
    key = {
        "weights_sha256": files.sha256(weights),
        "data_sha256": [record.data[split]["sha256"] for split in task.validation_splits.values()],
        "rate": settings.rate,
    }
    known = kept.get(f"robustness of {config.run_name}", key)
    if known:
        return dict(known)
    logging.info("robustness of %s", config.run_name)
    import tf_keras

    from bert_glue_tf.serving.classifier import Classifier

    model = Classifier.load(folder, settings.threads)
    train = readers.load(task, config.data, "train")
    found = {
        split: robustness.measure(
            model.predict_fn,
            model.preprocessor,
            task,
            readers.load(task, config.data, split),
            train,
            batch_size=_BATCH,
            layout=model.layout,
            rate=settings.rate,
        )
        for split in task.validation_splits.values()
    }
    tf_keras.backend.clear_session()  # The next model needs the memory.
    kept.put(f"robustness of {config.run_name}", key, found)
    return found
