"""The golden examples of a .tflite file, compared with what it answers here (`predict --check`)."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import preprocessing
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.serving import exported_file
from bert_glue_tf.serving.classifier import Classifier


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
            found = _compare(classifier, model, example, metadata.tolerance)
        except (LookupError, TypeError, ValueError) as error:
            raise UserError(
                f"--check: {path}: damaged: golden example {number} cannot be read "
                f"({str(error)[:100]}). Copy it again."
            ) from None
        except _DifferentError as error:
            raise UserError(f"--check: {path}: golden example {number} differs: {error}") from None
        yield f"golden example {number}: {found}"


class _DifferentError(Exception):
    """A difference from a golden example, and what it means."""


def _compare(
    classifier: Classifier, model: LiteModel, example: Mapping[str, Any], tolerance: float
) -> str:
    """Return how near an example is met, in words.

    Raises:
      _DifferentError: it is not met.
      LookupError, TypeError, ValueError: it is none.
    """
    texts, length = [str(text) for text in example["texts"]], int(example["length"])
    ids, types = ([int(one) for one in example[name]] for name in ("ids", "type_ids"))
    wanted = np.array(example[model.output], np.float64)
    if length not in model.lengths or not len(ids) == len(types) <= length:
        raise ValueError(f"{len(ids)} pieces at length {length}")
    shape = (length, model.classes) if classifier.task.problem.tags_words else (model.classes,)
    if len(texts) != len(classifier.task.text_fields) or wanted.shape != shape:
        raise ValueError(f"{len(texts)} texts, outputs of shape {wanted.shape}")
    tokens = preprocessing.tokenize(classifier.preprocessor, tuple([text] for text in texts))
    _require_same(tokens.ids.tolist(), ids, "id of a word piece")
    _require_same(tokens.type_ids.tolist(), types, "type id")
    (found,) = model.predict(tokens.batch([0], length))
    difference = float(np.max(np.abs(found - wanted)))
    allowed = tolerance * max(1.0, float(np.max(np.abs(wanted))))
    if not difference <= allowed:
        raise _DifferentError(
            f"its {model.output} by {difference:.1e}, and {allowed:.1e} is what other processors "
            "do. Either LiteRT computes otherwise on this machine, or the file is damaged: copy it "
            "again."
        )
    return (
        f"{len(ids)} word pieces as written; {model.output} differ by {difference:.1e} "
        f"(allowed: {allowed:.1e})"
    )


def _require_same(found: Sequence[int], wanted: Sequence[int], what: str) -> None:
    """Refuse other ids than those that are written.

    Raises:
      _DifferentError: naming the first place at which they differ.
    """
    for place, (one, other) in enumerate(itertools.zip_longest(found, wanted)):
        if one != other:
            raise _DifferentError(
                f"{what} {place + 1} is {_told(one)} here and {_told(other)} in the example. The "
                "tokenizer beside the file is not the one that it was made with: copy the whole "
                "folder of the export."
            )


def _told(number: int | None) -> str:
    return "missing" if number is None else str(number)
