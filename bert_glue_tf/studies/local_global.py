"""The study of local against global pruning, run again: scores, and where the zeros are."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.models import families
from bert_glue_tf.reports import formats, plots, tables
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import columns, local_global_claims, printed, words, zeros
from bert_glue_tf.studies.cells import Cell, cell
from bert_glue_tf.studies.claims import Answer
from bert_glue_tf.studies.swept import Section, SweptStudy
from bert_glue_tf.studies.zeros import RANKINGS, Zeros

METHOD = "magnitude"
CLAIM = "local pruning is more effective than global pruning"
TASKS = tuple(
    name for name, task in tasks.TASKS.items() if task.file_format == "aspects"
)  # The study's domain.


def sparsities(values: Sequence[str]) -> list[float]:
    """Return `["0.1", "0.5"]` as numbers, ascending.

    Raises:
      UserError: one is no number above 0 and below 1.
    """
    try:
        found = sorted({float(value) for value in values})
    except ValueError:
        found = []
    if not found or not all(0.0 < value < 1.0 for value in found):
        raise UserError(
            f"--sparsities={','.join(values)}: give numbers above 0 and below 1, as in 0.1,0.5,0.9."
        )
    return found


class Grid:
    """The models of one task: unpruned, and each ranking at each sparsity.

    Args:
      task: its name.
      given: settings of the trainings.
      at: the sparsities.
      seeds: of each.

    Raises:
      UserError: there is no such task, or a setting is none of a run.
    """

    def __init__(
        self, task: str, given: Mapping[str, str], at: Sequence[float], seeds: Sequence[int]
    ) -> None:
        self.task = task
        tasks.get(task)
        own = {**given, "task": task}
        self.unpruned = cell("unpruned", own, NO_PRUNING, seeds)
        self.sparsities = tuple(at)
        self.pruned = {
            (ranking, sparsity): cell(
                f"{ranking} {words.percent(sparsity)}",
                {**own, "ranking": ranking, "final_sparsity": str(sparsity)},
                METHOD,
                seeds,
            )
            for sparsity in at
            for ranking in RANKINGS
        }

    @property
    def cells(self) -> list[Cell]:
        """All its models, the unpruned one first."""
        return [self.unpruned, *self.pruned.values()]


# --- rows ---


@dataclasses.dataclass(frozen=True)
class ScoreRow:
    """Both rankings at one sparsity.

    Attributes:
      sparsity: None for the unpruned model, which stands for both.
      groups: ranking -> its models; None where none was finished.
      against: ranking -> its difference to the unpruned model.
      difference: local minus global.
      reason: why runs failed; empty where none did.
    """

    sparsity: float | None
    groups: Mapping[str, Group | None]
    against: Mapping[str, Comparison | None]
    difference: Comparison | None
    reason: str


def _against(ranking: str) -> Column[ScoreRow]:
    return Column(
        f"{ranking} - unpruned",
        lambda row: row.against.get(ranking),
        lambda found: words.interval(found) if found else "",
    )


_SCORES: tuple[Column[ScoreRow], ...] = (
    Column(
        "sparsity",
        lambda row: row.sparsity,
        lambda sparsity: "unpruned" if sparsity is None else words.percent(sparsity),
    ),
    columns.score("local", lambda row: row.groups["local"]),
    columns.score("global", lambda row: row.groups["global"]),
    columns.spread("local's range", lambda row: row.groups["local"]),
    columns.spread("global's range", lambda row: row.groups["global"]),
    *map(_against, RANKINGS),
    *columns.difference(lambda row: row.difference),
    Column("why it failed", lambda row: row.reason),
)


# --- the study ---


class LocalGlobal(SweptStudy):
    """Local against global ranking at several sparsities, on several tasks.

    Args:
      names: of the tasks.
      given: settings of the trainings.
      at: the sparsities.
      seeds: of each.

    Raises:
      UserError: no task or no such task is given, or a setting is none of a run.
    """

    name = "local_global"

    def __init__(
        self,
        names: Sequence[str],
        given: Mapping[str, str],
        at: Sequence[float],
        seeds: Sequence[int],
    ) -> None:
        if not names:
            raise UserError(f"--tasks=: give some of {', '.join(TASKS)}.")
        self.grids = [Grid(name, given, at, seeds) for name in names]
        super().__init__([one for grid in self.grids for one in grid.cells])
        self._facts = printed.document(self.name)

    # --- scores ---

    def scores(self, grid: Grid) -> Table[ScoreRow]:
        """Return a row for each sparsity: both rankings, and local minus global."""
        return Table(_SCORES, tuple(self._score_rows(grid)))

    def _score_rows(self, grid: Grid) -> Iterator[ScoreRow]:
        base = self.group(grid.unpruned)
        reason = self.reason(grid.unpruned)
        differences = self._local_against_global(grid)
        yield ScoreRow(None, dict.fromkeys(RANKINGS, base), {}, None, reason)
        for sparsity in grid.sparsities:
            both = {ranking: grid.pruned[ranking, sparsity] for ranking in RANKINGS}
            failed = (f"{name}: {why}" for name, one in both.items() if (why := self.reason(one)))
            yield ScoreRow(
                sparsity,
                {name: self.group(one) for name, one in both.items()},
                {name: self.compare(one, grid.unpruned) for name, one in both.items()},
                differences[sparsity],
                "; ".join(failed),
            )

    def _local_against_global(self, grid: Grid) -> dict[float, Comparison | None]:
        """Return sparsity -> local minus global, tested together."""
        pairs = [(grid.pruned["local", s], grid.pruned["global", s]) for s in grid.sparsities]
        return dict(zip(grid.sparsities, self.compare_together(pairs), strict=True))

    # --- the claim ---

    def findings(self) -> list[str]:
        """Return the study's claim beside what was found on each task."""
        return [line for grid in self.grids for line in self.finding(grid)]

    def finding(self, grid: Grid) -> list[str]:
        """Return the study's claim beside what was found on a task, with intervals."""
        told: dict[str, list[str]] = {kind: [] for kind in (*_WINNERS.values(), _NO_VERDICT)}
        pairs, seeds = [], 0
        for sparsity, found in self._local_against_global(grid).items():
            if found is None:
                continue
            pairs.append((grid.pruned["local", sparsity], grid.pruned["global", sparsity]))
            seeds = max(seeds, found.verdict.seeds)
            text = f"{words.percent(sparsity)} {words.interval(found)}"
            if found.is_of_collapsed:
                told[_NO_VERDICT].append(f"{text}, {formats.collapsed(found.verdict)}")
            else:
                told[_WINNERS[found.outcome]].append(text)
        if not pairs:
            return [f"{grid.task}: no sparsity has both rankings, so nothing can be told."]
        lines = [f"{grid.task}: {kind}: {'; '.join(some)}." for kind, some in told.items() if some]
        mean = self.mean_difference(pairs)
        if mean is not None and mean.is_defined:
            low, high = mean.interval
            lines.append(
                f"{grid.task}: local minus global, mean of {len(pairs)} sparsit"
                f"{'ies' if len(pairs) > 1 else 'y'}: {mean.mean:+.3f} ({low:+.3f} to {high:+.3f})."
            )
        verdict = _claim(len(told["local better"]), len(told["global better"]), len(pairs))
        claim = f"{grid.task}: the claim that local is the better one {verdict}"
        return [*lines, f"{claim}{words.these_models(seeds)}."]

    def answers(self) -> list[Answer]:
        """Return the answers to the claims on rankings and on where the zeros are."""
        compared = {
            grid.task: {s: c for s, c in self._local_against_global(grid).items() if c is not None}
            for grid in self.grids
        }
        found = [local_global_claims.ranking(compared)]
        for grid in self.grids:
            groups = [group for one in grid.cells if (group := self.group(one)) is not None]
            if groups:
                found.append(local_global_claims.zeros(groups[0], self.zeros[grid.task]))
        named = {one.claim: one for one in reversed(found) if one is not None}
        return list(reversed(named.values()))  # Of one claim, the first task's.

    # --- where the zeros are ---

    @functools.cached_property
    def zeros(self) -> dict[str, Zeros]:
        """Task -> where the zeros are, means over the seeds."""
        return {grid.task: self._zeros(grid) for grid in self.grids}

    def _zeros(self, grid: Grid) -> Zeros:
        found: Zeros = {}
        known: dict[str, int] = {}
        for key, one in grid.pruned.items():
            records = self.records_of(one)
            if records and not known:
                done = next(c for c in one.configs if c.run_name in self.records)
                known = zeros.sizes(self.folder(done) / "model")
            each = [
                zeros.spread(record.sparsity, known, families.get(record.encoder["family"]))
                for record in records
            ]
            if each:
                found[key] = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
        return found

    # --- the whole ---

    def tables(self) -> dict[str, Table[Any]]:
        """Return the scores of each task, and where its zeros are."""
        found: dict[str, Table[Any]] = {}
        for grid in self.grids:
            found[f"{grid.task}_scores"] = self.scores(grid)
            if self.zeros[grid.task]:
                found[f"{grid.task}_zeros"] = zeros.table(self.zeros[grid.task])
        return found

    def sections(self) -> Iterator[Section]:
        """Yield each task's scores, zeros by ranking, and findings; then the study's claim."""
        for grid in self.grids:
            title = f"{grid.task}{self.sample_mark}"
            scores = self.scores(grid)
            heads = ("sparsity", "local", "global", "difference", "95 % interval", "verdict")
            yield Section(title, scores.pick(*heads))
            for ranking in RANKINGS:
                shown = zeros.table(self.zeros[grid.task], (ranking,))
                yield Section(f"{title}: percent of zeros in each part, {ranking}", shown)
            yield Section(lines=tuple(self.finding(grid)))
        yield Section(lines=(f"The study's claim: {CLAIM}.", *self.notes()))

    def figures(self) -> dict[str, Any]:
        """Return score against sparsity and the zeros over the model's parts, for each task."""
        mark = self.sample_mark
        made = {}
        for grid in self.grids:
            curves = {
                ranking: [
                    (sparsity, group)
                    for sparsity in grid.sparsities
                    if (group := self.group(grid.pruned[ranking, sparsity])) is not None
                ]
                for ranking in RANKINGS
            }
            if any(curves.values()):
                title = f"{grid.task}{mark}: local and global ranking"
                base = self.group(grid.unpruned)
                made[f"{grid.task}_scores"] = plots.score_against_sparsity(title, curves, base)
            found = self.zeros[grid.task]
            if found:
                lines = {
                    ranking: {
                        words.percent(s): v for (r, s), v in sorted(found.items()) if r == ranking
                    }
                    for ranking in RANKINGS
                }
                title = f"{grid.task}{mark}: where the zeros are"
                made[f"{grid.task}_zeros"] = plots.zeros_by_part(title, lines)
        return made

    def text(self) -> str:
        """Return the whole study in Markdown."""
        mark = self.sample_mark
        lines = [
            f"# Local and global pruning{mark}",
            "",
            f"Study: {self._facts['source']} Its curves are pictures, so that no number of them "
            f"stands beside ours. Its authors' code: {self._facts['authors_code']['note']}",
            "",
            f"Its claim: {CLAIM}.",
            "",
            self.settings_line(),
            "Ours classifies the polarity of aspects that are given, prunes once and for good "
            "along a schedule, and scores the model at the end of the training; local is one "
            "sparsity for every matrix. Verdict: local against global. "
            + words.tests("all sparsities of a task"),
            "",
            f"## The claim beside what was found{mark}",
            "",
            *(f"- {line}" for line in self.findings()),
            "",
        ]
        for grid in self.grids:
            lines += self._task_text(grid)
        lines += [*(f"- {line}" for line in self.notes()), "", *self.failed_section()]
        return "\n".join(lines)

    def _task_text(self, grid: Grid) -> list[str]:
        mark = self.sample_mark
        records = [record for one in grid.cells for record in self.records_of(one)]
        lines = [f"## {grid.task}: score against sparsity{mark}", ""]
        if records:
            lines += [f"{self.examples(records[0]).capitalize()}.", ""]
        lines += [tables.markdown(self.scores(grid).filled())]
        lines += [f"![scores]({grid.task}_scores.png)", ""]
        found = self.zeros[grid.task]
        if found:
            lines += [
                f"## {grid.task}: percent of zeros in each part of the model{mark}",
                "",
                tables.markdown(zeros.table(found)),
                f"![zeros]({grid.task}_zeros.png)",
                "",
            ]
        return lines


_NO_VERDICT = "no verdict"
_WINNERS = {
    Outcome.BETTER: "local better",
    Outcome.WORSE: "global better",
    Outcome.NO_DIFFERENCE: "no difference shown",
    Outcome.UNDEFINED: "cannot be told",
}


def _claim(better: int, worse: int, total: int) -> str:
    """Return whether local is the better one, by the sparsities at which either is better."""
    if better and not worse:
        return f"holds at {better} of {total}, and is contradicted at none"
    if worse and not better:
        return f"does not hold: global is better at {worse} of {total}"
    if better:
        return f"depends on the sparsity: local is better at {better} of {total}, global at {worse}"
    return f"cannot be told: at none of {total} a difference is shown"
