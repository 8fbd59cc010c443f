"""Headline: a comparison in two sentences, what was bought and what it cost."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.evaluation.defaults import MARGIN
from bert_glue_tf.evaluation.significance import Equal
from bert_glue_tf.reports import formats, verdicts
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import REFERENCE
from bert_glue_tf.reports.verdicts import Comparison, Outcome

_ROUNDING = 1e-9  # 0.75 - 0.74 is a little more than 0.01.
_SMALLER = 0.95  # A file that is larger than so much of another one is as large.


@dataclasses.dataclass(frozen=True)
class Bar:
    """One quantity of two models.

    Attributes:
      name: of the quantity.
      base: of the reference, with its unit.
      base_share: of the larger of the two, from 0 to 1.
      chosen: of the chosen model, with its unit.
      chosen_share: of the larger of the two, from 0 to 1.
      is_smaller_better: whether less of it is better.
    """

    name: str
    base: str
    base_share: float
    chosen: str
    chosen_share: float
    is_smaller_better: bool


@dataclasses.dataclass(frozen=True)
class Headline:
    """The two models that sum up the comparison of one subject.

    Attributes:
      base: the unpruned model that the others are held against: the float32 file, or the trained
        model where there is no such file.
      chosen: the smallest model whose score is shown to be kept within `margin`; where that is
        shown of none, the smallest that loses at most `margin`, or the one that loses least where
        all lose more.
      margin: the loss that a smaller model is worth.
      comparison: of the two; None where they have no seed in common, or other examples.
      smallest: the smallest of the models that are smaller than `base`; it may be `chosen`.
    """

    base: Group
    chosen: Group
    margin: float
    comparison: Comparison | None
    smallest: Group

    @property
    def loss(self) -> float:
        """The score that is lost; negative where it is gained."""
        return self.base.mean - self.chosen.mean

    @property
    def bought(self) -> str:
        """Return a sentence on what was bought."""
        before, after = self.base.bytes("plain"), self.chosen.bytes("plain")
        text = (
            f"“{self.chosen.name}” takes {formats.size(after)} on disk instead of "
            f"{formats.size(before)}: it is {before / after:.1f} times smaller than "
            f"“{self.base.name}”"
        )
        if self.times:
            first, second = self.times
            text += (
                f", and it answers in {_milliseconds(second)} instead of {_milliseconds(first)}: "
                f"{first / second:.2f} times as fast"
            )
        return f"{text}."

    @property
    def times(self) -> tuple[float, float] | None:
        """Milliseconds of an example, of base and chosen; None without a common session."""
        first, second = self.base.milliseconds, self.chosen.milliseconds
        if first is None or second is None or self.base.session != self.chosen.session:
            return None
        return first, second

    @property
    def cost(self) -> str:
        """Return a sentence on what it cost."""
        task = self.base.first.task
        points = abs(self.loss) * 100
        numbers = (
            f"{task.primary_metric} {self.chosen.mean:.3f} instead of {self.base.mean:.3f}, "
            f"{self.base.first.examples:,} examples"
        )
        if round(points, 1) == 0:
            text = f"Its score stays the same to a tenth of a point ({numbers})"
        elif self.loss > 0:
            text = f"It loses {points:.1f} points ({numbers})"
        else:
            text = f"It gains {points:.1f} points ({numbers})"
        if self.loss > self.margin + _ROUNDING:
            text = f"No smaller model stays within {self.margin:g}; this one loses least. {text}"
        if self.comparison is not None:
            text += f"; the test says “{formats.verdict(self.comparison.verdict)}”"
        return f"{text}.{self._evidence()}{self._of_smallest()}"

    def _of_smallest(self) -> str:
        """Return what the smallest model costs; empty where one stays within the margin."""
        if self.loss <= self.margin + _ROUNDING or self.smallest is self.chosen:
            return ""
        points = 100 * (self.base.mean - self.smallest.mean)
        return (
            f" The smallest, “{self.smallest.name}”, takes "
            f"{formats.size(self.smallest.bytes('plain'))} and loses {points:.1f} points."
        )

    def _evidence(self) -> str:
        """Return a sentence on the evidence that the score is kept; empty where it is lost."""
        if self.loss > self.margin + _ROUNDING:
            return ""
        kept = f"the score is kept within {_points(self.margin)}"
        if self.comparison is None:
            return (
                f" Nothing shows that {kept}: the two models share no training seed, or have "
                "answered other examples."
            )
        if _is_kept(self.comparison):
            return f" The examples show that {kept}."
        needed = self.comparison.difference.equivalence.examples
        more = f"; that would take about {formats.about(needed)} examples" if needed else ""
        return f" The examples do not show that {kept}{more}."

    @property
    def bars(self) -> list[Bar]:
        """The quantities of both, for a picture."""
        metric = self.base.first.task.primary_metric
        times = [_bar("time of an example", *self.times, _milliseconds, True)] if self.times else []
        return [
            _bar("size", self.base.bytes("plain"), self.chosen.bytes("plain"), formats.size, True),
            _bar(metric, self.base.mean, self.chosen.mean, lambda score: f"{score:.3f}", False),
            *times,
        ]


def _is_kept(comparison: Comparison | None) -> bool:
    """Return whether the examples show that a score is kept: equal within the margin, or better."""
    if comparison is None or comparison.is_of_collapsed:
        return False
    is_equal = comparison.difference.equivalence.outcome is Equal.YES
    return is_equal or comparison.outcome is Outcome.BETTER


def _points(margin: float) -> str:
    """Return a difference of scores as `a point`, or `2 points`."""
    points = 100 * margin
    return "a point" if math.isclose(points, 1) else f"{points:g} points"


def _milliseconds(value: float) -> str:
    return f"{value:.1f} ms"


def _bar(
    name: str, base: float, chosen: float, text: Callable[[float], str], is_smaller_better: bool
) -> Bar:
    largest = max(abs(base), abs(chosen)) or 1.0
    shares = [max(0.0, value / largest) for value in (base, chosen)]
    return Bar(name, text(base), shares[0], text(chosen), shares[1], is_smaller_better)


def headline(groups: Sequence[Group], margin: float = MARGIN) -> Headline | None:
    """Return the headline of the models of one subject; None where nothing can be summed up.

    That is so where no unpruned model is among them, or no other model is smaller. A model that
    collapsed or is not above chance does not count.

    Args:
      groups: the models, seeds together.
      margin: the loss that a smaller model is worth.
    """
    sound = list(filter(_is_sound, groups))
    base = _base(sound)
    smaller = _smaller(sound, base) if base else []
    if base is None or not smaller:
        return None
    close = [g for g in smaller if base.mean - g.mean <= margin + _ROUNDING]
    smallest = min(smaller, key=lambda g: (g.bytes("plain"), -g.mean))
    tried: list[tuple[Group, Comparison | None]] = []
    for chosen in sorted(close, key=lambda g: (g.bytes("plain"), -g.mean)):
        comparison = verdicts.compare(chosen, base, margin=margin)
        if _is_kept(comparison):
            return Headline(base, chosen, margin, comparison, smallest)
        tried.append((chosen, comparison))
    if not tried:
        best = max(smaller, key=lambda g: g.mean)
        tried.append((best, verdicts.compare(best, base, margin=margin)))
    chosen, comparison = tried[0]
    return Headline(base, chosen, margin, comparison, smallest)


def without(groups: Sequence[Group]) -> str:
    """Return a sentence on the reason why the models of one subject have no headline.

    Args:
      groups: the models, seeds together, of which `headline` returns None.
    """
    unpruned = [g for g in groups if g.first.method == NO_PRUNING]
    if not unpruned:
        return "There is no unpruned model here to hold the others against."
    base = _base(list(filter(_is_sound, unpruned)))
    largest = max(unpruned, key=lambda g: g.bytes("plain"))
    if not _smaller(groups, base or largest):
        return f"No model here is smaller than “{(base or largest).name}”."
    if base is None:
        return f"No model can be held against an unpruned one, since {_marked(unpruned)}."
    smaller = _smaller(groups, base)
    number = f"{len(smaller)} models are" if len(smaller) > 1 else "One model is"
    return (
        f"{number} smaller than “{base.name}”, and nothing can be said for "
        f"{'them' if len(smaller) > 1 else 'it'}: {_marked(smaller)}."
    )


def _is_sound(one: Group) -> bool:
    return one.mark is None and not math.isnan(one.mean)


def _base(sound: Sequence[Group]) -> Group | None:
    """Return the unpruned model that others are held against: the best, a float32 file first."""
    unpruned = [g for g in sound if g.first.method == NO_PRUNING]
    files = [g for g in unpruned if g.first.recipe == REFERENCE]
    return max(files or unpruned, key=lambda g: g.mean, default=None)


def _smaller(groups: Sequence[Group], base: Group) -> list[Group]:
    return [g for g in groups if g.bytes("plain") < _SMALLER * base.bytes("plain")]


def _marked(groups: Sequence[Group]) -> str:
    """Return models with their marks: `“no pruning, int8” is COLLAPSED`."""
    by_mark: dict[str, list[str]] = {}
    for one in groups:
        mark = one.mark.value if one.mark else "without a score"
        by_mark.setdefault(mark, []).append(f"“{one.name}”")
    return "; ".join(
        f"{' and '.join(names)} {'are' if len(names) > 1 else 'is'} {mark}"
        for mark, names in by_mark.items()
    )
