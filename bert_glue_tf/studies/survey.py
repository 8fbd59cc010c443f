"""Every pruning method at one sparsity, trained alike: what each costs and buys."""

from __future__ import annotations

import functools
import itertools
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bert_glue_tf.compression import registry
from bert_glue_tf.core import quantities
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.reports import formats, plots, reading, tables, times, verdicts
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.tables import Table
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.studies import (
    hybrids,
    survey_claims,
    survey_layout,
    survey_measure,
    survey_plan,
    words,
)
from bert_glue_tf.studies.cells import Cell
from bert_glue_tf.studies.claims import Answer
from bert_glue_tf.studies.study import Section
from bert_glue_tf.studies.survey_measure import FLOAT32, INT8, Costs, MeasureSettings
from bert_glue_tf.studies.survey_rows import COLUMNS, Row
from bert_glue_tf.studies.swept import SweptStudy
from bert_glue_tf.sweeps import plan
from bert_glue_tf.sweeps.executors.base import Executor

# Name of a figure, with the cost on its axis -> its text.
_FIGURES = {
    "survey_latency": "score against latency",
    "survey_size": "score against size",
}

# Seeds of each model where nobody names them: all of them where a run takes less than the limit.
SEEDS = (1, 2, 3)
MOST_SECONDS = 300


class Survey(SweptStudy):
    """The unpruned model, and a model for each method.

    Args:
      methods: names; none means all that the encoder can carry.
      given: settings of the trainings.
      options: settings of the methods' own, as `method.name=value` with spaces between them.
      seeds: of each; none means the first of `SEEDS`, and the others too where the unpruned run of
        the first one took less than `MOST_SECONDS`, so that every row has as many.
      settings: of the measurements.

    Raises:
      UserError: an unknown method or option, or a setting is none of a run.

    Attributes:
      costs: label of a cell -> what `measure` has found; cells without a finished run have none.
    """

    name = "survey"

    def __init__(
        self,
        methods: Sequence[str],
        given: Mapping[str, str],
        options: str,
        seeds: Sequence[int],
        settings: MeasureSettings | None = None,
    ) -> None:
        self._cells_of = functools.partial(survey_plan.cells, methods, given, options)
        self._left_out = {} if methods else survey_plan.left_out(given)
        super().__init__(self._cells_of(seeds or SEEDS[:1]))
        self._decides = not seeds
        self._decided = ""
        self.settings = settings or MeasureSettings()
        self.costs: dict[str, Costs] = {}

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of each model."""
        return tuple(one.seed for one in self.cells[0].configs)

    def planned(self, root: pathlib.Path) -> list[dict[str, str]]:
        self._add_seeds(root)
        return super().planned(root)

    def run(self, root: pathlib.Path, executor: Executor[Any] | None = None) -> None:
        """Run what is missing; of seeds that nobody names the first, then those there is time for.

        Args:
          root: folder of the runs.
          executor: where they are run.

        Raises:
          UserError: as `SweptStudy.run`.
        """
        super().run(root, executor)
        if self._add_seeds(root):
            super().run(root, executor)

    def _add_seeds(self, root: pathlib.Path) -> bool:
        """Decide by the record of the unpruned run which seeds there are; tell if there are more.

        Without its record, or that of the training that it starts from, nothing is decided.
        """
        if not self._decides:
            return False
        (config,) = self.cells[0].configs
        # With the training that it starts from, which each seed has of its own.
        names = {one.run_name for one in (config, config.starting_point) if one is not None}
        found = [one.folder.record() for one in plan.plan([config], root) if one.name in names]
        records = [one for one in found if one is not None]
        if len(records) < len(names):
            return False
        seconds = sum(one.speed["seconds"] for one in records)
        self._decides, is_short = False, seconds < MOST_SECONDS
        self._decided = (
            f"The unpruned run of seed {SEEDS[0]} took {seconds:,.0f} s"
            f"{' with the training that it starts from' if len(names) > 1 else ''}, "
            f"{'less' if is_short else 'not less'} than {MOST_SECONDS}: "
            f"{'three seeds' if is_short else 'one seed'} of each model (--seeds= names others)."
        )
        if is_short:
            self.cells = tuple(self._cells_of(SEEDS))
        return is_short

    def measure(self, output: pathlib.Path) -> None:
        """Export and measure the first finished run of each cell; what is measured is kept.

        Args:
          output: the folder that keeps it.

        Raises:
          UserError: the unpruned model was not trained or cannot be exported, since everything is
            compared with it; or the folder cannot be written.
        """
        first = {
            one.label: next(c for c in one.configs if c.run_name in self.records)
            for one in self.cells
            if self.records_of(one)
        }
        unpruned = self.cells[0].label
        if unpruned not in first:
            raise UserError(
                "the unpruned model was not trained, and everything is compared with it: "
                f"{self.reason(self.cells[0])}"
            )
        folders = {label: self.folder(config) for label, config in first.items()}
        own = {label: name for label in first if (name := hybrids.recipe(label))}
        self.costs = survey_measure.measure(folders, first, unpruned, self.settings, output, own)

    @property
    def base(self) -> Costs:
        """The costs of the unpruned model."""
        return self.costs[self.cells[0].label]

    @property
    def table(self) -> Table[Row]:
        """A row for each method, the unpruned model first."""
        base, *pruned = self.cells
        # A hybrid may be the run of another row with a file of its own: one comparison.
        first = {one.configs: one for one in reversed(pruned)}
        compared = self.compare_together([(one, base) for one in first.values()])
        found = dict(zip(first, compared, strict=True))
        return Table(COLUMNS, tuple(self._row(one, found.get(one.configs)) for one in self.cells))

    def _row(self, one: Cell, difference: Comparison | None) -> Row:
        own = self.costs.get(one.label)
        reasons = [self.reason(one), own.reason if own else ""]
        return Row(
            method=one.label,
            group=self.group(one),
            difference=difference,
            costs=own,
            base=self.base,
            reason="; ".join(filter(None, reasons)),
            marks=self._marks(own) if own else {},
            majority=self._majority,
        )

    def _marks(self, own: Costs) -> dict[str, Mark | None]:
        export = ExportFolder(self.folder(own.config) / FOLDER)
        return {
            name: reading.marked_file(file, export).mark
            for name, file in own.files.items()
            if name != FLOAT32
        }

    def tables(self) -> dict[str, Table[Row]]:
        """Return one table: a row for each method, the unpruned model first."""
        return {self.name: self.table}

    def sections(self) -> Iterator[Section]:
        """Yield what decides, then the other columns part by part, and the notes on them."""
        title = f"{self.cells[0].task}{self.sample_mark}"
        yield Section(f"{title}: what decides", survey_layout.part(self.table, survey_layout.FIRST))
        for name, heads in survey_layout.PARTS.items():
            shown = survey_layout.part(self.table, heads)
            if shown.rows:  # Some are about some rows only.
                yield Section(f"{title}: {name}", shown)
        yield Section(lines=(*self.findings(), *self.explanations(), *self.notes()))

    def findings(self) -> list[str]:
        """Return each method that was not measured, with its reason."""
        return [
            f"Not measured: {row.method}: {row.reason}" for row in self.table.rows if row.reason
        ]

    def file_groups(self) -> list[Group]:
        """Return the dynamic_int8 files with their times in the survey's session, for a plot."""
        labels: dict[pathlib.Path, str] = {}
        for one in self.cells:
            own = self.costs.get(one.label)
            if own and own.files:  # Two rows of one run share that file.
                labels.setdefault(self.folder(own.config).resolve(), one.label)
        # Files of other recipes are timed for some rows only.
        common = [one for one in reading.every(labels) if one.recipe in (FLOAT32, INT8)]
        models = times.share(common, self.base.session)
        by_label = {labels[model.folder]: model for model in models if model.recipe == INT8}
        return [Group((by_label[label],), name=label) for label in labels.values()]

    def answers(self) -> list[Answer]:
        """Return the answers to the claims of the survey's Table 1, as far as rows were run."""
        return survey_claims.answers(self.table.rows)

    def figures(self) -> dict[str, Any]:
        """Return score against latency and against size."""
        groups = self.file_groups()
        return {
            name: figure
            for name in _FIGURES
            if (figure := plots.score_against(groups, name.removeprefix("survey_"))) is not None
        }

    def explanations(self) -> list[str]:
        """Return the meaning of the columns, a line each."""
        length = max(self.base.latency, key=int)
        lines = [
            *([self._decided] if self._decided else []),
            "Score and difference: of the trained model, means over the seeds; the other columns: "
            "the model of the first seed. of all weights: the share of the unpruned model's "
            "weights among which was pruned, and sparsity, how much of that is gone. ratio: "
            "weights of the unpruned model over those that are left and not zero.",
            f"ms: median of one example of {length} word pieces in the {INT8} file, "
            f"{quantities.threads(self.settings.threads)}, {self.settings.repetitions} runs, all "
            "files in turns (the unpruned float32 file: "
            f"{formats.milliseconds(self.base.latency[length]['float32_p50'])} ms); "
            "speed: times as fast as that one. peak MB: of a fresh process that loads the "
            f"{INT8} file and predicts once. gzip ratio: the unpruned {INT8} file, gzipped, over "
            "this one's. own: of the file of the recipe that the row names.",
            f"typos: score with spelling mistakes in {self.settings.rate:.0%} of the words that "
            "can have one; in and out of domain: on sources that the training split has, and that "
            "it has not.",
        ]
        used = [name for one in self.cells[1:] for name in hybrids.methods(one.label)]
        told = {name: registry.of_finished(name).sparsity_note for name in dict.fromkeys(used)}
        lines += [f"{name}: {note}." for name, note in told.items() if note]
        return [*lines, *self._hybrids(), *self._told_left_out()]

    def _hybrids(self) -> list[str]:
        """Return the meaning of the rows with several parts; nothing where there are none."""
        labels = [one.label for one in self.cells if hybrids.is_one(one.label)]
        if not labels:
            return []
        said = [f"{name}: {told}" for name in labels if (told := hybrids.words_of(name))]
        return [
            "A + between parts: methods that prune one after the other, each what is left; "
            f"{hybrids.TEACHER}: learns from the fine-tuned model that it starts from; a recipe: "
            "rounds in training as that file does (--quantize_aware), where the encoder can, and "
            "else is made a file of that kind after its training."
            + (f" {'; '.join(said)}." if said else "")
        ]

    def _told_left_out(self) -> list[str]:
        """Return a line for the methods and combinations that are no rows, with the reasons."""
        said = [f"{', '.join(names)}: {reason}" for reason, names in self._left_out.items()]
        return [f"Left out: {'; '.join(said)}."] if said else []

    def text(self) -> str:
        """Return the whole survey in Markdown."""
        task, figures = self.cells[0].task, self.figures()
        return "\n".join(
            [
                f"# Pruning methods on {task}{self.sample_mark}",
                "",
                self.settings_line(),
                "",
                f"{task}: {self.examples(self.base.record)}. {self._constant_answer()}"
                f"Differences: to the unpruned model. {words.tests('all methods')}",
                "",
                self._markdown(survey_layout.FIRST),
                *(f"- {line}" for line in self.findings()),
                "",
                *itertools.chain.from_iterable(
                    (f"![{title}]({name}.png)", "")
                    for name, title in _FIGURES.items()
                    if name in figures
                ),
                *itertools.chain.from_iterable(
                    (f"## {name}", "", shown)
                    for name, heads in survey_layout.PARTS.items()
                    if (shown := self._markdown(heads))
                ),
                "## What the columns say",
                "",
                f"{self.name}.csv has all of them in one table.",
                "",
                *(f"- {line}" for line in self.explanations()),
                *(f"- {line}" for line in self.notes()),
                "",
                *self.failed_section(),
            ]
        )

    def _constant_answer(self) -> str:
        """Return the score of the best answer that does not look at the text, as a sentence."""
        score = self._majority
        return "" if score is None else f"The best answer that is always the same has {score:.4f}. "

    @property
    def _majority(self) -> float | None:
        unpruned = self.group(self.cells[0])
        if unpruned is None:
            return None
        return verdicts.constant_answer(unpruned.first, unpruned.metric)

    def _markdown(self, heads: Mapping[str, int]) -> str:
        return tables.markdown(survey_layout.part(self.table, heads))
