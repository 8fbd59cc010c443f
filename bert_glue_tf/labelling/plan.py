"""The plan of a labelling: its model, and which parts of an input become which of the output."""

from __future__ import annotations

import dataclasses
import glob
import os
import pathlib
from collections.abc import Sequence
from typing import Any, Self

from bert_glue_tf.core import files
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export.folder import ExportFolder
from bert_glue_tf.runs import results
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.serving.classifier import Classifier, check_point
from bert_glue_tf.serving.parts import labelled


@dataclasses.dataclass(frozen=True)
class LabelSettings:
    """The settings that decide the labels.

    Attributes:
      model: absolute path of a run's folder, or of a .tflite file.
      digest: SHA-256 of the file, or of the run's record.
      text_columns: of the texts; empty for those of the training, or with usual names.
      at: "recall" or "precision", whose threshold answers; empty for none.
      root: absolute path of the folder of the input, below which the parts lie.
    """

    model: str
    digest: str
    text_columns: tuple[str, ...] = ()
    at: str = ""
    root: str = ""

    @classmethod
    def of(
        cls, model: pathlib.Path, pattern: str, text_columns: Sequence[str] = (), at: str = ""
    ) -> Self:
        """Return the settings for a model, which is looked at without TensorFlow.

        Args:
          model: path of a run's folder or of a file.
          pattern: value of --input.
          text_columns: of the texts.
          at: "recall", "precision" or empty.

        Raises:
          UserError: there is no such file or finished run, it has no such threshold, or it takes
            another number of texts.
        """
        path = pathlib.Path(os.path.abspath(model))
        if path.is_dir() and not ExportFolder(path).settings_file.is_file():
            run = Run.read(path, "model")
            task, thresholds = run.task, run.result.thresholds
        else:
            classifier = Classifier.load(path, 1)
            task, thresholds = classifier.task, classifier.thresholds
        if at:
            check_point(at, task, thresholds)
        task.modality.require_texts(
            f"--model={model}",
            "a model of texts; for these python -m bert_glue_tf.predict "
            f"--model={model} --input=...",
        )
        if text_columns and len(text_columns) != len(task.text_fields):
            raise UserError(
                f"--text_columns={','.join(text_columns)}: {task.name} takes "
                f"{len(task.text_fields)} text(s) ({', '.join(task.text_fields)})."
            )
        return cls(str(path), digest_of(path), tuple(text_columns), at, root_of(pattern))

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON; the model is told by its digest, wherever it lies."""
        return {
            "digest": self.digest,
            "text_columns": list(self.text_columns),
            "at": self.at,
            "root": self.root,
        }


def digest_of(model: pathlib.Path) -> str:
    """Return the SHA-256 of a .tflite file, or of a run's record.

    Raises:
      OSError: it cannot be read.
    """
    return files.sha256(model / results.FILE_NAME if model.is_dir() else model)


def root_of(pattern: str) -> str:
    """Return the absolute path of the folder that stands in a pattern before its first wildcard."""
    path = pathlib.PurePath(os.path.abspath(os.path.expanduser(pattern)))
    parts = [*path.parts[:-1]]
    fixed = next((place for place, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return str(pathlib.PurePath(*parts[:fixed]))


@dataclasses.dataclass(frozen=True)
class Part:
    """A file of the input, and where its labels go.

    Attributes:
      source: absolute path of the file.
      name: of the file with its labels, within the output's folder.
      size: bytes of the source.
      changed: when the source was last changed, in nanoseconds.
    """

    source: str
    name: str
    size: int
    changed: int


def parts(pattern: str, output: str | pathlib.Path = "") -> list[Part]:
    """Return the parts that a pattern names, in the order of their names.

    Folders below that of the pattern (`root_of`) are in the output, too.

    Args:
      pattern: value of --input: a file, or a pattern as `texts/*.jsonl`; `**` stands for any
        folders.
      output: folder whose files are none of the input's; empty where there is none.

    Raises:
      UserError: it names no file, one of a format that is not read, or two whose labels would go
        into one file.
    """
    try:
        found = sorted(glob.glob(os.path.expanduser(pattern), recursive=True))
    except (ValueError, RuntimeError):  # A NUL.
        found = []
    sources = [os.path.abspath(path) for path in found if os.path.isfile(path)]
    if output:
        own = os.path.join(os.path.abspath(output), "")
        sources = [path for path in sources if not path.startswith(own)]
    if not sources:
        raise UserError(
            f"--input={pattern}: no such file. Good: a file, or a pattern in quotes that names "
            f"some, as 'texts/*.jsonl': {labelled.GOOD}."
        )
    root = root_of(pattern)
    made: dict[str, Part] = {}
    for source in sources:
        path = pathlib.Path(source)
        labelled.check(path)
        try:
            state = path.stat()
        except OSError as error:
            raise UserError(f"{source}: cannot be read ({files.reason(error)}).") from None
        folder = os.path.relpath(path.parent, root)
        name = os.path.normpath(os.path.join(folder, labelled.target_name(path)))
        if name in made:
            raise UserError(
                f"--input={pattern}: the labels of {made[name].source} and {source} would both go "
                f"into {name}. Good: one of them at a time."
            )
        made[name] = Part(source, name, state.st_size, state.st_mtime_ns)
    return list(made.values())
