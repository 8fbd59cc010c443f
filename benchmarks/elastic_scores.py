"""Scores of an elastic BERT's sizes against the same sizes, each trained alone with a teacher.

python benchmarks/elastic_scores.py --task=mrpc --data=/folder/with/glue --seeds=1,2,3
python benchmarks/elastic_scores.py --task=sst2 --data=/folder/with/glue --train_examples=8000

Both start from the same fine-tuned network, are trained for the same epochs, and rank heads and
neurons by the same gradients. What is trained alone is cut to its size before the first step and
learns from the fine-tuned network's answers; of its layers the last are dropped, where the elastic
one keeps some from all over. What is finished in --runs_dir is not run again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags

import bert_glue_tf  # noqa: F401  (chooses Keras 2 before TensorFlow is imported)
from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.pruning.elastic import Elastic
from bert_glue_tf.reports import formats, tables, verdicts
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.runs.paths import SIZES
from bert_glue_tf.studies import arguments, columns, words
from bert_glue_tf.studies.cells import Cell, cell
from bert_glue_tf.studies.study import Section
from bert_glue_tf.studies.swept import SweptStudy

BAR = 0.01  # One point.


@dataclasses.dataclass(frozen=True)
class Size(Cell):
    """One size of the elastic network, with all its seeds.

    Attributes:
      name: of the size; empty for the whole network, which is the run's own model.
    """

    name: str


@dataclasses.dataclass(frozen=True)
class Row:
    """A size trained together with the others, and alone.

    Attributes:
      name: of the size.
      weights: number of all weights; None before a run of it is finished.
      together: the finished models; None where there are none.
      alone: the same of those that were trained alone.
      difference: together minus alone; None where one is missing.
      majority: the score of the best answer that is always the same; None where nothing finished.
      reason: why runs failed; empty where none did.
    """

    name: str
    weights: int | None
    together: Group | None
    alone: Group | None
    difference: Comparison | None
    majority: float | None
    reason: str

    @property
    def says_nothing(self) -> bool:
        """Tell if the best constant answer is within, or above, both scores' intervals."""
        if self.difference is None or self.majority is None:
            return False
        intervals = [group.interval for group in (self.together, self.alone) if group]
        return not any(interval and interval[0] > self.majority for interval in intervals)

    @property
    def bar(self) -> str:
        """Return whether the size is within one point of the same one trained alone."""
        if self.difference is None:
            return "not run"
        return "met" if self.difference.difference.mean >= -BAR else "missed"


COLUMNS: tuple[Column[Row], ...] = (
    Column("size", lambda row: row.name),
    Column("weights", lambda row: row.weights, lambda value: f"{value:,}" if value else ""),
    columns.score("together", lambda row: row.together),
    columns.score("alone", lambda row: row.alone),
    *columns.difference(lambda row: row.difference),
    Column("majority", lambda row: row.majority, formats.number),
    Column("n", lambda row: row.difference.examples if row.difference else None, formats.count),
    Column("seeds", lambda row: row.difference.seeds if row.difference else (), formats.listed),
    Column("within 1.0 point", lambda row: row.bar),
    Column("why it failed", lambda row: row.reason, may_wrap=True),
)


class ElasticScores(SweptStudy):
    """One elastic training, and a training of each of its sizes alone.

    Args:
      given: settings of the trainings, `task` among them.
      seeds: of each.
      widths: of the sizes, as the method takes them.
      depths: likewise.

    Raises:
      UserError: a setting is none of a run or of the method.
    """

    name = "elastic_scores"

    def __init__(
        self, given: Mapping[str, str], seeds: Sequence[int], widths: str, depths: str
    ) -> None:
        if given["finetune_epochs"] == "0":
            raise UserError(
                "--finetune_epochs=0: all start from a fine-tuned model. Give 1 or more."
            )
        options = f"widths={widths} depths={depths}"
        elastic = cell("together", {**given, "pruning_options": options}, "elastic", seeds)
        self.sizes: dict[str, tuple[Size, Cell]] = {}
        names = list(Elastic({"widths": widths, "depths": depths}).shapes)
        for name in names:
            method, settings = alone_settings(name)
            own = {**given, "teacher": "start", **settings}
            alone = cell(f"{name} alone", own, method, seeds)
            below = "" if name == names[-1] else name
            together = Size(f"{name} together", elastic.configs, below)
            self.sizes[name] = (together, alone)
        super().__init__([elastic, *(alone for _, alone in self.sizes.values())])

    def run_names(self, cell: Cell) -> list[str]:
        """Return the names of the run folders of a cell, or of a size of the elastic one."""
        found = super().run_names(cell)
        below = cell.name if isinstance(cell, Size) else ""
        return [f"{name}/{SIZES}/{below}" for name in found] if below else found

    def rows(self) -> list[Row]:
        """Return a row for each size; their differences are tested together.

        Raises:
          UserError: a size is not the same network as the one that was trained alone.
        """
        found = self.compare_together(list(self.sizes.values()))
        rows = []
        for name, difference in zip(self.sizes, found, strict=True):
            together, alone = self.sizes[name]
            groups = self.group(together), self.group(alone)
            weights = {model.parameters["total"] for one in groups if one for model in one.models}
            if len(weights) > 1:
                numbers = " and ".join(f"{one:,}" for one in sorted(weights))
                raise UserError(f"{name}: networks of {numbers} weights are not one size.")
            reasons = dict.fromkeys(filter(None, map(self.reason, (self.cells[0], alone))))
            first = next(filter(None, groups), None)
            majority = verdicts.constant_answer(first.first, first.metric) if first else None
            rows.append(
                Row(
                    name,
                    next(iter(weights), None),
                    *groups,
                    difference,
                    majority,
                    "; ".join(reasons),
                )
            )
        return rows

    def tables(self) -> dict[str, Table[Any]]:
        """Return the one table."""
        return {self.name: Table(COLUMNS, tuple(self.rows()))}

    def findings(self) -> list[str]:
        """Return whether the bar is met, where it is not, and what a constant answer has."""
        rows = [row for row in self.rows() if row.difference]
        missed = [
            f"{row.name} {words.interval(row.difference)}"
            for row in rows
            if row.bar == "missed" and row.difference
        ]
        told = f"{len(rows) - len(missed)} of {len(self.sizes)} sizes within 1.0 point"
        lines = [f"{told}; not: {', '.join(missed)}." if missed else f"{told}."]
        begun = self.cells[0].starting_point
        start = self.group(begun) if begun else None
        if rows and rows[0].majority is not None and start:
            empty = [row.name for row in rows if row.says_nothing]
            none = f"; no better than that, together and alone: {', '.join(empty)}" if empty else ""
            lines.append(
                f"The fine-tuned network that all start from has {start.mean:.4f}. The best answer "
                f"that is always the same has {rows[0].majority:.4f}{none}."
            )
        return lines

    def sections(self) -> Iterator[Section]:
        """Yield the table and the findings."""
        shown = self.tables()[self.name].pick(
            "size", "together", "alone", "difference", "95 % interval", "n", "within 1.0 point"
        )
        yield Section(f"{self.cells[0].task}{self.sample_mark}", shown)
        yield Section(lines=(*self.findings(), *self.notes()))

    def text(self) -> str:
        """Return the comparison in Markdown."""
        lines = [
            f"# An elastic BERT's sizes, and each trained alone: {self.cells[0].task}"
            f"{self.sample_mark}",
            "",
            f"- together: {self.settings_line(self.cells[:1], Elastic.unused)}",
            f"- alone: {self.settings_line(self.cells[1:], ('final_sparsity',))}",
            "",
            "Difference: together minus alone. " + words.tests("the sizes"),
            "",
            tables.markdown(self.tables()[self.name].filled()),
            *(f"- {line}" for line in (*self.findings(), *self.notes())),
            "",
            *self.failed_section(),
        ]
        return "\n".join(lines)


def alone_settings(name: str) -> tuple[str, dict[str, str]]:
    """Return the method and its settings by which a network of a size is cut in a run of its own.

    Args:
      name: of the size, as `w0.25-d0.5`.
    """
    width, depth = (float(part[1:]) for part in name.split("-"))
    sparsities = {}
    if depth < 1:
        sparsities["layer"] = 1 - depth
    if width < 1:
        sparsities |= {"attention_head": 1 - width, "neuron": 1 - width}
    if not sparsities:
        return NO_PRUNING, {}
    options = " ".join(f"{one}.final_sparsity={value:g}" for one, value in sparsities.items())
    if len(sparsities) == 1:  # Options of one method have no name before them.
        options = options.partition(".")[2]
    return ",".join(sparsities), {"pruning_schedule": "one_shot", "pruning_options": options}


def define_flags() -> None:
    """Define the flags; not where this file is imported, which has none of its own."""
    arguments.define_flags(
        "elastic_scores",
        encoder="minilm_l6",
        task="mrpc",
        finetune_epochs=3,
        epochs=5,
        learning_rate=1e-4,
    )
    flags.DEFINE_string("widths", "0.25,0.5,1.0", "Of heads and neurons, as of elastic.")
    flags.DEFINE_string("depths", "0.5,1.0", "Of layers, as of elastic.")


def main() -> None:
    values = flags.FLAGS
    study = ElasticScores(
        arguments.settings("task"),
        arguments.numbers("seeds"),
        values["widths"].value,
        values["depths"].value,
    )
    arguments.run(study)
    arguments.present(study, f"{study.name}.md and {study.name}.csv")


if __name__ == "__main__":
    define_flags()
    cli.run(main, __doc__, "with the runs that are not finished")
