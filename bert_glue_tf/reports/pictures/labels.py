"""Labels: names beside the points of a picture, none of which lies on another one."""

from __future__ import annotations

import dataclasses
import itertools
import math
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

SIZE = 12.0  # Height of the letters, in units of the picture.
LINE = 14.0  # From one line to the next.
_GAP = 8.0  # Between a point's centre and its label.
_LINE_LENGTH = 28
_LINES = 4
# How far a label may stand from its point, and in which directions: right first.
_DISTANCES = (0.0, 14.0, 30.0, 50.0, 75.0, 105.0)
_ANCHORS = {1: "start", 0: "middle", -1: "end"}
_DIRECTIONS = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (1, 1), (-1, -1), (-1, 1))

Line = tuple[float, float, float, float]  # From (x, y) to (x, y).


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle that nothing else may cover."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Box) -> bool:
        """Tell if the two have a common part."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def holds(self, other: Box) -> bool:
        """Tell if the other one lies within this one."""
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


@dataclasses.dataclass(frozen=True)
class Label:
    """A text at its place.

    Attributes:
      lines: of the text.
      box: that the text fills, by a cautious estimate of its width.
      leader: a line from the point to the box; None where they are close.
      anchor: the part of each line that lies at its place: `start`, `middle` or `end`.
    """

    lines: tuple[str, ...]
    box: Box
    leader: Line | None
    anchor: str

    @property
    def places(self) -> list[tuple[float, float, str]]:
        """The lines, each with the place of its anchor on its base line."""
        middle = (self.box.left + self.box.right) / 2
        x = {"start": self.box.left + 1, "middle": middle, "end": self.box.right - 1}[self.anchor]
        top = self.box.top + SIZE - 1
        return [(round(x, 1), round(top + LINE * i, 1), t) for i, t in enumerate(self.lines)]


def lines_of(text: str) -> tuple[str, ...]:
    """Break a name into short lines; one that is too long ends in an ellipsis."""
    lines = textwrap.wrap(
        loosened(text),
        _LINE_LENGTH,
        max_lines=_LINES,
        placeholder="…",
        break_on_hyphens=False,
    )
    return tuple(lines)


def loosened(text: str) -> str:
    """Return a name that may be broken at its spaces, but never before a percent sign."""
    return text.replace("\xa0", " ").replace(" %", "\xa0%")


def width_of(text: str) -> float:
    """Estimate the width of a text in any usual font: rather too wide than too narrow."""
    return SIZE * sum(map(_ems, text))


def _ems(letter: str) -> float:
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.05
    if letter in "mwMW@%":
        return 0.95
    if letter.isupper():
        return 0.74
    return 0.36 if letter in "ijlt.,:;' |" else 0.65


def place(
    points: Sequence[tuple[float, float]],
    texts: Sequence[tuple[str, ...]],
    area: Box,
    radius: float,
    lines: Sequence[Line] = (),
) -> list[Label | None]:
    """Find a free place for each label, the first ones first; None where there is none.

    Args:
      points: (x, y) of each.
      texts: the lines of each.
      area: the labels stay within it.
      radius: of the points, which stay free.
      lines: that a label covers only where it has no other place.
    """
    taken = [Box(x - radius, y - radius, x + radius, y + radius) for x, y in points]
    leaders: list[Line] = []
    found: list[Label | None] = []
    for point, text in zip(points, texts, strict=True):
        free = [one for one in _candidates(point, text) if _is_free(one, area, taken, leaders)]
        # Of those that cover as few lines as can be, the first: the nearest one.
        label = min(
            free, key=lambda one: sum(_crosses(line, one.box) for line in lines), default=None
        )
        found.append(label)
        if label is not None:
            taken.append(label.box)
            leaders += [label.leader] if label.leader else []
    return found


def _candidates(point: tuple[float, float], lines: tuple[str, ...]) -> Iterator[Label]:
    """Yield the places around a point, the nearest first."""
    width = max(map(width_of, lines), default=0.0) + 2
    height = LINE * (len(lines) - 1) + SIZE + 3
    for distance, (right, down) in itertools.product(_DISTANCES, _DIRECTIONS):
        reach = (_GAP + distance) * (0.75 if right and down else 1.0)
        x, y = point[0] + right * reach, point[1] + down * reach
        left = x - width / 2 if not right else x if right > 0 else x - width
        top = y - height / 2 if not down else y if down > 0 else y - height
        box = Box(left, top, left + width, top + height)
        leader = (*_edge(point, (x, y)), round(x, 1), round(y, 1)) if distance else None
        yield Label(lines, box, leader, _ANCHORS[right])


def _edge(point: tuple[float, float], to: tuple[float, float]) -> tuple[float, float]:
    """Return where a line from a point's centre leaves its mark."""
    length = math.dist(point, to)
    return (
        round(point[0] + (to[0] - point[0]) * _GAP / length, 1),
        round(point[1] + (to[1] - point[1]) * _GAP / length, 1),
    )


def _is_free(
    label: Label,
    area: Box,
    taken: Sequence[Box],
    leaders: Sequence[Line],
) -> bool:
    if not area.holds(label.box) or any(label.box.overlaps(box) for box in taken):
        return False
    if any(_crosses(leader, label.box) for leader in leaders):
        return False
    return label.leader is None or not any(_crosses(label.leader, box) for box in taken)


def _crosses(line: Line, box: Box) -> bool:
    """Tell if a line goes through a box, by points on it that are close together."""
    steps = max(2, int(math.dist(line[:2], line[2:]) / 3))
    places = (
        (line[0] + (line[2] - line[0]) * i / steps, line[1] + (line[3] - line[1]) * i / steps)
        for i in range(steps + 1)
    )
    return any(box.left < x < box.right and box.top < y < box.bottom for x, y in places)
