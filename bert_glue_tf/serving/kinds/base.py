"""The questions that a prediction asks the kind of its examples."""

from __future__ import annotations

import abc
import io
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bert_glue_tf.export.litert import LiteModel
    from bert_glue_tf.serving.classifier import Classifier


class DifferentError(Exception):
    """A difference from a golden example, and what it means."""


class Kind(abc.ABC):
    """The files that a kind of examples is read from, and the check of its golden examples."""

    @abc.abstractmethod
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
        """Yield the lines that answer an input.

        Args:
          classifier: that answers.
          file: the input, opened; standard input where `name` says so.
          name: of the input, for messages.
          kind: value of --input_format.
          columns: value of --text_columns.
          style: value of --format.

        Raises:
          UserError: the input cannot be read as such examples.
        """

    @abc.abstractmethod
    def compare(
        self,
        classifier: Classifier,
        model: LiteModel,
        example: Mapping[str, Any],
        tolerance: float,
    ) -> str:
        """Return how near a golden example is met, in words.

        Raises:
          DifferentError: it is not met.
          LookupError, TypeError, ValueError: it is none.
        """
