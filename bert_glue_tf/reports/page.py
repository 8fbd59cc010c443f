"""One self-contained HTML page of a comparison: to read, to keep, to send."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from bert_glue_tf import __version__
from bert_glue_tf.reports import rows, summary, tables
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import Model
from bert_glue_tf.reports.tables import Table, Tone
from bert_glue_tf.reports.verdicts import Comparison

_TEMPLATE = "comparison.html.j2"
_CLASSES = {Tone.GOOD: "good", Tone.BAD: "bad", Tone.NOISE: "noise"}


def page(
    groups: Sequence[Group],
    comparisons: Sequence[Comparison],
    figures: Sequence[str],
) -> str:
    """Return the page.

    Args:
      groups: the models, seeds together.
      comparisons: the differences.
      figures: <svg> elements.
    """
    import jinja2
    import markupsafe

    models = [model for one in groups for model in one.models]
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("bert_glue_tf.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.globals["classes"] = _classes
    return templates.get_template(_TEMPLATE).render(
        made=_made(models),
        notes=summary.notes(models),
        sentences=summary.sentences(comparisons),
        groups=rows.groups(groups),
        differences=rows.differences(comparisons),
        models=rows.models(models),
        # They are drawn here, and matplotlib escapes the names in them.
        figures=[markupsafe.Markup(figure) for figure in figures],
        settings=_settings(models),
    )


def _classes(cell: tables.Cell) -> str:
    """Return the classes of a cell, by which the page's style colours and breaks it."""
    names = ["name"] if cell.may_wrap else []
    if cell.tone in _CLASSES:
        names.append(_CLASSES[cell.tone])
    return " ".join(names)


def _made(models: Sequence[Model]) -> str:
    runs = len({model.run for model in models})
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return (
        f"{len(models)} models of {runs} run{'s' if runs != 1 else ''}. Made by "
        f"bert_glue_tf {__version__} on {today} from result records; nothing was measured again."
    )


def _settings(models: Sequence[Model]) -> dict[str, Table[Any]]:
    """Return run -> table of its settings and of its data's digests."""
    found: dict[str, Table[Any]] = {}
    for model in models:
        if model.run in found:
            continue
        values = [{"setting": name, "value": str(value)} for name, value in model.config.items()]
        for split, read in model.data.items():
            values.append({"setting": f"{split}: SHA-256", "value": str(read["sha256"])})
        found[model.run] = tables.of(values)
    return found
