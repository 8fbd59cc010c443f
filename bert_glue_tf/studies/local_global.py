"""The study of local against global pruning, run again: scores, and where the zeros are."""

from __future__ import annotations

import importlib.resources
import json
import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.compression.registry import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.models.bert import structure
from bert_glue_tf.reports import tables, verdicts
from bert_glue_tf.studies import studying
from bert_glue_tf.studies.studying import ABSENT, Cell, Study

METHOD = "magnitude"
RANKINGS = ("local", "global")
TASKS = tuple(name for name, task in tasks.TASKS.items() if not task.is_glue)


def published() -> dict[str, Any]:
    """The study's claim, committed as data with its source."""
    file = importlib.resources.files("bert_glue_tf.studies") / "published" / "local_global.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def sparsities(values: Sequence[str]) -> list[float]:
    """`["0.1", "0.5"]` as numbers, ascending.

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


def percent(sparsity: float) -> str:
    """`30 %`, or `12.5 %`."""
    return f"{100 * sparsity:g} %"


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
        self.unpruned = studying.cell("unpruned", own, NO_PRUNING, seeds)
        self.sparsities = tuple(at)
        self.pruned = {
            (ranking, sparsity): studying.cell(
                f"{ranking} {percent(sparsity)}",
                {**own, "ranking": ranking, "final_sparsity": str(sparsity)},
                METHOD,
                seeds,
            )
            for sparsity in at
            for ranking in RANKINGS
        }

    @property
    def cells(self) -> list[Cell]:
        return [self.unpruned, *self.pruned.values()]


# Scores.


def score_rows(study: Study, grid: Grid) -> list[dict[str, str]]:
    """A row for each sparsity: both rankings, each against unpruned, and local minus global."""
    base = study.group(grid.unpruned)
    found = [
        {
            "sparsity": "unpruned",
            "local": studying.score(base),
            "global": studying.score(base),
            "local's range": studying.spread(base),
            "global's range": studying.spread(base),
            "local - unpruned": "",
            "global - unpruned": "",
            **studying.difference(None),
            "why it failed": study.reason(grid.unpruned),
        }
    ]
    for sparsity in grid.sparsities:
        both = {ranking: grid.pruned[ranking, sparsity] for ranking in RANKINGS}
        row = {"sparsity": percent(sparsity)}
        row |= {name: studying.score(study.group(one)) for name, one in both.items()}
        row |= {f"{n}'s range": studying.spread(study.group(one)) for n, one in both.items()}
        for name, one in both.items():
            against = study.compare(one, grid.unpruned)
            row[f"{name} - unpruned"] = studying.interval(against) if against else ""
        row |= studying.difference(study.compare(both["local"], both["global"]))
        failed = (f"{name}: {why}" for name, one in both.items() if (why := study.reason(one)))
        row["why it failed"] = "; ".join(failed)
        found.append(row)
    return found


def compact(table: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The rows without what only the files hold, for a terminal of 100 columns."""
    heads = ("sparsity", "local", "global", "difference", "95 % interval", "verdict")
    return studying.pick(table, heads)


def finding(study: Study, grid: Grid) -> list[str]:
    """The study's claim beside what was found on a task, in words, with intervals."""
    better: list[str] = []
    worse: list[str] = []
    noise: list[str] = []
    pairs = []
    for sparsity in grid.sparsities:
        local, global_ = (grid.pruned[ranking, sparsity] for ranking in RANKINGS)
        found = study.compare(local, global_)
        if found is None:
            continue
        first, second = study.group(local), study.group(global_)
        assert first is not None
        assert second is not None
        pairs.append((first, second))
        told = f"{percent(sparsity)} {studying.interval(found)}"
        if found.collapsed and found.base_collapsed:
            noise.append(f"{told}, both COLLAPSED")
        elif not found.difference.is_defined or found.difference.is_noise:
            noise.append(told)
        else:
            (better if found.difference.mean > 0 else worse).append(told)
    if not pairs:
        return [f"{grid.task}: no sparsity has both rankings, so nothing can be told."]
    lines = [
        f"{grid.task}: {name}: {'; '.join(told)}."
        for name, told in (
            ("local better", better),
            ("global better", worse),
            ("within noise", noise),
        )
        if told
    ]
    mean = verdicts.mean_difference(pairs)
    if mean is not None and mean.is_defined:
        low, high = mean.interval
        lines.append(
            f"{grid.task}: local minus global, mean of {len(pairs)} sparsit"
            f"{'ies' if len(pairs) > 1 else 'y'}: {mean.mean:+.3f} ({low:+.3f} to {high:+.3f})."
        )
    total = len(pairs)
    if better and not worse:
        verdict = f"holds at {len(better)} of {total}, and is contradicted at none"
    elif worse and not better:
        verdict = f"does not hold: global is better at {len(worse)} of {total}"
    elif better:
        verdict = f"depends on the sparsity: local is better at {len(better)} of {total}, "
        verdict += f"global at {len(worse)}"
    else:
        verdict = f"cannot be told: at all {total} the two are within noise"
    return [*lines, f"{grid.task}: the claim that local is the better one {verdict}."]


# Where the zeros are.


def spread(sparsity: Mapping[str, float], sizes: Mapping[str, int]) -> dict[str, float]:
    """Part of the model -> fraction of its prunable weights that are zero, from bottom to top.

    Args:
      sparsity: of a record: weight -> fraction of it that is zero.
      sizes: weight -> its number of elements.
    """
    zeros: dict[str, float] = {}
    whole: dict[str, int] = {}
    for name, fraction in sparsity.items():
        key = structure.part_of(name)
        zeros[key] = zeros.get(key, 0.0) + fraction * sizes[name]
        whole[key] = whole.get(key, 0) + sizes[name]
    return {key: zeros[key] / whole[key] for key in sorted(zeros, key=structure.place_of)}


def sizes(folder: pathlib.Path) -> dict[str, int]:
    """Weight -> number of elements, of the model that a run has saved."""
    import tensorflow as tf

    saved = tf.saved_model.load(str(folder))
    return {structure.name_of(v): math.prod(v.shape) for v in saved.variables}


Spread = dict[tuple[str, float], dict[str, float]]


def spreads(study: Study, grid: Grid) -> Spread:
    """(ranking, sparsity) -> part of the model -> its fraction of zeros, mean over the seeds."""
    found: Spread = {}
    known: dict[str, int] = {}
    for key, one in grid.pruned.items():
        records = study.record_of(one)
        if records and not known:
            done = next(c for c in one.configs if c.run_name in study.records)
            known = sizes(study.folder(done) / "model")
        each = [spread(record.sparsity, known) for record in records]
        if each:
            found[key] = {name: sum(one[name] for one in each) / len(each) for name in each[0]}
    return found


def spread_rows(found: Spread) -> list[dict[str, str]]:
    """A row for each part of the model, a column for each ranking and sparsity."""
    parts = list(dict.fromkeys(name for values in found.values() for name in values))
    ordered = sorted(found, key=lambda key: (RANKINGS.index(key[0]), key[1]))
    return [
        {"part": name}
        | {f"{r} {percent(s)}": f"{100 * found[r, s].get(name, math.nan):.1f}" for r, s in ordered}
        for name in parts
    ]


def compact_spread(found: Spread) -> dict[str, list[dict[str, str]]]:
    """The same for a terminal of 100 columns: ranking -> rows with a column for each sparsity."""
    tables = {}
    for ranking in RANKINGS:
        rows = spread_rows({key: values for key, values in found.items() if key[0] == ranking})
        tables[ranking] = [
            {head.removeprefix(f"{ranking} "): value for head, value in row.items()} for row in rows
        ]
    return tables


# Figures and text.


def figures(study: Study, grid: Grid, found: Spread) -> dict[str, Any]:
    """Name -> figure: score against sparsity, and the zeros over the model's parts."""
    from bert_glue_tf.reports import plots

    mark = studying.sample_mark(study)
    curves = {
        ranking: [
            (sparsity, group)
            for sparsity in grid.sparsities
            if (group := study.group(grid.pruned[ranking, sparsity])) is not None
        ]
        for ranking in RANKINGS
    }
    made = {}
    base = study.group(grid.unpruned)
    if any(curves.values()):
        made[f"{grid.task}_scores"] = plots.score_against_sparsity(
            f"{grid.task}{mark}: local and global ranking", curves, base
        )
    if found:
        lines = {
            ranking: {percent(s): v for (r, s), v in sorted(found.items()) if r == ranking}
            for ranking in RANKINGS
        }
        made[f"{grid.task}_zeros"] = plots.zeros_by_part(
            f"{grid.task}{mark}: where the zeros are", lines
        )
    return made


def text(study: Study, grids: Sequence[Grid], found: Mapping[str, Spread]) -> str:
    """The whole study in Markdown; `found` is by task."""
    paper = published()
    mark = studying.sample_mark(study)
    lines = [
        f"# Local and global pruning{mark}",
        "",
        f"Study: {paper['source']} {paper['note']}",
        "",
        f"Its claim: {paper['claim']}.",
        "",
        studying.settings_line([one for grid in grids for one in grid.cells], study),
        "Ours classifies the polarity of aspects that are given, prunes once and for good along a "
        "schedule, and scores the model at the end of the training; local is one sparsity for "
        "every matrix. Interval: 95 % paired bootstrap over the examples; verdict: local against "
        "global.",
        "",
        "## The claim beside what was found" + mark,
        "",
        *(f"- {line}" for grid in grids for line in finding(study, grid)),
        "",
    ]
    for grid in grids:
        records = [record for one in grid.cells for record in study.record_of(one)]
        lines += [f"## {grid.task}: score against sparsity{mark}", ""]
        if records:
            lines += [f"{studying.examples(records[0]).capitalize()}.", ""]
        table = score_rows(study, grid)
        heads = [head for head in table[0] if any(row[head] for row in table)]
        lines += [tables.markdown(tables.of(studying.pick(table, heads)))]
        lines += [f"![scores]({grid.task}_scores.png)", ""]
        if found.get(grid.task):
            figures_of_study = [f"Figure {n}: {paper['figures'][n] or ABSENT}" for n in "56"]
            lines += [
                f"## {grid.task}: percent of zeros in each part of the model{mark}",
                "",
                f"The study's: {', '.join(figures_of_study)}.",
                "",
                tables.markdown(tables.of(spread_rows(found[grid.task]))),
                f"![zeros]({grid.task}_zeros.png)",
                "",
            ]
    lines += [*(f"- {line}" for line in study.notes()), "", *studying.reasons(study)]
    return "\n".join(lines)


def write(study: Study, grids: Sequence[Grid], output: pathlib.Path) -> dict[str, Spread]:
    """Writes local_global.md, tables as CSV and figures; returns the spread of zeros by task.

    Raises:
      UserError: the folder cannot be written.
    """
    found = {grid.task: spreads(study, grid) for grid in grids}
    files = {"local_global.md": text(study, grids, found)}
    made: dict[str, Any] = {}
    for grid in grids:
        files[f"{grid.task}_scores.csv"] = tables.csv(tables.of(score_rows(study, grid)))
        if found[grid.task]:
            files[f"{grid.task}_zeros.csv"] = tables.csv(tables.of(spread_rows(found[grid.task])))
        made |= figures(study, grid, found[grid.task])
    studying.write(output, files, made)
    return found
