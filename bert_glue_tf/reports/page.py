"""One self-contained HTML page of a comparison: to read, to keep, to send.

It fetches nothing and runs no script. The templates draw it: `comparison.html.j2` the order of
its parts, `tables.html.j2` and `pictures.html.j2` the parts, `style.css` their look.
"""

from __future__ import annotations

import dataclasses
import datetime
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bert_glue_tf import __version__
from bert_glue_tf.core import layout
from bert_glue_tf.evaluation.defaults import MARGIN, START, UNPRUNED
from bert_glue_tf.reports import formats, headline, rows, summary, tables, templating
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import KERAS, REFERENCE, Model
from bert_glue_tf.reports.pictures import confusion, curves, layers, scatter, sensitivity
from bert_glue_tf.reports.tables import Column, Table
from bert_glue_tf.reports.verdicts import Comparison

_TEMPLATE = "comparison.html.j2"
# A column of these that says the same in every row is said once, above the table.
_SAID_ONCE = (
    *("task", "encoder", "pruning", "metric", "examples", "seeds", "seed"),
    "timed at",
)
# The columns of the numbers: whose they are, in both tables, and what is a cost.
_LATER = ("pruned", "gzipped")  # Of the models; they stand among every number.
_FOLDED = ("seeds' range",)  # Of the differences.
_WHOSE = ("task", "recipe", "seed", "run")
_COSTS = (
    *("pruned", "non-zero parameters", "size", "gzipped", "peak memory"),
    *("ms", "timed at", "speed"),
)
_WIDE, _NARROW = 1120, 372  # Of a scatter, on a laptop and on a phone.
_FEW = 5
_SAME_SCORE = 5e-5  # Half a unit of the last digit that is shown.


@dataclasses.dataclass(frozen=True)
class Shown:
    """A table as the page shows it.

    Attributes:
      table: without the columns that are empty, or the same in all rows.
      same: title -> text of the columns that are the same in all rows.
    """

    table: Table[Any]
    same: Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class Subject:
    """The models of one task, data and encoder, which are compared with each other.

    Attributes:
      name: of the subject.
      headline: of its models; None where nothing can be summed up.
      reason: why there is no headline; empty where there is one.
      numbers: name of a model -> its number in the table of the models.
      scatters: (on a laptop, on a phone), one for each cost that is known.
      curves: of the training.
      confusions: of the answers.
      layers: of the pruned models.
      sensitivities: of the models whose parts were measured.
      models: the table of them.
      differences: of them.
      rest: the columns of the differences that fold away.
    """

    name: str
    headline: headline.Headline | None
    reason: str
    numbers: Mapping[str, int]
    scatters: list[tuple[scatter.Scatter, scatter.Scatter]]
    curves: list[curves.Curves]
    confusions: list[confusion.Confusion]
    layers: list[layers.Layers]
    sensitivities: list[sensitivity.Map]
    models: Shown
    differences: Shown
    rest: Shown

    @property
    def has_line(self) -> bool:
        """True where a Pareto front is drawn as a line in one of its scatters."""
        return any(one.has_line for pair in self.scatters for one in pair)

    @property
    def is_timed(self) -> bool:
        """True where a model has a time."""
        return "ms" in (*self.models.table.heads, *self.models.same)

    @property
    def has_crosses(self) -> bool:
        """True where a model in one of its scatters is COLLAPSED."""
        return any(one.has_crosses for pair in self.scatters for one in pair)


def page(
    groups: Sequence[Group],
    comparisons: Sequence[Comparison],
    margin: float = MARGIN,
    against: str = UNPRUNED,
) -> str:
    """Return the page.

    Args:
      groups: the models, seeds together.
      comparisons: the differences.
      margin: the loss of score that a smaller model is worth.
      against: what the models are compared with, as in `verdicts.differences`.

    Raises:
      UserError: a file of answers is missing or damaged.
    """
    models = [model for one in groups for model in one.models]
    return templating.template(_TEMPLATE).render(
        made=_made(models),
        notes=[_lines(note) for note in (*rows.unsaid(groups), *summary.notes(models, against))],
        tests=summary.legend(comparisons),
        sentences=summary.sentences(comparisons),
        subjects=list(_subjects(groups, comparisons, margin)),
        numbers=_numbers(models),
        settings=_settings(models),
        is_against_start=against == START,
    )


def _subjects(
    groups: Sequence[Group], comparisons: Sequence[Comparison], margin: float
) -> Iterator[Subject]:
    """Yield the subjects in the order of their first models."""
    by_subject: dict[tuple[str, str, str], list[tuple[int, Group]]] = {}
    for number, one in enumerate(groups, start=1):
        by_subject.setdefault(one.subject, []).append((number, one))
    for (task, source, encoder), models in by_subject.items():
        shown = _without_twins(models)
        own = [one for one in comparisons if one.subject == (task, source, encoder)]
        together = [one for _, one in models]
        summed_up = headline.headline(together, margin)
        yield Subject(
            name=f"{formats.task((task, source))}, {encoder}",
            headline=summed_up,
            reason="" if summed_up else headline.without(together),
            numbers={one.name: number for number, one in models},
            scatters=list(_scatters(shown)),
            curves=curves.curves(models),
            confusions=confusion.confusions(shown),
            layers=layers.layers(models),
            sensitivities=sensitivity.maps(models),
            models=_shown(_numbered(models)),
            differences=_shown(_but(rows.differences(own), _FOLDED)),
            rest=_shown(rows.differences(own).pick("model", "against", *_FOLDED)),
        )


def _without_twins(models: Sequence[tuple[int, Group]]) -> list[tuple[int, Group]]:
    """Return the models without those trained ones whose float32 file has the same score.

    A file that cuts its texts shorter than the run did is another model.
    """
    files = {one.first.key(): one.mean for _, one in models if one.first.recipe == REFERENCE}

    def is_twin(one: Group) -> bool:
        key = dataclasses.replace(one.first, recipe=REFERENCE).key()
        return one.first.recipe == KERAS and (
            abs(files.get(key, math.inf) - one.mean) < _SAME_SCORE
        )

    return [(number, one) for number, one in models if not is_twin(one)]


def _scatters(
    models: Sequence[tuple[int, Group]],
) -> Iterator[tuple[scatter.Scatter, scatter.Scatter]]:
    # A few points need no tall picture.
    tall, low = (500, 340) if len(models) > _FEW else (300, 260)
    for cost in (scatter.SIZE, scatter.TIME):
        wide = scatter.scatter(models, cost, _WIDE, tall, has_names=True)
        narrow = scatter.scatter(models, cost, _NARROW, low, has_names=False)
        if wide and narrow:
            yield wide, narrow


def _but(table: Table[Any], heads: Sequence[str]) -> Table[Any]:
    """Return a table without some columns."""
    return table.pick(*(head for head in table.heads if head not in heads))


def _numbered(models: Sequence[tuple[int, Group]]) -> Table[Group]:
    """Return the table of the models, with the numbers that the pictures use in front."""
    numbers = {id(one): number for number, one in models}
    table = _but(rows.groups([one for _, one in models]), _LATER)
    number: Column[Group] = Column("no.", lambda g: numbers[id(g)])
    return dataclasses.replace(table, columns=(number, *table.columns))


def _shown(table: Table[Any]) -> Shown:
    """Return a table without its empty columns and those that say the same in all rows."""
    table = table.filled()
    texts = table.texts()
    same = {}
    for head in table.heads:
        told = {row[head] for row in texts} - {""}  # Of what was not timed there is no length.
        if head in _SAID_ONCE and len(told) == 1 and len(texts) > 1:
            same[head] = told.pop()
    return Shown(table.pick(*(head for head in table.heads if head not in same)), same)


def _numbers(models: Sequence[Model]) -> dict[str, Shown]:
    """Return every number of every model, in two tables that fit a page."""
    table = rows.models(models)
    whose = [head for head in table.heads if head in _WHOSE]
    scores = [head for head in table.heads if head not in _COSTS and head not in _WHOSE]
    return {
        "Scores": _shown(table.pick(*whose, *scores)),
        "Costs": _shown(table.pick(*whose, *(head for head in table.heads if head in _COSTS))),
    }


def _lines(note: str) -> list[tuple[str, list[str]]]:
    """Return the lines of a note: each a text and no words, or no text and a command's words."""
    return [
        ("", line.strip().split(" ")) if layout.is_command(line) else (line, [])
        for line in note.split("\n")
    ]


def _made(models: Sequence[Model]) -> str:
    runs = len({model.run for model in models})
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    return (
        f"{len(models)} model{'s' if len(models) != 1 else ''} of "
        f"{runs} run{'s' if runs != 1 else ''}. Made by "
        f"bert_glue_tf {__version__} on {today} from result records."
    )


def _settings(models: Sequence[Model]) -> dict[str, Table[Any]]:
    """Return run -> table of its settings and of its data's digests."""
    found: dict[str, Table[Any]] = {}
    for model in models:
        if model.run in found:
            continue
        place = model.config["teacher"]
        values = [
            {"setting": name, "value": str(value)}
            # Without those that do not come into it.
            for name, value in {**model.deciding, "teacher": place}.items()
            if value not in ("", None)
        ]
        if model.teacher != place:
            values.append({"setting": "teacher: SHA-256", "value": model.teacher})
        for split, read in model.data.items():
            values.append({"setting": f"{split}: SHA-256", "value": str(read["sha256"])})
        found[model.run] = tables.of(values)
    return found
