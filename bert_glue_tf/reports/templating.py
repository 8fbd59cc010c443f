"""The templates of pages, with what they ask of a table: how its cells are coloured and broken."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

from bert_glue_tf.reports.pictures import labels
from bert_glue_tf.reports.tables import Cell, Table, Tone

if TYPE_CHECKING:
    import jinja2

_CLASSES = {Tone.GOOD: "good", Tone.BAD: "bad", Tone.NOISE: "noise"}
_NUMBER = re.compile(r"[-+]?(< )?[\d.,]+(x|%|\s?([kMG]?B|%)| to [-+]?[\d.,]+)?")
_UNFOLDED = 6  # So many small pictures stand open, the others fold away.
_UNFOLDED_ROWS = 12  # Tables of every number fold away where they are longer.
_LONG = 30  # Words that are longer may be broken, after the signs below; a setting is shorter.
_BREAKS = re.compile(r"(?<=[_,/=:;.-])(?=[^\s])")


@functools.cache
def template(name: str) -> jinja2.Template:
    """Return a page's template, which takes a third of a page's time to compile.

    Args:
      name: of its file in `reports/templates`.
    """
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("bert_glue_tf.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.globals |= {
        "classes": _classes,
        "row_header": _row_header,
        "unfolded": _UNFOLDED,
        "unfolded_rows": _UNFOLDED_ROWS,
    }
    templates.filters["breakable"] = _breakable
    return templates.get_template(name)


def _row_header(table: Table[Any]) -> int:
    """Return the place of the column that names a row: the first that may be broken into lines."""
    return next((i for i, column in enumerate(table.columns) if column.may_wrap), 0)


def _breakable(text: str) -> Any:
    """Return a text, escaped, whose long words may be broken after an underscore and the like.

    A column of a page may be too narrow for a value with spaces that a terminal never breaks.
    """
    from markupsafe import Markup, escape

    words = re.split(r"( +)", labels.loosened(text))
    return Markup("").join(
        Markup("<wbr>").join(map(escape, _BREAKS.split(word))) if len(word) > _LONG else word
        for word in words
    )


def _classes(cell: Cell) -> str:
    """Return the classes of a cell, by which the page's style colours and breaks it."""
    names = ["number"] if _NUMBER.fullmatch(cell.text) else []
    if any(len(piece) > _LONG for word in cell.text.split() for piece in _BREAKS.split(word)):
        names.append("long")
    if cell.may_wrap:
        names.append("name")
    if cell.tone in _CLASSES:
        names.append(_CLASSES[cell.tone])
    return " ".join(names)
