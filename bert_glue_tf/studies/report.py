"""The report's Tables 1, 2 and 3 beside what was measured here, and its two hypotheses."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.compression.names import DEFAULT_METHOD, NO_PRUNING
from bert_glue_tf.evaluation.collapse import Mark
from bert_glue_tf.evaluation.significance import Equal
from bert_glue_tf.reports import formats, tables, verdicts
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import REFERENCE, SAMPLE, Model
from bert_glue_tf.reports.tables import Table
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import printed, report_claims, report_plan, report_rows, words
from bert_glue_tf.studies.claims import Answer
from bert_glue_tf.studies.report_plan import QUANTIZED, RECIPE, Plan
from bert_glue_tf.studies.report_rows import (
    CURVE,
    DIFFERENCE,
    DIFFERENCE_PARTS,
    PARTS,
    QUANTIZATION,
    CurveRow,
    DifferenceRow,
    QuantizationRow,
)
from bert_glue_tf.studies.report_rows import CURVES as CURVE_NAMES
from bert_glue_tf.studies.study import Section, Study

CURVES = ("1", "2")  # Tables of loss and accuracy per epoch.
PRUNED = ("mrpc", "cola")
_METRIC = "accuracy"  # The one of both hypotheses.


# --- rows ---


@dataclasses.dataclass(frozen=True)
class Trained:
    """A model of the tables: a task, pruned by the report's method or not, with all its seeds."""

    task: str
    method: str

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"{self.task}, {self.method}"


# --- the study ---


class Report(Study[Trained]):
    """The report's three tables and two hypotheses.

    Args:
      trainings: see `report_plan.plans`.
      settings: of all of them.
    """

    name = "report"

    def __init__(self, trainings: Sequence[Plan], settings: Mapping[str, str]) -> None:
        super().__init__(dict.fromkeys(Trained(plan.task, plan.method) for plan in trainings))
        self.plans = tuple(trainings)
        self.settings = settings

    def run(self) -> None:
        """Train and export what is missing, and read all records.

        Raises:
          UserError: a training or an export failed; it has said why.
        """
        for plan in self.plans:
            report_plan.run(plan, self.settings)
        self.read(plan.folder for plan in self.plans)

    def run_names(self, cell: Trained) -> list[str]:
        """Return the names of a model's run folders, one for each seed."""
        return [
            plan.folder.name
            for plan in self.plans
            if (plan.task, plan.method) == (cell.task, cell.method)
        ]

    # --- tables ---

    def tables(self) -> dict[str, Table[Any]]:
        """Return the three tables; one without a finished run has no rows.

        The differences that Tables 1 and 2 print as a column are tables of their own.
        """
        found: dict[str, Table[Any]] = {}
        for number in CURVES:
            found[f"table_{number}"] = Table(CURVE, tuple(self._curve_rows(number)))
            rows = tuple(self._difference_rows(number))
            found[f"table_{number}_differences"] = Table(DIFFERENCE, rows)
        return found | {"table_3": Table(QUANTIZATION, tuple(self._quantization_rows()))}

    def _curve_rows(self, number: str) -> Iterator[CurveRow]:
        """Yield the epochs of Table 1 or 2."""
        theirs = printed.curves(number)
        for method in (NO_PRUNING, DEFAULT_METHOD):
            group = self.group(Trained(printed.task_of_curves(number), method))
            if group is None:
                continue
            histories = [model.history for model in group.models]
            majority = verdicts.constant_answer(group.first, _METRIC)
            for epoch in range(max(map(len, histories))):
                yield CurveRow(
                    is_pruned=method == DEFAULT_METHOD,
                    epoch=epoch + 1,
                    theirs=theirs[method][epoch] if epoch < len(theirs[method]) else {},
                    each={
                        name: [float(history[epoch][name]) for history in histories]
                        for name in CURVE_NAMES
                    },
                    trained_on=group.first.data["train"]["examples"],
                    examples=group.first.examples,
                    majority=majority,
                )

    def _difference_rows(self, number: str) -> Iterator[DifferenceRow]:
        """Yield the differences by pruning of each epoch of Table 1 or 2."""
        task = printed.task_of_curves(number)
        pruned, without = (self.group(Trained(task, m)) for m in (DEFAULT_METHOD, NO_PRUNING))
        if pruned is not None and without is not None:
            yield from report_rows.differences(pruned, without, printed.curve_differences(number))

    def _parts(self, found: Mapping[str, Table[Any]], number: str) -> Iterator[tuple[str, Any]]:
        """Yield the parts of Table 1 or 2 that fit a page, each with its name."""
        for parts, name in ((PARTS, ""), (DIFFERENCE_PARTS, "_differences")):
            whole = found[f"table_{number}{name}"]
            for part, heads in parts.items():
                if whole.rows or not name:  # Without both trainings there is no difference.
                    yield part, whole.pick(*heads)

    def _quantization_rows(self) -> Iterator[QuantizationRow]:
        """Yield the files of Table 3: accuracy and size, without and with quantization."""
        for task in QUANTIZED:
            cell = Trained(task, NO_PRUNING)
            float32, quantized = self.group(cell, REFERENCE), self.group(cell, RECIPE)
            if float32 is None or quantized is None:
                continue
            ratios = [
                small.bytes["plain"] / large.bytes["plain"]
                for small, large in zip(quantized.models, float32.models, strict=True)
            ]
            for group, saved in ((float32, None), (quantized, 1 - float(np.mean(ratios)))):
                yield QuantizationRow(
                    task=task,
                    examples=_examples(group.first),
                    is_quantized=group is quantized,
                    theirs=printed.quantization()[task],
                    accuracy=group.mean_of(_METRIC),
                    spread=group.spread_of(_METRIC),
                    interval=group.interval_of(_METRIC),
                    majority=verdicts.constant_answer(float32.first, _METRIC),
                    bytes=group.bytes("plain"),
                    saved=saved,
                    is_collapsed=bool(group.collapsed),
                )

    # --- hypotheses ---

    def findings(self) -> list[str]:
        """Return whether the report's two hypotheses hold here, with intervals."""
        pruning, quantization = self._tested_together()
        return [*self._pruning(pruning), *self._quantization(quantization)]

    def _tested_together(self) -> tuple[list[Comparison | None], list[Comparison | None]]:
        """Return the differences by pruning and by quantization, tested together."""
        pruning = [
            self.compare(Trained(task, DEFAULT_METHOD), Trained(task, NO_PRUNING), metric=_METRIC)
            for task in PRUNED
        ]
        quantization = [
            self.compare(cell, cell, RECIPE, REFERENCE, metric=_METRIC)
            for cell in (Trained(task, NO_PRUNING) for task in QUANTIZED)
        ]
        found = self.corrected([*pruning, *quantization])
        return found[: len(PRUNED)], found[len(PRUNED) :]

    def answers(self) -> list[Answer]:
        """Return the answers to the report's claims, as far as it was run."""
        pruning, quantization = (
            dict(zip(names, found, strict=True))
            for names, found in zip((PRUNED, QUANTIZED), self._tested_together(), strict=True)
        )
        files = self.group(Trained("mrpc", NO_PRUNING), RECIPE)
        return report_claims.answers(
            pruning,
            quantization,
            flips=[model.flips for model in files.models] if files else [],
            curves=[row for row in self._curve_rows("1") if row.is_pruned],
        )

    def _pruning(self, comparisons: Sequence[Comparison | None]) -> Iterator[str]:
        """Yield for each task whether pruning raises the accuracy."""
        for task, found in zip(PRUNED, comparisons, strict=True):
            if found is None:
                continue
            without, pruned = Trained(task, NO_PRUNING), Trained(task, DEFAULT_METHOD)
            groups = {"without pruning": self.group(without), "with pruning": self.group(pruned)}
            yield (
                f"Pruning raises validation accuracy, {task}: {_raised(found)} "
                f"({_interval(found)}).{_collapsed(groups)}"
            )

    def _quantization(self, comparisons: Sequence[Comparison | None]) -> Iterator[str]:
        """Yield for each task whether quantization keeps the accuracy."""
        for task, found in zip(QUANTIZED, comparisons, strict=True):
            if found is None:
                continue
            cell = Trained(task, NO_PRUNING)
            groups = {REFERENCE: self.group(cell, REFERENCE), RECIPE: self.group(cell, RECIPE)}
            yield (
                f"Quantization keeps validation accuracy, {task}: {_kept(found)} "
                f"({_interval(found)}).{_collapsed(groups)}"
            )

    # --- the whole ---

    @property
    def _sample(self) -> str:
        return f" ({SAMPLE})" if self.settings["data"] == SAMPLE else ""

    def sections(self) -> Iterator[Section]:
        """Yield the three tables, those of the curves in two parts, then the hypotheses."""
        found = self.tables()
        yield Section(lines=(self._settings_line(),))
        for number in CURVES:
            title = f"Table {number}. {printed.TITLES[number]}{self._sample}"
            for part, shown in self._parts(found, number):
                yield Section(f"{title}: {part}", shown)
        yield Section(f"Table 3. {printed.TITLES['3']}{self._sample}", found["table_3"])
        counts = (f"{task}: {told}" for task, told in self._counts().items())
        yield Section(lines=(_FILES, _INTERVALS, *counts, *self.findings()))

    def text(self) -> str:
        """Return the whole comparison in Markdown."""
        sample = self._sample
        facts = printed.document(self.name)
        lines = [
            "# The report's tables, reproduced",
            "",
            f"Report: {facts['source']}",
            "",
            self._settings_line(),
            "",
            *(f"- {task}: {told}" for task, told in self._counts().items()),
            "",
            _INTERVALS,
            "",
        ]
        found = self.tables()
        for number in (*CURVES, "3"):
            table = found[f"table_{number}"]
            if not table.rows:
                continue
            lines += [f"## Table {number}. {printed.TITLES[number]}{sample}", ""]
            if number == "3":
                lines += [_FILES, "", tables.markdown(table)]
            for part, shown in self._parts(found, number) if number in CURVES else ():
                lines += [f"{part.capitalize()}:", "", tables.markdown(shown)]
        lines += [f"## The two hypotheses{sample}", "", words.tests("all claims"), ""]
        lines += [f"- {one}" for one in self.findings()]
        return "\n".join([*lines, ""])

    def _settings_line(self) -> str:
        given = self.settings
        data = "GLUE"
        if given["data"] == SAMPLE:
            data = "the generated sample (its scores say nothing about GLUE)"
        told = ", ".join(f"{k} {v}" for k, v in given.items() if k not in ("encoder", "data"))
        seeds = words.listed_seeds(sorted({plan.seed for plan in self.plans}))
        theirs = printed.REPORT_ENCODER
        other = f"The report used {theirs}: the values are of another, larger encoder."
        return f"Ours: encoder `{given['encoder']}`, data {data}, {told}, {seeds}. " + (
            "" if given["encoder"] == theirs else other
        )

    def _counts(self) -> dict[str, str]:
        """Return task -> how many examples it was trained and scored on, and the majority class."""
        groups = {cell.task: self.group(cell) for cell in self.cells}
        return {
            task: f"{_examples(group.first)}; accuracy of the most frequent class "
            f"{verdicts.constant_answer(group.first, _METRIC):.3f}"
            for task, group in groups.items()
            if group
        }

    def write(self, output: pathlib.Path) -> None:
        """Write the text, which holds all tables, and the answers to the report's claims.

        Args:
          output: the folder.

        Raises:
          UserError: the folder cannot be written.
        """
        self.write_files(output, {f"{self.name}.md": self.text()} | self.answers_file())


_FILES = f"Ours: float32 and {RECIPE} .tflite files; the report: PyTorch's checkpoints."
_INTERVALS = (
    "Ours: mean over the seeds, and their range. interval: 95 %, over the examples. majority: "
    "accuracy of the most frequent class. difference: with pruning minus without, seed by seed, "
    "and its interval Student's over the seeds."
)


def _examples(model: Model) -> str:
    return words.examples(model.task, model.data)


def _raised(found: Comparison) -> str:
    """Return whether pruning raises the accuracy, in words."""
    if found.is_of_collapsed:
        return formats.verdict(found.verdict)
    told = {
        Outcome.NO_DIFFERENCE: "cannot be told: no difference is shown",
        Outcome.BETTER: "holds",
        Outcome.WORSE: "does not hold: it lowers it",
        Outcome.UNDEFINED: "cannot be told",
    }
    if found.outcome is Outcome.NO_DIFFERENCE and found.difference.equivalence.outcome is Equal.YES:
        margin = f"{found.difference.equivalence.margin:g}"
        return f"does not hold: equal within {margin}" + _these(found)
    return told[found.outcome] + _these(found)


def _kept(found: Comparison) -> str:
    """Return whether quantization keeps the accuracy: equality needs evidence of its own."""
    equivalence = found.difference.equivalence
    # A constant answer may be hard to tell from a weak model on few examples.
    if found.base_mark is Mark.COLLAPSED:
        return formats.verdict(found.verdict)
    if found.mark is Mark.COLLAPSED:
        return "does not hold"
    if equivalence.outcome is Equal.YES:
        lowers = ", though it lowers it" if found.outcome is Outcome.WORSE else ""
        return f"holds: equal within {equivalence.margin:g}{lowers}" + _these(found)
    if found.outcome is Outcome.BETTER:
        return "holds: it raises it" + _these(found)
    if found.outcome is Outcome.WORSE:
        return "does not hold: it lowers it" + _these(found)
    return formats.equivalence(equivalence) + _these(found)


def _these(found: Comparison) -> str:
    return words.these_models(found.verdict.seeds)


def _collapsed(groups: Mapping[str, Group | None]) -> str:
    """Return a sentence about the models that are worthless; empty where none is."""
    found = []
    for name, group in groups.items():
        reasons = [model.collapsed for model in group.models] if group else []
        told = "; ".join(dict.fromkeys(filter(None, reasons)))
        if told:
            found.append(f"{name}: {told}")
    return f" {formats.COLLAPSED}: {'; '.join(found)}." if found else ""


def _interval(found: Comparison) -> str:
    difference = found.difference
    if not difference.is_defined:
        return "the accuracy is undefined"
    low, high = difference.interval
    seeds = len(difference.by_seed)
    text = f"{difference.mean:+z.4f} accuracy, 95 % interval {low:+z.3f} to {high:+z.3f}"
    p = formats.p_value(difference.p)
    told = f"p {p}" if p.startswith("<") else f"p = {p}"
    if seeds == 1:
        return f"{text}, one seed, {told}"
    return (
        f"{text}, {seeds} seeds from {min(difference.by_seed):+z.3f} to "
        f"{max(difference.by_seed):+z.3f}, {told}"
    )
