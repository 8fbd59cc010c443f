"""Examples that are arrays: .npz and idx files, and pictures."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.array_files import idx, npz, pictures
from bert_glue_tf.data.array_files.reading import as_channels
from bert_glue_tf.data.arrays import VALUES, require_shape
from bert_glue_tf.export.interfaces.arrays import array_of
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.serving import answers
from bert_glue_tf.serving.classifier import Classifier, Prediction
from bert_glue_tf.serving.kinds import distance
from bert_glue_tf.serving.kinds.base import Kind
from bert_glue_tf.serving.kinds.texts import STANDARD_INPUT

# The arrays of an .npz that may be asked about, the first that is there.
_NAMES = ("X", "X_test", "X_val", "X_validation", "X_train")
_CHUNK = 256  # Examples predicted together.
_GOOD = "Good: an .npz file with an array X, an idx file, or a picture"


class ArrayFiles(Kind):
    """Arrays of one shape."""

    def answered(
        self,
        classifier: Classifier,
        file: io.BufferedReader,
        name: str,
        *,
        kind: str,
        columns: Sequence[str],
        style: str,
    ) -> Generator[list[str]]:
        if name == STANDARD_INPUT:
            raise UserError(f"standard input: is for texts. {_GOOD} as --input.")
        for flag, given, none in (("input_format", kind, "auto"), ("text_columns", columns, [])):
            if given != none:
                raise UserError(
                    f"--{flag}={given}: is for texts, and the model takes arrays. Leave it out."
                )
        values = read(name, file.read(), classifier.preprocessor.shape)
        yield _header(classifier, style)
        for start in range(0, len(values), _CHUNK):
            part = values[start : start + _CHUNK]
            logits = classifier.logits([(one,) for one in part])
            for number, answer in enumerate(classifier.task.problem.answers(logits), start + 1):
                told = name if len(values) == 1 else f"{name}:{number}"
                one = Prediction((told,), answer.label, answer.probabilities, answer.score)
                yield [_line(one, style)]

    def compare(
        self,
        classifier: Classifier,
        model: LiteModel,
        example: Mapping[str, Any],
        tolerance: float,
    ) -> str:
        wanted = np.array(example[model.output], np.float64)
        if wanted.shape != (model.classes,):
            raise ValueError(f"outputs of shape {wanted.shape}")
        array = array_of(example, classifier.preprocessor.shape)
        (found,) = model.predict({VALUES: array[None]})
        difference, allowed = distance.of(found, wanted, tolerance, model.output)
        return f"{model.output} differ by {difference:.1e} (allowed: {allowed:.1e})"


def read(name: str, raw: bytes, shape: tuple[int, ...]) -> np.ndarray:
    """Return the arrays of a file, [n, *shape].

    Args:
      name: of the file, by whose ending its kind is known.
      raw: its bytes.
      shape: of the arrays that a model takes.

    Raises:
      UserError: it is no such file, or its arrays have another shape.
    """
    lower = name.lower()
    if lower.endswith(pictures.ENDINGS):
        values = pictures.decode(name, raw, is_grey=shape[-1] == 1)[None]
    elif lower.endswith(".npz"):
        values = _of_npz(name, raw)
    elif re.search(r"idx\d|ubyte", lower):
        values = idx.parse(name, raw)
    else:
        raise UserError(f"--input={name}: no file of arrays. {_GOOD}.")
    values = as_channels(values, shape)
    require_shape(values, shape, f"--input={name}")
    return values


def _of_npz(name: str, raw: bytes) -> np.ndarray:
    held = npz.arrays_of(f"--input={name}", raw, _GOOD)
    found = next((one for one in (*_NAMES, *(held if len(held) == 1 else ())) if one in held), None)
    if found is None:
        raise UserError(
            f"--input={name}: has no array X (it has: {', '.join(held) or 'none'}). {_GOOD}."
        )
    values = held[found]
    if values.dtype.kind not in "iuf" or values.ndim < 2:
        raise UserError(
            f"--input={name}: {found} is {values.dtype} of the shape {list(values.shape)}. Good: "
            "numbers [examples, ...]."
        )
    return values


def _header(classifier: Classifier, style: str) -> list[str]:
    names = ["label", classifier.task.problem.score_name, "example"]
    if style == "csv":
        return [answers.joined(names)]
    return ["\t".join(names)] if style == "tsv" else []


def _line(prediction: Prediction, style: str) -> str:
    if style != "jsonl":
        return answers.format_prediction(prediction, style)
    told = dataclasses.asdict(prediction)
    (example,) = told.pop("texts")
    told.pop("spans")
    return json.dumps({"example": example, **told})
