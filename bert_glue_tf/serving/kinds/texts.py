"""Examples that are texts: lines, tables, and golden examples in word pieces."""

from __future__ import annotations

import io
import itertools
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.data import preprocessing
from bert_glue_tf.export.litert import LiteModel
from bert_glue_tf.serving import answers, tables
from bert_glue_tf.serving.classifier import Classifier
from bert_glue_tf.serving.kinds import distance
from bert_glue_tf.serving.kinds.base import DifferentError, Kind

STANDARD_INPUT = "standard input"


class Texts(Kind):
    """One or two texts an example."""

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
        task = classifier.task
        seen = b"" if name == STANDARD_INPUT else tables.first_line(file)
        if tables.is_table(task, name, seen, kind, columns):
            read = tables.read(name, file.read(), kind)
            return tables.to_rows(classifier, read, columns, style)
        return answers.to_lines(classifier, file, name, columns, style)

    def compare(
        self,
        classifier: Classifier,
        model: LiteModel,
        example: Mapping[str, Any],
        tolerance: float,
    ) -> str:
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
        difference, allowed = distance.of(found, wanted, tolerance, model.output)
        return (
            f"{len(ids)} word pieces as written; {model.output} differ by {difference:.1e} "
            f"(allowed: {allowed:.1e})"
        )


def _require_same(found: Sequence[int], wanted: Sequence[int], what: str) -> None:
    """Refuse other ids than those that are written.

    Raises:
      DifferentError: naming the first place at which they differ.
    """
    for place, (one, other) in enumerate(itertools.zip_longest(found, wanted)):
        if one != other:
            raise DifferentError(
                f"{what} {place + 1} is {_told(one)} here and {_told(other)} in the example. The "
                "tokenizer beside the file is not the one that it was made with: copy the whole "
                "folder of the export."
            )


def _told(number: int | None) -> str:
    return "missing" if number is None else str(number)
