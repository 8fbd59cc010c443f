"""The study of local against global pruning, run again: scores, and where the zeros are."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bert_glue_tf.data import tasks
from bert_glue_tf.models import families
from bert_glue_tf.reports import formats, plots, reading, tables, verdicts
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.tables import Table
from bert_glue_tf.reports.verdicts import Comparison, Outcome
from bert_glue_tf.studies import local_global_answers, local_global_models, printed, words, zeros
from bert_glue_tf.studies.claims import Answer
from bert_glue_tf.studies.local_global_grids import Grid, Way
from bert_glue_tf.studies.local_global_rows import (
    FIRST,
    OVERVIEW,
    SCORES,
    SPREADS,
    OverviewRow,
    ScoreRow,
)
from bert_glue_tf.studies.study import Section
from bert_glue_tf.studies.swept import SweptStudy
from bert_glue_tf.studies.zeros import RANKINGS, EmbeddingRow, Zeros

CLAIM = "local pruning is more effective than global pruning"


class LocalGlobal(SweptStudy):
    """Local against global ranking at several sparsities, of several models.

    Where a task has a test split, as the study's own, scores and differences are those of its
    examples.

    Args:
      grids: of the models; those of one model share the unpruned one.
    """

    name = "local_global"

    def __init__(self, grids: Sequence[Grid]) -> None:
        self.grids = list(grids)
        super().__init__(list(dict.fromkeys(one for grid in grids for one in grid.cells)))
        self._facts = printed.document(self.name)

    def read(self, folders: Iterable[pathlib.Path]) -> None:
        super().read(folders)
        self._models = {key: reading.on_test_splits(one) for key, one in self._models.items()}

    # --- scores ---

    def scores(self, grid: Grid) -> Table[ScoreRow]:
        """Return a row for each sparsity: both rankings, and local minus global."""
        return Table(SCORES, tuple(self._score_rows(grid)))

    def _score_rows(self, grid: Grid) -> Iterator[ScoreRow]:
        base, majority = self.group(grid.unpruned), self._majority(grid)
        reason = self.reason(grid.unpruned)
        differences = self.local_against_global(grid)
        yield ScoreRow(None, dict.fromkeys(RANKINGS, base), {}, None, {}, reason, majority)
        for sparsity in grid.sparsities:
            both = {ranking: grid.pruned[ranking, sparsity] for ranking in RANKINGS}
            failed = (f"{name}: {why}" for name, one in both.items() if (why := self.reason(one)))
            yield ScoreRow(
                sparsity,
                {name: self.group(one) for name, one in both.items()},
                {name: self.compare(one, grid.unpruned) for name, one in both.items()},
                differences[sparsity],
                {name: zeros.removed(self.records_of(one)) for name, one in both.items()},
                "; ".join(failed),
                majority,
            )

    def _majority(self, grid: Grid) -> float | None:
        """Return the score of the best answer that is always the same, as the majority class."""
        done = next((group for one in grid.cells if (group := self.group(one))), None)
        return None if done is None else verdicts.constant_answer(done.first, done.metric)

    def local_against_global(self, grid: Grid) -> dict[float, Comparison | None]:
        """Return sparsity -> local minus global, tested together."""
        found = [
            self.compare(grid.pruned["local", s], grid.pruned["global", s]) for s in grid.sparsities
        ]
        # A ranking that collapses where the other does not is counted as the worse one.
        tested = self.corrected(found, lambda one: not one.all_collapsed)
        return dict(zip(grid.sparsities, tested, strict=True))

    def overview(self) -> Table[OverviewRow]:
        """Return a row for each grid: at how many sparsities either ranking is better."""
        return Table(OVERVIEW, tuple(map(self._overview_row, self.grids)))

    def _overview_row(self, grid: Grid) -> OverviewRow:
        found = {s: one for s, one in self.local_against_global(grid).items() if one is not None}
        outcomes = [local_global_answers.outcome(one) for one in found.values()]
        pairs = [(grid.pruned["local", s], grid.pruned["global", s]) for s in found]
        return OverviewRow(
            grid.title,
            self.group(grid.unpruned),
            printed.unpruned(grid.model),
            self._majority(grid),
            {
                "local": outcomes.count(Outcome.BETTER),
                "global": outcomes.count(Outcome.WORSE),
            },
            len(found),
            self.mean_difference(pairs) if pairs else None,
        )

    # --- the claims ---

    def findings(self) -> list[str]:
        """Return the study's claims beside what was found with each model."""
        return [*self._claims(), *(line for grid in self.grids for line in self.finding(grid))]

    def _claims(self) -> list[str]:
        """Return the study's claims with their answers, a line each."""
        return [f"{text}: {told}" for text, told in local_global_answers.told(self.answers())]

    def finding(self, grid: Grid) -> list[str]:
        """Return the study's claim beside what was found with a model, with intervals."""
        told: dict[str, list[str]] = {kind: [] for kind in (*_WINNERS.values(), _NO_VERDICT)}
        pairs, seeds = [], 0
        for sparsity, found in self.local_against_global(grid).items():
            if found is None:
                continue
            pairs.append((grid.pruned["local", sparsity], grid.pruned["global", sparsity]))
            seeds = max(seeds, found.verdict.seeds)
            text = f"{words.percent(sparsity)} {words.interval(found)}"
            better = local_global_answers.outcome(found)
            if found.is_of_collapsed:
                text = f"{text}, {formats.collapsed(found.verdict)}"
            is_open = found.is_of_collapsed and better is Outcome.UNDEFINED
            told[_NO_VERDICT if is_open else _WINNERS[better]].append(text)
        if not pairs:
            return [f"{grid.title}: no sparsity has both rankings, so nothing can be told."]
        lines = [f"{grid.title}: {kind}: {'; '.join(some)}." for kind, some in told.items() if some]
        mean = self.mean_difference(pairs)
        if mean is not None and mean.is_defined:
            low, high = mean.interval
            lines.append(
                f"{grid.title}: local minus global, mean of {len(pairs)} sparsit"
                f"{'ies' if len(pairs) > 1 else 'y'}: {mean.mean:+z.3f} "
                f"({low:+z.3f} to {high:+z.3f})."
            )
        verdict = local_global_answers.in_words(
            len(told["local better"]), len(told["global better"]), len(pairs)
        )
        claim = f"{grid.title}: the claim that local is the better one {verdict}"
        return [*lines, f"{claim}{words.these_models(seeds)}."]

    def answers(self) -> list[Answer]:
        """Return the answers to the claims on rankings and on where the zeros are."""
        return local_global_answers.answers([self._found(grid) for grid in self.grids])

    def _found(self, grid: Grid) -> local_global_answers.Found:
        compared = self.local_against_global(grid)
        against = {
            key: found
            for key, one in grid.pruned.items()
            if (found := self.compare(one, grid.unpruned)) is not None
        }
        return local_global_answers.Found(
            grid=grid,
            unpruned=self.group(grid.unpruned),
            compared={s: one for s, one in compared.items() if one is not None},
            against=against,
            pruned=next((g for one in grid.pruned.values() if (g := self.group(one))), None),
            removed={
                key: gone
                for key, one in grid.pruned.items()
                if (gone := zeros.removed(self.records_of(one))) is not None
            },
            zeros=self.zeros[grid.name],
            sizes=self.sizes[grid.name],
        )

    def notes(self) -> list[str]:
        """Return what a reader has to know; runs that are marked in the tables are counted."""
        lines = [line for line in super().notes() if not line.startswith("Warning: ")]
        marked = sum(bool(record.warnings) for record in self.records.values())
        if marked:
            lines.append(
                f"{marked} of {len(self.records)} runs are COLLAPSED or not above chance, on the "
                "validation or the test split; the tables mark them, and their records say why."
            )
        return lines

    # --- where the zeros are ---

    @functools.cached_property
    def _weights(self) -> dict[str, dict[str, int]]:
        """Name of a grid -> weight of its network -> number of elements; read once for a model."""
        known: dict[Any, dict[str, int]] = {}
        for grid in self.grids:
            configs = (c for one in grid.pruned.values() for c in one.configs)
            done = next((c for c in configs if c.run_name in self.records), None)
            if done is not None and grid.unpruned not in known:
                known[grid.unpruned] = zeros.sizes(self.folder(done) / "model")
        return {grid.name: known.get(grid.unpruned, {}) for grid in self.grids}

    @functools.cached_property
    def zeros(self) -> dict[str, Zeros]:
        """Name of a grid -> where the zeros are, means over the seeds."""
        return {grid.name: self._zeros(grid) for grid in self.grids}

    @functools.cached_property
    def sizes(self) -> dict[str, dict[str, int]]:
        """Name of a grid -> part of the network -> number of its weights in scope."""
        return {grid.name: self._sizes(grid) for grid in self.grids}

    def _zeros(self, grid: Grid) -> Zeros:
        found: Zeros = {}
        known = self._weights[grid.name]
        for key, one in grid.pruned.items():
            each = [
                zeros.spread(record.sparsity, known, families.get(record.encoder["family"]))
                for record in self.records_of(one)
            ]
            if each:
                found[key] = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
        return found

    def _sizes(self, grid: Grid) -> dict[str, int]:
        found: dict[str, int] = {}
        record = next((r for one in grid.pruned.values() for r in self.records_of(one)), None)
        if record is None:
            return found
        family = families.get(record.encoder["family"])
        for name in record.sparsity:
            part = family.part_of(name)
            found[part] = found.get(part, 0) + self._weights[grid.name][name]
        return found

    def embeddings(self) -> Table[EmbeddingRow]:
        """Return the weights of the embeddings of BERTs beside the study's; no rows without one."""
        known = local_global_models.MODELS
        models = {
            known[grid.model].title if grid.model else grid.title: grid
            for grid in self.grids
            if zeros.has_embeddings(self.sizes[grid.name])
        }
        return zeros.embeddings(
            zeros.embedding_row(title, self.sizes[one.name], sum(self._weights[one.name].values()))
            for title, one in models.items()
        )

    # --- the whole ---

    def tables(self) -> dict[str, Table[Any]]:
        """Return the overview, the scores of each model, and where its zeros are."""
        found: dict[str, Table[Any]] = {"local_global_overview": self.overview()}
        if (own := self.embeddings()).rows:
            found["local_global_embeddings"] = own
        for grid in self.grids:
            found[f"{grid.name}_scores"] = self.scores(grid)
            if self.zeros[grid.name]:
                found[f"{grid.name}_zeros"] = zeros.table(self.zeros[grid.name])
        return found

    def sections(self) -> Iterator[Section]:
        """Yield each model's scores, zeros by ranking, and findings; then overview and claims."""
        for grid in self.grids:
            title = f"{grid.title}{self.sample_mark}"
            scores = self.scores(grid)
            removed = ("local's zeros", "global's zeros") if grid.way is Way.REGROWN else ()
            yield Section(title, scores.pick(*FIRST, *removed))
            yield Section(f"{title}: each ranking's scores", scores.pick(*SPREADS))
            for ranking in RANKINGS:
                shown = zeros.table(self.zeros[grid.name], (ranking,))
                yield Section(f"{title}: percent of zeros in each part, {ranking}", shown)
            yield Section(lines=tuple(self.finding(grid)))
        if len(self.grids) > 1:  # At the end, which a terminal shows.
            yield Section(f"All models{self.sample_mark}", self.overview())
        if (own := self.embeddings()).rows:
            yield Section(_EMBEDDINGS, own)
        yield Section(lines=(f"The study's claim: {CLAIM}.", *self._claims(), *self.notes()))

    def figures(self) -> dict[str, Any]:
        """Return score against sparsity and the zeros over the network's parts, for each model."""
        made = {}
        for grid in self.grids:
            curves = {ranking: list(self._curve(grid, ranking)) for ranking in RANKINGS}
            if any(curves.values()):
                title = f"{grid.title}{self.sample_mark}: local and global ranking"
                base = self.group(grid.unpruned)
                made[f"{grid.name}_scores"] = plots.score_against_sparsity(title, curves, base)
            if self.zeros[grid.name]:
                title = f"{grid.title}{self.sample_mark}: where the zeros are"
                lines = zeros.lines(self.zeros[grid.name])
                made[f"{grid.name}_zeros"] = plots.zeros_by_part(title, lines)
        return made

    def _curve(self, grid: Grid, ranking: str) -> Iterator[tuple[float, Group]]:
        """Yield the share of weights that are zero in truth, and the models that have it."""
        for sparsity in grid.sparsities:
            one = grid.pruned[ranking, sparsity]
            group, removed = self.group(one), zeros.removed(self.records_of(one))
            if group is not None and removed is not None:
                yield removed if grid.way is Way.REGROWN else sparsity, group

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
            *self._ways(),
            "Verdict: local against global. better: the ranking that is shown to be better, also "
            "where the other one has COLLAPSED and there is no verdict. "
            + words.tests("all sparsities of a model"),
            "",
            tables.markdown(self.overview()),
            f"## The claims beside what was found{mark}",
            "",
            *(f"- {line}" for line in self._claims()),
            "",
        ]
        if (own := self.embeddings()).rows:
            lines += [f"## {_EMBEDDINGS}", "", tables.markdown(own)]
        for grid in self.grids:
            lines += self._grid_text(grid)
        lines += [*(f"- {line}" for line in self.notes()), "", *self.failed_section()]
        return "\n".join(lines)

    def _ways(self) -> list[str]:
        """Return the meaning of the ways in which the rankings are compared here, a paragraph each.

        Of tasks that are none of the study's models it says what they are.
        """
        found = {grid.way for grid in self.grids}
        lines = [way.explained for way in Way if way in found]
        if Way.REGROWN in found:
            lines.append(f"Of CNNs: {self._facts['authors_code']['cnn']['note']}")
        models = [grid.model for grid in self.grids if grid.model]
        lines += local_global_models.deviations(models, list(found))
        if any(not grid.model for grid in self.grids):
            lines.append(
                "Ours classifies texts, as the polarity of aspects that are given; the study's "
                "models find the aspects."
            )
        return [part for line in lines for part in (line, "")]

    def _grid_text(self, grid: Grid) -> list[str]:
        mark = self.sample_mark
        lines = [f"## {grid.title}: score against sparsity{mark}", ""]
        lines += [self._made(grid), ""]
        lines += [tables.markdown(self.scores(grid).filled())]
        lines += [f"![scores]({grid.name}_scores.png)", ""]
        lines += [*(f"- {line}" for line in self.finding(grid)), ""]
        found = self.zeros[grid.name]
        if found:
            lines += [f"## {grid.title}: percent of zeros in each part of the model{mark}", ""]
            for ranking in RANKINGS:
                lines += [f"{ranking.capitalize()}:", ""]
                lines += [tables.markdown(zeros.table(found, (ranking,)))]
            lines += [f"![zeros]({grid.name}_zeros.png)", ""]
        return lines

    def _made(self, grid: Grid) -> str:
        """Return what a model was trained and scored on, and its settings."""
        records = [record for one in grid.cells for record in self.records_of(one)]
        if not records:
            return "No run of it was finished."
        told = [self.settings_line(grid.cells)]
        data = records[0].data
        used, of = data["train"]["examples"], data["train"]["split_examples"]
        limited = f"{used:,} of its {of:,}" if used != of else f"all {of:,}"
        task = tasks.of(records[0])
        scored = sum(
            data[s]["examples"] for s in (task.test_splits or task.validation_splits).values()
        )
        told.append(
            f"Trained on {limited} examples, scored on {scored:,}"
            f"{' of the test file' if task.test_splits else ''} ({task.primary_metric})."
        )
        majority = self._majority(grid)
        if majority is not None:
            told.append(f"The best answer that is always the same has {majority:.4f}.")
        return " ".join(told)


_EMBEDDINGS = "Weights of the embeddings, and their share of all"
_NO_VERDICT = "no verdict"
_WINNERS = {
    Outcome.BETTER: "local better",
    Outcome.WORSE: "global better",
    Outcome.NO_DIFFERENCE: "no difference shown",
    Outcome.UNDEFINED: "cannot be told",
}
