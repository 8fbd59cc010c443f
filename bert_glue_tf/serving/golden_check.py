"""The golden examples of a .tflite file, compared with what it answers here (`predict --check`)."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.serving import exported_file
from bert_glue_tf.serving.classifier import Classifier
from bert_glue_tf.serving.kinds import choice
from bert_glue_tf.serving.kinds.base import DifferentError


def check(path: pathlib.Path, threads: int) -> Iterator[str]:
    """Compare pieces and outputs of a file with its golden examples, and yield a line for each.

    Args:
      path: of the file.
      threads: of LiteRT.

    Raises:
      UserError: it is no .tflite file of this project, it holds no golden examples, or they
        differ from what is found here.
    """
    if path.is_dir():
        raise UserError(
            f"--check: --model={path} is a folder. Golden examples stand in a .tflite file of an "
            "export: give one."
        )
    classifier = Classifier.load(path, threads)
    content = path.read_bytes()
    metadata = exported_file.read_metadata(path, content)
    if not metadata.golden:
        raise UserError(
            f"--check: {path}: holds no golden examples, since it was made by "
            f"{metadata.made_by or 'an earlier version'} before they were written. It can be used; "
            "to have it checked, export the run again into a new --output."
        )
    model = LiteModel(content, threads, str(path))
    for number, example in enumerate(metadata.golden, 1):
        try:
            found = choice.of(classifier.task.modality).compare(
                classifier, model, example, metadata.tolerance
            )
        except (LookupError, TypeError, ValueError) as error:
            raise UserError(
                f"--check: {path}: damaged: golden example {number} cannot be read "
                f"({str(error)[:100]}). Copy it again."
            ) from None
        except DifferentError as error:
            raise UserError(f"--check: {path}: golden example {number} differs: {error}") from None
        yield f"golden example {number}: {found}"
