"""The steps of a compression: what they are, about how long they take, and how far it is."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence

from absl import logging

from bert_glue_tf.budget.folder import CompressFolder
from bert_glue_tf.budget.record import Step
from bert_glue_tf.core import progress

# The steps, in their order, by the names that records have.
AGAIN, COSTS, WORTH, STRUCTURES = "held-out", "costs", "worth", "structures"
TRAININGS, AWARE, RESULT = "trainings", "quantize-aware", "result"


@dataclasses.dataclass(frozen=True)
class Planned:
    """A step that is to be taken.

    Attributes:
      name: of the step.
      text: what is done, as the end of "step 1 of 5: ".
      seconds: that it takes, by an estimate; None where nothing is known of it.
      is_done: True where an earlier process has taken it.
    """

    name: str
    text: str
    seconds: float | None
    is_done: bool = False


@dataclasses.dataclass
class Taken:
    """A step that is being taken; `text` says what came of it."""

    text: str = ""


class Steps:
    """Takes the planned steps one after the other, and says how far it is.

    Args:
      planned: in their order.
      folder: of the compression, which keeps a record of each.
    """

    def __init__(self, planned: Sequence[Planned], folder: CompressFolder) -> None:
        self._planned, self._folder = list(planned), folder

    @contextlib.contextmanager
    def take(self, name: str) -> Iterator[Taken]:
        """Say which step begins and what is left, and keep what came of it."""
        place = next(i for i, one in enumerate(self._planned) if one.name == name)
        step, rest = self._planned[place], self._planned[place:]
        told = "done before" if step.is_done else told_left(rest, " left")
        logging.info("step %d of %d: %s (%s)", place + 1, len(self._planned), step.text, told)
        begin, taken = time.perf_counter(), Taken()
        yield taken
        if taken.text and not step.is_done:
            from bert_glue_tf.evaluation import cost  # With NumPy, which --help needs not.

            seconds = round(time.perf_counter() - begin, 1)
            self._folder.add(
                Step(
                    name=name,
                    text=taken.text,
                    seconds=seconds,
                    peak_memory_bytes=cost.peak_memory_bytes(),
                )
            )


def rows(planned: Sequence[Planned]) -> list[dict[str, str]]:
    """Return a row for each step, for `terminal.print_rows`."""
    return [
        {
            "step": str(number),
            "what": one.text,
            "time": "done" if one.is_done else _about(one.seconds),
        }
        for number, one in enumerate(planned, start=1)
    ]


def left(planned: Sequence[Planned]) -> float:
    """Return the seconds of the steps that are not taken yet, as far as they are known."""
    return sum(one.seconds or 0.0 for one in planned if not one.is_done)


def told_left(planned: Sequence[Planned], end: str = "") -> str:
    """Return the time of the steps that are not taken yet in words: `about 3 min`.

    Args:
      planned: the steps.
      end: stands behind the time, before a word on steps of which nothing is known.
    """
    has_more = any(one.seconds is None and not one.is_done for one in planned)
    more = ", besides the steps whose time is not known" if has_more else ""
    return f"{_about(max(1.0, left(planned)))}{end}{more}"


def _about(seconds: float | None) -> str:
    return "not known" if seconds is None else f"about {progress.duration(seconds)}"
