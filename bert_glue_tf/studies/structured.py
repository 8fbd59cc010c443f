"""Table 1 of the second report beside ours: magnitude, row, column and block pruning."""

from __future__ import annotations

import itertools
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.reports import formats, tables, verdicts
from bert_glue_tf.reports.formats import Score
from bert_glue_tf.reports.tables import Table
from bert_glue_tf.reports.verdicts import Outcome
from bert_glue_tf.runs.settings import TRAINING
from bert_glue_tf.studies import claims, columns, printed, printed_claims, words
from bert_glue_tf.studies.cells import Cell, cell
from bert_glue_tf.studies.claims import Answer, Verdict
from bert_glue_tf.studies.structured_rows import COLUMNS, UNPRUNED, Row, whole_table
from bert_glue_tf.studies.study import Section
from bert_glue_tf.studies.swept import SweptStudy

METHODS = ("magnitude", "row", "column", "block")
FINE_TUNED = "fine-tuned only"
# The report's seven and two more of GLUE.
TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
MAJORITY = "always one answer"


class Structured(SweptStudy):
    """The four methods at one ratio, on several tasks.

    Each model is fine-tuned, pruned at once by one ratio for the six matrices of every layer, and
    retrained, by the command until the training loss stands still; the unpruned one trains on by
    the same rule without being pruned.

    Args:
      tasks: names.
      given: settings of the trainings.
      seeds: of each.
      block: size of a block, inputs x outputs.
      sst2_examples: training examples of SST-2, 0 = all.
      own_data: folders of one's own texts, each a task more. A folder is named after the task of
        the report that its texts are drawn from, as `mnli_9k`.

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
        own_data: Sequence[str] = (),
    ) -> None:
        if not (tasks or own_data) or any(task not in TASKS for task in tasks):
            raise UserError(f"--tasks={','.join(tasks)}: give some of {', '.join(TASKS)}.")
        if sst2_examples < 0:
            raise UserError(f"--sst2_train_examples={sst2_examples}: must be 0 (all) or more.")
        if given["finetune_epochs"] == "0":
            raise UserError(
                "--finetune_epochs=0: the study prunes fine-tuned models. Give 1 or more."
            )
        self.by_task: dict[str, list[Cell]] = {}
        for task, data in {**dict.fromkeys(tasks, given["data"]), **_named(own_data)}.items():
            own = {**given, "task": task, "data": data}
            own |= {"pruning_schedule": "one_shot", "ranking": "local"}
            if task == "sst2" and sst2_examples:
                own["train_examples"] = str(sst2_examples)
            self.by_task[task] = [cell(UNPRUNED, own, NO_PRUNING, seeds)]
            for method in METHODS:
                options = {"pruning_options": f"block={block}"} if method == "block" else {}
                self.by_task[task].append(cell(method, {**own, **options}, method, seeds))
        super().__init__([one for models in self.by_task.values() for one in models])
        self._theirs = printed.structures()

    def tables(self) -> dict[str, Table[Row]]:
        """Return one table: a row for each task and model, each against the unpruned one."""
        rows = [row for task in self.by_task for row in self._rows(task)]
        return {self.name: Table(COLUMNS, tuple(rows))}

    def metric(self, task: str) -> str:
        """Return the report's metric of a task: F1 of MRPC, Spearman's correlation of STS-B."""
        known = _printed_task(task)
        return printed.metric_of(known, tasks.get(known).primary_metric)

    def _rows(self, task: str) -> Iterator[Row]:
        base, *pruned = self.by_task[task]
        metric = self.metric(task)
        start = base.starting_point
        shown = [base, *([Cell(FINE_TUNED, start.configs)] if start else []), *pruned]
        found = self.compare_together([(one, base) for one in shown[1:]], metric)
        constant = self._constant(task)
        for one, difference in zip(shown, (None, *found), strict=True):
            theirs = None if one.label == FINE_TUNED else self._published(one.label, task)
            yield Row(
                task=task,
                model=one.label,
                metric=metric,
                theirs=theirs,
                is_above=theirs is None or not constant or printed.is_above(theirs, *constant),
                group=self.group(one),
                difference=difference,
                reason=self.reason(one),
            )
        if constant:
            yield Row(task=task, model=MAJORITY, metric=metric, constant=constant[0])

    def _constant(self, task: str) -> tuple[float, int] | None:
        """Return the score of the answer that is always the same, and the number of examples.

        None where no model of the task is finished, and for correlations, which it has not.
        """
        groups = [group for one in self.by_task[task] if (group := self.group(one)) is not None]
        if not groups or not groups[0].first.task.problem.is_right_or_wrong:
            return None
        first = groups[0].first
        return verdicts.constant_answer(first, self.metric(task)), first.examples

    def _published(self, method: str, task: str) -> float | None:
        return self._theirs[NO_PRUNING if method == UNPRUNED else method].get(_printed_task(task))

    def findings(self) -> list[str]:
        """Return whether the report's ranking of the four holds on each task."""
        return [line for task in self.by_task for line in self.ranking(task)]

    def ranking(self, task: str) -> list[str]:
        """Return whether the report's ranking of the four holds on a task, with intervals."""
        pruned = [one for one in self.by_task[task][1:] if self.group(one)]
        missing = [one.label for one in self.by_task[task][1:] if one not in pruned]
        if len(pruned) < 2:
            return [f"{task}: fewer than two of the methods were run, so nothing is ranked."]
        # A score that is undefined is the worst.
        metric = self.metric(task)
        ours = sorted(pruned, key=lambda one: self._mean(one, metric), reverse=True)
        pairs = list(itertools.combinations(ours, 2))
        found = self.compare_together(pairs, metric)
        scores = [columns.score_text(self._score(one, metric)) for one in ours]
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

    def _mean(self, one: Cell, metric: str) -> float:
        score = self._score(one, metric).value
        return float("-inf") if math.isnan(score) else score

    def _score(self, one: Cell, metric: str) -> Score:
        group = self.group(one)
        assert group is not None
        return Score(group.mean_of(metric), group.mark)

    def _verdict(self, task: str, pruned: Sequence[Cell]) -> str:
        """Return the report's order of each two methods against ours."""
        theirs = {one: self._published(one.label, task) for one in pruned}
        known = [one for one in pruned if theirs[one] is not None]
        if len(known) < 2:
            return "the report has no such task, so its ranking is not asked for here."
        order = sorted(known, key=lambda one: theirs[one] or 0.0, reverse=True)
        told: dict[str, list[str]] = {"confirmed": [], "contradicted": [], "not shown": []}
        kinds = {Outcome.BETTER: "confirmed", Outcome.WORSE: "contradicted"}
        pairs = [(a, b) for a, b in itertools.combinations(order, 2) if theirs[a] != theirs[b]]
        compared = self.compare_together(pairs, self.metric(task))
        for (a, b), found in zip(pairs, compared, strict=True):
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
            f"the report's ranking ({', '.join(one.label for one in order)}) {verdict}. "
            + (". ".join(parts) or "It tells none of them apart")
            + "."
        )

    def answers(self) -> list[Answer]:
        """Return the answers to the report's claims, from all tasks that were run."""
        return [
            self._answer("structured.irregular", [("magnitude", m) for m in METHODS[1:]]),
            self._answer("structured.column_block", _COLUMN_FIRST_BLOCK_LAST),
            *self._works(),
        ]

    def _works(self) -> Iterator[Answer]:
        """Yield for MRPC and RTE whether rows, columns and blocks beat one answer to everything."""
        for task in ("mrpc", "rte"):
            cells = {one.label: one for one in self.by_task.get(task, ())}
            ours = {
                name: (group.mean_of(self.metric(task)), group.interval_of(self.metric(task)))
                for name in ("row", "column", "block")
                if name in cells and (group := self.group(cells[name]))
            }
            constant = self._constant(task) if ours else None
            if constant:
                told = ", ".join(
                    f"{name} {mean:.3f} ({formats.span(interval)})"
                    for name, (mean, interval) in ours.items()
                )
                yield printed_claims.works(
                    task, f"Ours: {told}, always one answer {constant[0]:.3f}"
                )

    def _answer(self, claim: str, order: Sequence[tuple[str, str]]) -> Answer:
        """Return whether each first of two methods is the better one, on every task.

        Args:
          claim: its name.
          order: pairs (better, worse) that it states.
        """
        told: dict[Outcome, list[str]] = {one: [] for one in Outcome}
        examples, seeds, encoder = 0, 0, ""
        least: list[float] = []  # Differences that could be shown.
        for task, (_, *pruned) in self.by_task.items():
            by_label = {one.label: one for one in pruned}
            pairs = [(by_label[a], by_label[b]) for a, b in order]
            for (a, b), found in zip(
                pairs, self.compare_together(pairs, self.metric(task)), strict=True
            ):
                if found is None:
                    continue
                examples += found.examples if (a, b) == pairs[0] else 0
                seeds = max(seeds, len(found.difference.by_seed))
                encoder = found.encoder
                if found.difference.is_defined:
                    least.append(claims.smallest(found))
                # A collapsed model gives no verdict, as in the findings.
                kind = Outcome.UNDEFINED if found.is_of_collapsed else found.outcome
                told[kind].append(f"{task}: {a.label} over {b.label} {words.interval(found)}")
        verdict = _of_pairs(told)
        numbers = ". ".join(
            f"{_KINDS[kind]}: {'; '.join(some)}" for kind, some in told.items() if some
        )
        own = {
            "structured.irregular": printed.irregular_is_best(),
            "structured.column_block": printed.column_best_block_worst(),
        }[claim][1]
        if least:
            numbers += f". Shown four times of five would be {min(least):.3f} to {max(least):.3f}"
        numbers += f". Its own table contradicts it on {printed.names(own)}"
        return Answer(claim, verdict, numbers, examples, seeds, encoder)

    def sections(self) -> Iterator[Section]:
        """Yield each task's table and ranking."""
        whole = self.tables()[self.name]
        scores, against = whole.pick(*_SCORES), whole.pick(*_AGAINST)
        for task in self.by_task:
            title = f"{task}, {self.metric(task)}{self.sample_mark}"
            yield Section(title, _of_task(scores, task))
            compared = _of_task(against, task).where(lambda row: row.difference is not None)
            yield Section(f"{title}: against the unpruned model", compared)
            yield Section(lines=tuple(self.ranking(task)))
        yield Section(lines=(self._rule(), _STAR, *self.notes()))

    def _rule(self) -> str:
        """Return how long each model trains on after it was pruned, in words."""
        config = self.cells[0].configs[0]
        if not config.early_stopping:
            return (
                f"Each model trains on for {config.epochs} epochs, the report's until the loss "
                "stands still."
            )
        theirs = ", as the report's" if config.early_stopping_loss == TRAINING else ""
        return (
            f"Each model trains on until its {config.early_stopping_loss} loss stands still"
            f"{theirs}: until {config.early_stopping} epochs have not brought it more than "
            f"{100 * config.early_stopping_threshold:g} % below the one that it had last fallen "
            f"to, and for {config.epochs} epochs at most (epochs: after how many each seed has "
            "stopped)."
        )

    def text(self) -> str:
        """Return the whole comparison in Markdown."""
        mark = self.sample_mark
        facts = printed.document(self.name)
        table = self.tables()[self.name]
        lines = [
            f"# {facts['table1']['title']}{mark}",
            "",
            f"Report: {facts['source']}",
            "",
            self.settings_line(),
            f"A row of `{FINE_TUNED}` is the model that the others start from; `{UNPRUNED}` has "
            "trained on by the same rule as they, and is what each difference is taken to. "
            f"{self._rule()} `loss, last epoch`: the change of the training loss in it. "
            + words.tests("the models of a task against the unpruned one, and each two methods"),
            "",
            _STAR,
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
        lines += ["## The whole table of the report", "", tables.markdown(whole_table()), ""]
        lines += [f"## The report's ranking{mark}", ""]
        lines += [f"- {line}" for line in self.findings()]
        lines += ["", *(f"- {line}" for line in self.notes()), "", *self.failed_section()]
        return "\n".join(lines)


def _printed_task(name: str) -> str:
    """Return the task of GLUE that one is, or that its texts are drawn from."""
    return name if name in TASKS else name.split("_")[0]


def _named(folders: Sequence[str]) -> dict[str, str]:
    """Return task -> folder of one's own texts.

    Raises:
      UserError: a folder is named after no task, or two have one name.
    """
    found: dict[str, str] = {}
    for folder in folders:
        name = pathlib.PurePath(folder).name
        if _printed_task(name) not in TASKS or name in TASKS:
            raise UserError(
                f"--own_data={folder}: the folder's name is the task's, and begins with that of "
                f"the task of GLUE that its texts are drawn from, as mnli_9k: {', '.join(TASKS)}."
            )
        if name in found:
            raise UserError(f"--own_data={folder}: {found[name]} has the same name. Rename one.")
        found[name] = folder
    return found


def _of_pairs(told: Mapping[Outcome, Sequence[str]]) -> Verdict:
    """Return the answer to a claim that is made of differences, by their outcomes."""
    if told[Outcome.WORSE]:
        return Verdict.DOES_NOT_HOLD
    if not any(told.values()):
        return Verdict.NOT_RUN
    open_ones = [*told[Outcome.NO_DIFFERENCE], *told[Outcome.UNDEFINED]]
    return Verdict.CANNOT_BE_TOLD if open_ones else Verdict.HOLDS


_KINDS = {
    Outcome.BETTER: "shown",
    Outcome.WORSE: "the other way round",
    Outcome.NO_DIFFERENCE: "not shown",
    Outcome.UNDEFINED: "undefined",
}
_COLUMN_FIRST_BLOCK_LAST = (("column", "row"), ("row", "block"), ("column", "block"))
_STAR = (
    "(*): the report's score is not above the answer that is always the same by more than the "
    "noise of so many examples."
)


# The columns of the two tables that a terminal shows of a task.
_SCORES = ("model", "report", "ours", "range", "score's interval", "epochs")
_AGAINST = ("model", "sparsity", "difference", "95 % interval", "verdict")


def _of_task(table: Table[Row], task: str) -> Table[Row]:
    return table.where(lambda row: row.task == task)
