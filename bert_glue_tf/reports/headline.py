"""Headline: a comparison in a few short sentences, what was bought and what it cost.

They name no settings, and they say of a difference what its verdict says and nothing else.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence

from bert_glue_tf.compression.names import NO_PRUNING
from bert_glue_tf.evaluation.defaults import MARGIN
from bert_glue_tf.evaluation.significance import Equal
from bert_glue_tf.reports import formats, verdicts
from bert_glue_tf.reports.groups import Group
from bert_glue_tf.reports.measured import REFERENCE
from bert_glue_tf.reports.verdicts import Comparison, Outcome

_ROUNDING = 1e-9  # 0.75 - 0.74 is a little more than 0.01.
_ONE = "a point"
_TRAININGS = {1: "one training", 2: "two trainings"}
_SMALLER = 0.95  # A file that is larger than so much of another one is as large.
# The end of a sentence on a difference, by its verdict; None is of models that cannot be compared.
_CHANCE: Mapping[Outcome | None, str] = {
    Outcome.NO_DIFFERENCE: ", which is within what chance gives",
    Outcome.BETTER: ", which is more than chance gives",
    Outcome.WORSE: ", which is more than chance gives",
    Outcome.UNDEFINED: "; if that is chance cannot be told",
    None: "",
}


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
      smallest_loss: the score that it loses.
      is_close: whether `chosen` loses at most `margin`.

    Where the two have seeds in common, base and chosen are the models of these seeds alone, so that
    scores and verdict are of the same models.
    """

    base: Group
    chosen: Group
    margin: float
    comparison: Comparison | None
    smallest: Group
    smallest_loss: float
    is_close: bool

    @property
    def loss(self) -> float:
        """The score that is lost; negative where it is gained."""
        if self.comparison is not None and self.comparison.difference.is_defined:
            return -self.comparison.difference.mean
        return self.base.mean - self.chosen.mean

    @property
    def bought(self) -> str:
        """Return a sentence on the size, and one on the time where one session has both."""
        before, after = self.base.bytes("plain"), self.chosen.bytes("plain")
        text = (
            f"The smaller model takes {formats.size(after)} on disk instead of "
            f"{formats.size(before)}: it is {before / after:.1f} times smaller."
        )
        if not self.times:
            return text
        first, second = self.times
        told = (
            f"{first / second:.1f} times as fast"
            if first >= second
            else f"{second / first:.1f} times as long"
        )
        return (
            f"{text} It answers in {_milliseconds(second)} instead of {_milliseconds(first)}: "
            f"{told}."
        )

    @property
    def times(self) -> tuple[float, float] | None:
        """Milliseconds of an example, of base and chosen; None without a common session."""
        first, second = self.base.milliseconds, self.chosen.milliseconds
        if first is None or second is None or self.base.session != self.chosen.session:
            return None
        return first, second

    @property
    def cost(self) -> str:
        """Return sentences on the score: what changed, if that is chance, and what is shown."""
        sentences = []
        if not self.is_close:
            sentences.append(
                f"Every smaller model loses more than {_points(self.margin)}; this one loses least."
            )
        sentences += [self._change(), *self._evidence(), *self._of_smallest()]
        return " ".join(sentences)

    def _change(self) -> str:
        """Return a sentence on the difference of the scores, and what its verdict says of it."""
        outcome = self.comparison.outcome if self.comparison else None
        points = round(100 * abs(self.loss), 1)
        direction = "lower" if self.loss > 0 else "higher"
        if points:
            changed = f"{points:.1f} points {direction}"
        elif outcome in (Outcome.BETTER, Outcome.WORSE):
            changed = f"less than a tenth of a point {direction}"
        else:
            return f"Its score ({self._metric}) is the same to a tenth of a point."
        return f"Its score ({self._metric}) is {changed}{_CHANCE[outcome]}."

    @property
    def _metric(self) -> str:
        return self.base.first.task.primary_metric

    def _evidence(self) -> Iterator[str]:
        """Yield what the examples show of the score's being kept, and of how many trainings."""
        points = _points(self.margin)
        kept = f"at most {points} {'is' if points == _ONE else 'are'} lost"
        if self.comparison is None:
            yield (
                f"Nothing shows that {kept}: the two models share no training seed, or have "
                "answered other examples."
            )
            return
        examples = f"{self.comparison.examples:,} examples"
        if self.is_close and _is_kept(self.comparison):
            yield f"The {examples} show that {kept}."
        elif self.is_close:
            needed = self.comparison.difference.equivalence.examples
            more = f"; about {formats.about(needed)} would be needed" if needed else ""
            yield f"The {examples} do not show that {kept}{more}."
        if not self.comparison.verdict.is_of_methods:
            trainings = _TRAININGS[self.comparison.verdict.seeds]
            yield f"This is of {trainings} only; another one may come out differently."

    def _of_smallest(self) -> Iterator[str]:
        """Yield what the smallest model costs, where that is another one."""
        if self.smallest.name == self.chosen.name:
            return
        lost = round(100 * self.smallest_loss, 1)
        yield (
            f"The smallest model of all takes {formats.size(self.smallest.bytes('plain'))} and "
            f"{'loses' if lost >= 0 else 'gains'} {abs(lost):.1f} points."
        )

    @property
    def bars(self) -> list[Bar]:
        """The quantities of both, for a picture."""
        times = [_bar("time of an example", *self.times, _milliseconds, True)] if self.times else []
        return [
            _bar("size", self.base.bytes("plain"), self.chosen.bytes("plain"), formats.size, True),
            _bar(
                self._metric, self.base.mean, self.chosen.mean, lambda score: f"{score:.3f}", False
            ),
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
    return _ONE if math.isclose(points, 1) else f"{points:g} points"


def _milliseconds(value: float) -> str:
    return f"{formats.milliseconds(value)} ms"


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
    smallest = min(smaller, key=lambda g: (g.bytes("plain"), -g.mean))
    pairs = {id(g): _of_common_seeds(base, g) for g in smaller}

    def loss(one: Group) -> float:
        first, second = pairs[id(one)]
        return first.mean - second.mean

    def summed_up(one: Group) -> Headline:
        first, second = pairs[id(one)]
        comparison = verdicts.compare(second, first, margin=margin)
        is_close = loss(one) <= margin + _ROUNDING
        return Headline(first, second, margin, comparison, smallest, loss(smallest), is_close)

    close = [g for g in smaller if loss(g) <= margin + _ROUNDING]
    tried = []
    for chosen in sorted(close, key=lambda g: (g.bytes("plain"), -g.mean)):
        tried.append(summed_up(chosen))
        if _is_kept(tried[-1].comparison):
            return tried[-1]
    return tried[0] if tried else summed_up(min(smaller, key=loss))


def _of_common_seeds(base: Group, other: Group) -> tuple[Group, Group]:
    """Return both with the models of the seeds that both have; as they are where they share none.

    A mean over other seeds would be of other models than the verdict.
    """
    common = set(base.seeds) & set(other.seeds)
    if not common:
        return base, other
    first, second = (
        dataclasses.replace(one, models=tuple(m for m in one.models if m.seed in common))
        for one in (base, other)
    )
    return first, second


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
