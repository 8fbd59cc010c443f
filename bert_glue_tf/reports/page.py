"""One self-contained HTML page of a comparison: to read, to keep, to send."""

from __future__ import annotations

import datetime
import html
from collections.abc import Sequence

from bert_glue_tf import __version__
from bert_glue_tf.reports import comparison
from bert_glue_tf.reports.comparison import Comparison, Group, Model, Row

_STYLE = """
:root { color-scheme: light; --ink: #1d2430; --soft: #5b6675; --line: #dfe4ea; --wash: #f6f8fa; }
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); margin: 0 auto; max-width: 76rem;
       padding: 2rem 1.5rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem; border-bottom: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.5rem 0 .25rem; }
p, li { max-width: 48rem; }
.soft { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85rem;
        margin: .75rem 0; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line);
         white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
td.name { white-space: normal; min-width: 13rem; }  /* Or the verdict lies out of sight. */
tr:hover td { background: var(--wash); }
.bad { color: #a4133c; font-weight: 600; }
.good { color: #1b6e3c; font-weight: 600; }
.noise { color: var(--soft); }
figure { margin: 1rem 0; display: inline-block; vertical-align: top; max-width: 100%; }
figure svg { max-width: 100%; height: auto; }
.note { background: #fff7e0; border-left: 4px solid #d9a400; padding: .5rem 1rem; }
details summary { cursor: pointer; color: var(--soft); }
@media print { body { max-width: none; } .scroll { overflow: visible; } }
"""


def page(
    groups: Sequence[Group],
    comparisons: Sequence[Comparison],
    figures: Sequence[str],
) -> str:
    """The page.

    Args:
      groups: the models, seeds together.
      comparisons: the differences.
      figures: <svg> elements.
    """
    models = [model for one in groups for model in one.models]
    parts = [
        "<h1>BERT, pruned and quantized: what it cost and what it bought</h1>",
        f'<p class="soft">{_made(models)}</p>',
        _warnings(models),
        "<h2>In short</h2>",
        f"<ul>{''.join(f'<li>{html.escape(line)}</li>' for line in summary(comparisons))}</ul>",
        "<h2>Models</h2>",
        '<p class="soft">Means over the seeds. Speed: how many times as fast as float32, one '
        "example at a time, in the same interleaved run.</p>",
        _table(comparison.group_rows(groups)),
        "<h2>Differences</h2>",
        '<p class="soft">Both models answered the same examples. Interval: 95 % paired bootstrap '
        "over the examples; p: McNemar's exact test, one for each seed. A difference whose "
        "interval holds 0, whose seeds disagree on its sign, or (of accuracies) whose p is never "
        "below 0.05, is within noise.</p>",
        _table(comparison.difference_rows(comparisons)),
    ]
    if figures:
        parts.append("<h2>Figures</h2>")
        parts += [f"<figure>{figure}</figure>" for figure in figures]
    parts += [
        "<h2>Every number</h2>",
        '<p class="soft">A row for each model, with the run, the seed and the number of examples '
        "behind it. Interval: 95 % bootstrap over the examples.</p>",
        _table(comparison.model_rows(models)),
        "<details><summary>Settings and data of each run</summary>",
        *_settings(models),
        "</details>",
    ]
    body = "\n".join(part for part in parts if part)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>BERT, pruned and quantized</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def summary(comparisons: Sequence[Comparison]) -> list[str]:
    """The differences in words, a sentence each."""
    lines = []
    for one in comparisons:
        sample = " (sample)" if one.source == "sample" else ""
        seeds = f"{len(one.seeds)} seed{'s' if len(one.seeds) > 1 else ''}"
        low, high = one.difference.interval
        numbers = (
            f"{one.metric} {one.difference.mean:+.3f}, {low:+.3f} to {high:+.3f}, "
            if one.difference.is_defined
            else f"{one.metric} is undefined, "
        )
        lines.append(
            f"{one.task}{sample}: {one.what} against {one.against}: {one.verdict} "
            f"({numbers}{one.examples:,} examples, {seeds})."
        )
    return lines or ["There is nothing to compare: give runs with and without pruning, or exports."]


def _made(models: Sequence[Model]) -> str:
    runs = len({model.run for model in models})
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return html.escape(
        f"{len(models)} models of {runs} run{'s' if runs != 1 else ''}. Made by "
        f"bert_glue_tf {__version__} on {today} from result records; nothing was measured again."
    )


def _warnings(models: Sequence[Model]) -> str:
    lines = comparison.notes(models)
    return "".join(f'<p class="note">{html.escape(line)}</p>' for line in lines)


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return '<p class="soft">None.</p>'
    heads = list(rows[0])
    head = "".join(f"<th>{html.escape(name)}</th>" for name in heads)
    body = "".join(
        "<tr>" + "".join(_cell(name, row[name]) for name in heads) + "</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _cell(name: str, value: str) -> str:
    kinds = ["name"] if name in ("model", "against") else []
    if "COLLAPSED" in value or value == "worse":
        kinds.append("bad")
    elif value == "better":
        kinds.append("good")
    elif value == "within noise":
        kinds.append("noise")
    attribute = f' class="{" ".join(kinds)}"' if kinds else ""
    return f"<td{attribute}>{html.escape(value)}</td>"


def _settings(models: Sequence[Model]) -> list[str]:
    parts = []
    for run in dict.fromkeys(model.run for model in models):
        model = next(m for m in models if m.run == run)
        rows: list[Row] = [{"setting": k, "value": str(v)} for k, v in model.config.items()]
        for split, read in model.data.items():
            rows.append({"setting": f"{split}: SHA-256", "value": str(read["sha256"])})
        parts += [f"<h3>{html.escape(run)}</h3>", _table(rows)]
    return parts
