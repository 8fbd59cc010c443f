"""Table 1 of the paper on structured pruning beside ours: irregular, row, column, block."""

from __future__ import annotations

import importlib.resources
import itertools
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from bert_glue_tf.compression.registry import NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.reports import tables, verdicts
from bert_glue_tf.reports.verdicts import Comparison
from bert_glue_tf.studies import studying
from bert_glue_tf.studies.studying import ABSENT, Cell, Study

METHODS = ("magnitude", "row", "column", "block")
UNPRUNED = "unpruned"
FINE_TUNED = "fine-tuned only"
# The paper's seven tasks are not at hand; these of GLUE have a score of their own.
TASKS = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")


def published() -> dict[str, Any]:
    """The paper's values, committed as data with their source."""
    file = importlib.resources.files("bert_glue_tf.studies") / "published" / "structured.json"
    return dict(json.loads(file.read_text(encoding="utf-8")))


def cells(
    tasks: Sequence[str],
    given: Mapping[str, str],
    seeds: Sequence[int],
    *,
    block: str,
    sst2_examples: int,
) -> dict[str, list[Cell]]:
    """Task -> its models: unpruned, then the four methods.

    Each is fine-tuned, pruned at once by one ratio for the six matrices of every layer, and
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
    if not tasks or any(task not in TASKS for task in tasks):
        raise UserError(f"--tasks={','.join(tasks)}: give some of {', '.join(TASKS)}.")
    if sst2_examples < 0:
        raise UserError(f"--sst2_train_examples={sst2_examples}: must be 0 (all) or more.")
    if given["finetune_epochs"] == "0":
        raise UserError("--finetune_epochs=0: the study prunes fine-tuned models. Give 1 or more.")
    found = {}
    for task in tasks:
        own = {**given, "task": task, "pruning_schedule": "one_shot", "ranking": "local"}
        if task == "sst2" and sst2_examples:
            own["train_examples"] = str(sst2_examples)
        found[task] = [studying.cell(UNPRUNED, own, NO_PRUNING, seeds)]
        for method in METHODS:
            options = {"pruning_options": f"block={block}"} if method == "block" else {}
            found[task].append(studying.cell(method, {**own, **options}, method, seeds))
    return found


def _published_score(method: str, task: str) -> float | None:
    values = published()["tables"]["1"]["none" if method == UNPRUNED else method]
    return (values or {}).get(task)


def _paper(model: str, task: str) -> str:
    if model == FINE_TUNED:
        return ""
    value = _published_score(model, task)
    return ABSENT if value is None else f"{value:g}"


def rows(study: Study, table: Mapping[str, Sequence[Cell]]) -> list[dict[str, str]]:
    """A row for each task and model, the unpruned one first, each against the unpruned."""
    found = []
    for task, models in table.items():
        base = models[0]
        shown = list(models)
        if base.starting_point:
            shown.insert(1, Cell(FINE_TUNED, base.starting_point.configs))
        for one in shown:
            group = study.group(one)
            sparsities = [m.sparsity for m in group.models if m.sparsity] if group else []
            mean = sum(sparsities) / len(sparsities) if sparsities else 0.0
            found.append(
                {
                    "task": task,
                    "model": one.label,
                    "paper": _paper(one.label, task),
                    "ours": studying.score(group),
                    "seeds": ", ".join(map(str, group.seeds)) if group else "",
                    "range": studying.spread(group),
                    "sparsity": f"{mean:.2%}" if sparsities else "",
                    **studying.difference(None if one is base else study.compare(one, base)),
                    "why it failed": study.reason(one),
                }
            )
    return found


def ranking(study: Study, models: Sequence[Cell]) -> list[str]:
    """Whether the paper's ranking of the four holds on a task, in words, with intervals."""
    task = models[0].task
    pruned = [one for one in models[1:] if study.group(one)]
    missing = [one.label for one in models[1:] if one not in pruned]
    if len(pruned) < 2:
        return [f"{task}: fewer than two of the methods were run, so nothing is ranked."]
    means = {one.label: _mean(study, one) for one in pruned}
    # A score that is undefined is the worst.
    ours = sorted(pruned, key=lambda one: means[one.label], reverse=True)
    pairs = [(a, b, study.compare(a, b)) for a, b in itertools.combinations(ours, 2)]
    told = [
        f"{task}: ours, best first: "
        + ", ".join(f"{one.label} {studying.score(study.group(one))}" for one in ours)
        + (f" (not run: {', '.join(missing)})" if missing else "")
        + "."
    ]
    apart = [
        f"{a.label} over {b.label} {studying.interval(c)}"
        for a, b, c in pairs
        if c and c.outcome is verdicts.Outcome.BETTER
    ]
    noise = [
        f"{a.label} and {b.label} {studying.interval(c)}"
        for a, b, c in pairs
        if c and c.outcome is not verdicts.Outcome.BETTER
    ]
    told.append(f"{task}: beyond noise: {'; '.join(apart) or 'none of the differences'}.")
    if noise:
        told.append(f"{task}: within noise, or undefined: {'; '.join(noise)}.")
    told.append(f"{task}: {_verdict(study, task, pruned)}")
    return told


def _mean(study: Study, one: Cell) -> float:
    group = study.group(one)
    assert group is not None
    return group.mean if group.mean == group.mean else float("-inf")


def _verdict(study: Study, task: str, pruned: Sequence[Cell]) -> str:
    """The paper's order of each two methods against ours."""
    theirs = {one.label: _published_score(one.label, task) for one in pruned}
    known = [one for one in pruned if theirs[one.label] is not None]
    if len(known) < 2:
        return f"the paper's ranking is {ABSENT}, so it is neither confirmed nor contradicted."
    order = sorted(known, key=lambda one: theirs[one.label] or 0.0, reverse=True)
    confirmed, contradicted, open_ = [], [], []
    for a, b in itertools.combinations(order, 2):
        if theirs[a.label] == theirs[b.label]:
            continue
        found = study.compare(a, b)
        text = f"{a.label} over {b.label}"
        if found is None or not found.difference.is_defined or found.difference.is_noise:
            open_.append(_with(text, found))
        elif found.difference.mean > 0:
            confirmed.append(_with(text, found))
        else:
            contradicted.append(_with(text, found))
    if contradicted:
        verdict = "does not hold"
    elif not open_:
        verdict = "holds"
    else:
        verdict = "is not contradicted"
    parts = [
        f"{name}: {'; '.join(pairs)}"
        for name, pairs in (
            ("confirmed", confirmed),
            ("contradicted", contradicted),
            ("within noise", open_),
        )
        if pairs
    ]
    return (
        f"the paper's ranking ({', '.join(one.label for one in order)}) {verdict}. "
        + (". ".join(parts) or "It tells none of them apart")
        + "."
    )


def _with(text: str, found: Comparison | None) -> str:
    return f"{text} {studying.interval(found)}" if found else text


def compact(table: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The rows without what only the files hold, for a terminal of 100 columns."""
    heads = ("model", "paper", "ours", "sparsity", "difference", "95 % interval", "verdict")
    return studying.pick(table, heads)


def text(study: Study, table: Mapping[str, Sequence[Cell]]) -> str:
    """The whole comparison in Markdown."""
    paper = published()
    mark = studying.sample_mark(study)
    found = rows(study, table)
    all_cells = [one for models in table.values() for one in models]
    lines = [
        f"# {paper['tables']['1']['title']}{mark}",
        "",
        f"Paper: {paper['source']} {paper['note']}",
        "",
        studying.settings_line(all_cells, study),
        f"A row of `{FINE_TUNED}` is the model that the others start from; `{UNPRUNED}` has "
        "trained on as long as they, and is what each difference is taken to. Interval: 95 % "
        "paired bootstrap over the examples; p: McNemar's exact test, one for each seed.",
        "",
    ]
    for task, models in table.items():
        records = study.record_of(models[0]) or [
            record for one in models for record in study.record_of(one)
        ]
        own = [row for row in found if row["task"] == task]
        lines += [f"## {task}{mark}", ""]
        if records:
            lines += [f"{task}: {studying.examples(records[0])}.", ""]
        heads = [head for head in own[0] if head != "task" and any(row[head] for row in own)]
        lines += [tables.markdown(tables.of(studying.pick(own, heads)))]
    lines += [f"## Whether the paper's ranking holds{mark}", ""]
    lines += [f"- {line}" for models in table.values() for line in ranking(study, models)]
    lines += ["", *(f"- {line}" for line in study.notes()), "", *studying.reasons(study)]
    return "\n".join(lines)


def write(study: Study, table: Mapping[str, Sequence[Cell]], output: pathlib.Path) -> None:
    """Writes structured.md and structured.csv.

    Raises:
      UserError: the folder cannot be written.
    """
    files = {
        "structured.md": text(study, table),
        "structured.csv": tables.csv(tables.of(rows(study, table))),
    }
    studying.write(output, files)
