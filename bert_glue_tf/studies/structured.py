"""Table 1 of the paper on structured pruning beside ours: magnitude, row, column, block."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.reports import formats, tables
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import columns, words
from bert_glue_tf.studies.cells import Cell, cell
from bert_glue_tf.studies.swept import Section, SweptStudy
from bert_glue_tf.studies.words import ABSENT, Published

METHODS = ("magnitude", "row", "column", "block")
UNPRUNED = "unpruned"
FINE_TUNED = "fine-tuned only"
# The paper's seven tasks are not at hand; these of GLUE have a score of their own.
TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")


@dataclasses.dataclass(frozen=True)
class Row:
    """A task's model beside the paper's.

    Attributes:
      task: its name.
      model: the cell's label.
      paper: the paper's score; None for a model that it has not.
      group: the finished models; None where there is none.
      difference: to the unpruned model.
      reason: why runs failed; empty where none did.
    """

    task: str
    model: str
    paper: Published | None
    group: Group | None
    difference: Comparison | None
    reason: str

    @property
    def sparsity(self) -> float | None:
        """Mean sparsity over the seeds; None without pruning."""
        found = [m.sparsity for m in self.group.models if m.sparsity] if self.group else []
        return sum(found) / len(found) if found else None


def _paper_text(value: Published | None) -> str:
    if value is None:
        return ""
    return ABSENT if value.value is None else f"{value.value:g}"


_COLUMNS: tuple[Column[Row], ...] = (
    Column("task", lambda row: row.task),
    Column("model", lambda row: row.model),
    Column("paper", lambda row: row.paper, _paper_text),
    columns.score("ours", lambda row: row.group),
    Column("seeds", lambda row: row.group.seeds if row.group else (), formats.listed),
    columns.spread("range", lambda row: row.group),
    Column(
        "sparsity",
        lambda row: row.sparsity,
        lambda value: "" if value is None else f"{value:.2%}",
    ),
    *columns.difference(lambda row: row.difference),
    Column("why it failed", lambda row: row.reason),
)


class Structured(SweptStudy):
    """The four methods at one ratio, on several tasks.

    Each model is fine-tuned, pruned at once by one ratio for the six matrices of every layer, and
    retrained; the unpruned one trains on without being pruned, so that all have seen as much.

    Args:
      tasks: names.
      given: settings of the trainings.
      seeds: of each.
      block: size of a block, inputs x outputs.
      sst2_examples: training examples of SST-2, 0 = all.

    Raises:
      UserError: there is no such task, or a setting is none of a run.
    """

    name = "structured"

    def __init__(
        self,
        tasks: Sequence[str],
        given: Mapping[str, str],
        seeds: Sequence[int],
        *,
        block: str,
        sst2_examples: int,
    ) -> None:
        if not tasks or any(task not in TASKS for task in tasks):
            raise UserError(f"--tasks={','.join(tasks)}: give some of {', '.join(TASKS)}.")
        if sst2_examples < 0:
            raise UserError(f"--sst2_train_examples={sst2_examples}: must be 0 (all) or more.")
        if given["finetune_epochs"] == "0":
            raise UserError(
                "--finetune_epochs=0: the study prunes fine-tuned models. Give 1 or more."
            )
        self.by_task: dict[str, list[Cell]] = {}
        for task in tasks:
            own = {**given, "task": task, "pruning_schedule": "one_shot", "ranking": "local"}
            if task == "sst2" and sst2_examples:
                own["train_examples"] = str(sst2_examples)
            self.by_task[task] = [cell(UNPRUNED, own, NO_PRUNING, seeds)]
            for method in METHODS:
                options = {"pruning_options": f"block={block}"} if method == "block" else {}
                self.by_task[task].append(cell(method, {**own, **options}, method, seeds))
        super().__init__([one for models in self.by_task.values() for one in models])
        self._paper = words.published(self.name)

    def tables(self) -> dict[str, Table[Row]]:
        """Return one table: a row for each task and model, each against the unpruned one."""
        rows = [row for task in self.by_task for row in self._rows(task)]
        return {self.name: Table(_COLUMNS, tuple(rows))}

    def _rows(self, task: str) -> Iterator[Row]:
        base, *pruned = self.by_task[task]
        start = base.starting_point
        shown = [base, *([Cell(FINE_TUNED, start.configs)] if start else []), *pruned]
        found = self.compare_together([(one, base) for one in shown[1:]])
        for one, difference in zip(shown, (None, *found), strict=True):
            yield Row(
                task=task,
                model=one.label,
                paper=None if one.label == FINE_TUNED else self._published(one.label, task),
                group=self.group(one),
                difference=difference,
                reason=self.reason(one),
            )

    def _published(self, method: str, task: str) -> Published:
        values = self._paper["tables"]["1"]["none" if method == UNPRUNED else method]
        return Published((values or {}).get(task))

    def findings(self) -> list[str]:
        """Return whether the paper's ranking of the four holds on each task."""
        return [line for task in self.by_task for line in self.ranking(task)]

    def ranking(self, task: str) -> list[str]:
        """Return whether the paper's ranking of the four holds on a task, with intervals."""
        pruned = [one for one in self.by_task[task][1:] if self.group(one)]
        missing = [one.label for one in self.by_task[task][1:] if one not in pruned]
        if len(pruned) < 2:
            return [f"{task}: fewer than two of the methods were run, so nothing is ranked."]
        # A score that is undefined is the worst.
        ours = sorted(pruned, key=self._mean, reverse=True)
        pairs = list(itertools.combinations(ours, 2))
        found = self.compare_together(pairs)
        scores = [columns.score_text(columns.group_score(self.group(one))) for one in ours]
        told = [
            f"{task}: ours, best first: "
            + ", ".join(f"{one.label} {score}" for one, score in zip(ours, scores, strict=True))
            + (f" (not run: {', '.join(missing)})" if missing else "")
            + "."
        ]
        apart, rest = [], []
        for (a, b), one in zip(pairs, found, strict=True):
            if one and one.outcome is Outcome.BETTER and not one.is_of_collapsed:
                apart.append(f"{a.label} over {b.label} {words.interval(one)}")
            elif one:
                rest.append(f"{a.label} and {b.label} {words.interval(one)}")
        seeds = max((one.verdict.seeds for one in found if one), default=0)
        shown = "; ".join(apart) + words.these_models(seeds) if apart else "none of the differences"
        told.append(f"{task}: shown to differ: {shown}.")
        if rest:
            told.append(f"{task}: not shown to differ: {'; '.join(rest)}.")
        told.append(f"{task}: {self._verdict(task, pruned)}")
        return told

    def _mean(self, one: Cell) -> float:
        group = self.group(one)
        assert group is not None
        return group.mean if group.mean == group.mean else float("-inf")

    def _verdict(self, task: str, pruned: Sequence[Cell]) -> str:
        """Return the paper's order of each two methods against ours."""
        theirs = {one: self._published(one.label, task).value for one in pruned}
        known = [one for one in pruned if theirs[one] is not None]
        if len(known) < 2:
            return f"the paper's ranking is {ABSENT}, so it is neither confirmed nor contradicted."
        order = sorted(known, key=lambda one: theirs[one] or 0.0, reverse=True)
        told: dict[str, list[str]] = {"confirmed": [], "contradicted": [], "not shown": []}
        kinds = {Outcome.BETTER: "confirmed", Outcome.WORSE: "contradicted"}
        pairs = [(a, b) for a, b in itertools.combinations(order, 2) if theirs[a] != theirs[b]]
        for (a, b), found in zip(pairs, self.compare_together(pairs), strict=True):
            kind, numbers = "not shown", ""
            if found:
                numbers = f" {words.interval(found)}"
                kind = kind if found.is_of_collapsed else kinds.get(found.outcome, kind)
            told[kind].append(f"{a.label} over {b.label}{numbers}")
        if told["contradicted"]:
            verdict = "does not hold"
        else:
            verdict = "is not contradicted" if told["not shown"] else "holds"
        parts = [f"{kind}: {'; '.join(pairs)}" for kind, pairs in told.items() if pairs]
        return (
            f"the paper's ranking ({', '.join(one.label for one in order)}) {verdict}. "
            + (". ".join(parts) or "It tells none of them apart")
            + "."
        )

    def sections(self) -> Iterator[Section]:
        """Yield each task's table and ranking."""
        table = self.tables()[self.name].pick(
            "model", "paper", "ours", "sparsity", "difference", "95 % interval", "verdict"
        )
        for task in self.by_task:
            yield Section(f"{task}{self.sample_mark}", _of_task(table, task))
            yield Section(lines=tuple(self.ranking(task)))
        yield Section(lines=tuple(self.notes()))

    def text(self) -> str:
        """Return the whole comparison in Markdown."""
        mark = self.sample_mark
        table = self.tables()[self.name]
        lines = [
            f"# {self._paper['tables']['1']['title']}{mark}",
            "",
            f"Paper: {self._paper['source']} {self._paper['note']}",
            "",
            self.settings_line(),
            f"A row of `{FINE_TUNED}` is the model that the others start from; `{UNPRUNED}` has "
            "trained on as long as they, and is what each difference is taken to. "
            + words.tests("the models of a task against the unpruned one, and each two methods"),
            "",
        ]
        for task, models in self.by_task.items():
            records = self.records_of(models[0]) or [
                record for one in models for record in self.records_of(one)
            ]
            lines += [f"## {task}{mark}", ""]
            if records:
                lines += [f"{task}: {self.examples(records[0])}.", ""]
            own = _of_task(table, task)
            own = own.pick(*(head for head in own.filled().heads if head != "task"))
            lines += [tables.markdown(own)]
        lines += [f"## The paper's ranking{mark}", ""]
        lines += [f"- {line}" for line in self.findings()]
        lines += ["", *(f"- {line}" for line in self.notes()), "", *self.failed_section()]
        return "\n".join(lines)


def _of_task(table: Table[Row], task: str) -> Table[Row]:
    return table.where(lambda row: row.task == task)
