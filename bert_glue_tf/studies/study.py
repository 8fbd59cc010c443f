"""Study: a document's tables beside ours. Each is a class in a file of its own.

A study names its cells (the models of its tables) and gives tables of typed rows, findings in
words, figures and a text. What two models differ by is a bootstrap of a second or more, so it is
computed once for each pair of cells and kept. A study that tests many pairs corrects for it.
"""

from __future__ import annotations

import abc
import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.evaluation import significance
from bert_glue_tf.evaluation.significance import Difference
from bert_glue_tf.reports import plots, reading, tables, verdicts
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import KERAS, Model
from bert_glue_tf.reports.tables import Table
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.studies import claims


class AnyCell(Protocol):
    """One model of a study's tables, with all its seeds. It can be a key."""

    def __hash__(self) -> int: ...

    @property
    def label(self) -> str:
        """The name to call it by in the tables."""
        ...

    @property
    def task(self) -> str:
        """The task's name."""
        ...


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a study for the terminal: a table with its title, and lines below it."""

    title: str = ""
    table: Table[Any] | None = None
    lines: tuple[str, ...] = ()


C = TypeVar("C", bound=AnyCell)
_Pair = tuple[Any, str, Any, str, str]


class Study(abc.ABC, Generic[C]):
    """The tables of one document beside ours.

    Attributes:
      name: of its text file, and of the flags' default folder.
      cells: the models of its tables.
      made_by: the command that has run it, for whoever wants the same; empty in Python.
    """

    name: ClassVar[str]
    made_by = ""

    def __init__(self, cells: Iterable[C]) -> None:
        self.cells: tuple[C, ...] = tuple(cells)
        self._models: dict[tuple[str, str], Model] = {}
        self._compared: dict[_Pair, Comparison | None] = {}
        self._means: dict[tuple[tuple[C, C], ...], Difference | None] = {}

    @abc.abstractmethod
    def tables(self) -> dict[str, Table[Any]]:
        """Return the tables by the names of their files, without an ending."""

    @abc.abstractmethod
    def findings(self) -> list[str]:
        """Return what the document claims beside what was found, a sentence each."""

    @abc.abstractmethod
    def text(self) -> str:
        """Return the whole study in Markdown."""

    @abc.abstractmethod
    def sections(self) -> Iterator[Section]:
        """Yield the parts of the study for a terminal, whose tables are fitted to its width."""

    def answers(self) -> list[claims.Answer]:
        """Return the answers to the document's claims of `claims.CLAIMS`, as far as it was run."""
        return []

    def figures(self) -> dict[str, Any]:
        """Return the figures by the names of their files, without an ending."""
        return {}

    def write(self, output: pathlib.Path) -> None:
        """Write the text, the tables as CSV, each figure as SVG and PNG, and the answers to claims.

        They are made from the records alone, so that nothing is lost by it.

        Args:
          output: the folder.

        Raises:
          UserError: the folder cannot be written.
        """
        texts = {f"{self.name}.md": self.text()}
        texts |= {f"{name}.csv": tables.csv(table) for name, table in self.tables().items()}
        self.write_files(output, texts | self.answers_file(), self.figures())

    def answers_file(self) -> dict[str, str]:
        """Return the name and the JSON of the answers to claims; empty where there are none."""
        found = self.answers()
        file = f"{self.name}{claims.ENDING}"
        return {file: claims.text(self.name, found, self.made_by)} if found else {}

    @staticmethod
    def write_files(
        output: pathlib.Path, texts: Mapping[str, str], figures: Mapping[str, Any] | None = None
    ) -> None:
        """Write files into a folder.

        Args:
          output: the folder.
          texts: file -> content.
          figures: name without ending -> figure; each becomes an SVG and a PNG.

        Raises:
          UserError: the folder cannot be written.
        """
        try:
            output.mkdir(parents=True, exist_ok=True)
            for name, content in texts.items():
                write_atomically(output / name, content)
            for name, figure in (figures or {}).items():
                write_atomically(output / f"{name}.svg", plots.svg(figure) + "\n")
                plots.save_png(figure, output / f"{name}.png")
        except OSError as error:
            raise UserError(
                f"--output={output}: cannot be written ({error.strerror}). "
                "Give a folder that you may write, on a disk with space left."
            ) from error

    # --- models ---

    @abc.abstractmethod
    def run_names(self, cell: C) -> Sequence[str]:
        """Return the names of a cell's run folders, one for each seed."""

    def read(self, folders: Iterable[pathlib.Path]) -> None:
        """Read the records of run folders, those of their files included.

        Raises:
          UserError: none of them holds a record, or a file of records is damaged.
        """
        self._models = {(model.run, model.recipe): model for model in reading.every(folders)}
        self._compared, self._means = {}, {}

    def group(self, cell: C, recipe: str = KERAS) -> Group | None:
        """Return a cell's finished models, by rising seed; None where there is none."""
        names = self.run_names(cell)
        found = [self._models[name, recipe] for name in names if (name, recipe) in self._models]
        found.sort(key=lambda model: model.seed)
        return Group(tuple(found), name=cell.label) if found else None

    def compare(
        self, judged: C, base: C, recipe: str = KERAS, base_recipe: str = KERAS, metric: str = ""
    ) -> Comparison | None:
        """Compare a cell with another; None where one is missing.

        The bootstrap is computed once for each pair, whichever of the two is judged.

        Args:
          judged: the cell that is judged.
          base: the one that it is compared with.
          recipe: of the judged models; by default the trained ones.
          base_recipe: of those that they are compared with.
          metric: its name; by default the task's primary metric.
        """
        key = (judged, recipe, base, base_recipe, metric)
        back = (base, base_recipe, judged, recipe, metric)
        if key not in self._compared and back in self._compared:
            known = self._compared[back]
            self._compared[key] = known.reversed() if known else None
        if key not in self._compared:
            first, second = self.group(judged, recipe), self.group(base, base_recipe)
            self._compared[key] = (
                verdicts.compare(first, second, metric) if first and second else None
            )
        return self._compared[key]

    def compare_together(
        self, pairs: Sequence[tuple[C, C]], metric: str = ""
    ) -> list[Comparison | None]:
        """Compare several pairs (judged, base), their p-values corrected for their number.

        Args:
          pairs: of cells.
          metric: its name; by default the task's primary metric.

        Returns:
          A comparison for each pair; None where a cell is missing.
        """
        return self.corrected([self.compare(judged, base, metric=metric) for judged, base in pairs])

    @staticmethod
    def corrected(
        found: Sequence[Comparison | None],
        is_test: Callable[[Comparison], bool] = lambda one: not one.is_of_collapsed,
    ) -> list[Comparison | None]:
        """Correct the p-values of comparisons that are tested together for their number.

        By Holm's method (see `significance.holm`).

        Args:
          found: the comparisons.
          is_test: tells which of them are tests, by default those without a COLLAPSED model; the
            others stay as they are. A study that counts others too says so here.
        """
        tested = [one for one in found if one and is_test(one)]
        corrected = iter(significance.holm([one.difference.p for one in tested]))
        return [one.corrected(next(corrected)) if one and is_test(one) else one for one in found]

    def mean_difference(self, pairs: Sequence[tuple[C, C]]) -> Difference | None:
        """Return the mean of the differences of several pairs (judged, base), computed once."""
        key = tuple(pairs)
        if key not in self._means:
            groups = [(self.group(judged), self.group(base)) for judged, base in pairs]
            finished = [(first, second) for first, second in groups if first and second]
            self._means[key] = verdicts.mean_difference(finished)
        return self._means[key]
