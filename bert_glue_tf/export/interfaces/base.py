"""The questions that an export asks the kind of its examples."""

from __future__ import annotations

import abc
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.quantization.recipes import RECIPES

if TYPE_CHECKING:
    from bert_glue_tf.data.examples import Examples
    from bert_glue_tf.data.task_spec import TaskSpec
    from bert_glue_tf.export.folder import ExportFolder
    from bert_glue_tf.export.litert import LiteModel
    from bert_glue_tf.export.record import ExportResult
    from bert_glue_tf.models.quantization.recipes import QuantizationRecipe
    from bert_glue_tf.runs.finished import Run


class Interface(abc.ABC):
    """The inputs of the files of one kind of examples, as a client has to know them."""

    @abc.abstractmethod
    def given_lengths(self, run: Run, given: Sequence[str]) -> tuple[int, ...]:
        """Return the lengths that files are to run at, ascending; empty where none are given.

        Args:
          run: a finished one.
          given: values of --seq_lengths.

        Raises:
          UserError: a value is no such length.
        """

    @abc.abstractmethod
    def own_lengths(self, run: Run, train: Examples) -> tuple[int, ...]:
        """Return the lengths, ascending, that hold the training examples."""

    @abc.abstractmethod
    def copy(self, source: pathlib.Path, folder: ExportFolder) -> None:
        """Copy what reads the examples, of a saved classifier, beside the files.

        Raises:
          UserError: it is not whole.
        """

    @abc.abstractmethod
    def described(self, run: Run, folder: ExportFolder, reader: Any) -> dict[str, Any]:
        """Return what a file's metadata says of its inputs, in JSON types.

        Args:
          run: that the file is of.
          folder: that it lies in.
          reader: of `Modality.reader`.
        """

    @abc.abstractmethod
    def golden(
        self,
        reader: Any,
        described: Mapping[str, Any],
        model: LiteModel,
        lengths: Sequence[int],
    ) -> list[dict[str, Any]]:
        """Return examples with a file's answers, by which a port checks itself, in JSON types.

        Args:
          reader: of `Modality.reader`.
          described: as `described` returns it.
          model: the file.
          lengths: that it runs at.
        """

    @abc.abstractmethod
    def refused(self, recipe: QuantizationRecipe) -> str:
        """Return why a recipe makes no files of such examples, as a clause; empty if it does."""

    def recipes(self) -> list[QuantizationRecipe]:
        """Return the recipes that files are made by where none is named."""
        return [recipe for recipe in RECIPES.values() if not self.refused(recipe)]

    def require_recipe(self, recipe: QuantizationRecipe) -> None:
        """Refuse a recipe that makes no files of such examples.

        Raises:
          UserError: naming it.
        """
        if why := self.refused(recipe):
            good = ", ".join(one.name for one in self.recipes())
            raise UserError(f"--recipes={recipe.name}: {why}. Good values: {good}.")

    @abc.abstractmethod
    def use(self, record: ExportResult, task: TaskSpec) -> list[str]:
        """Return the lines of a card that say how a file is used."""

    @abc.abstractmethod
    def reading(self, described: Mapping[str, Any]) -> str:
        """Return a card's line about what turns an example into inputs."""

    @abc.abstractmethod
    def golden_table(self, described: Mapping[str, Any]) -> Iterator[str]:
        """Yield a card's table of golden examples."""
