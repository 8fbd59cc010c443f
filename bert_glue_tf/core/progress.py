"""The progress of work in many parts, as a person sees it on the terminal."""

from __future__ import annotations

import os
import sys
import time
from typing import Self

import rich.console
import rich.progress


class Bar:
    """Lines on standard output, and on a terminal a bar below them.

    Args:
      total: number of parts.
      name: of the work, in front of the bar.
    """

    _SECONDS = 0.5  # Between two drawings.

    def __init__(self, total: int, name: str):
        self._total = total
        self._name = name
        self._bar: rich.progress.Progress | None = None
        self._shown = 0.0

    def __enter__(self) -> Self:
        if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(bar_width=None),
                rich.progress.MofNCompleteColumn(),
                rich.progress.TextColumn("{task.fields[status]}"),
                console=rich.console.Console(highlight=False, markup=False, emoji=False),
                auto_refresh=False,
                transient=True,
                expand=True,
            )
            self._bar.add_task(self._name, total=self._total, status="")
            self._bar.start()
            # rich hides the cursor, and a process that is killed could not bring it back.
            self._bar.console.show_cursor(True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def is_drawn(self) -> bool:
        """Whether there is a bar: standard output is a terminal."""
        return self._bar is not None

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, soft_wrap=True)
        else:
            print(line, flush=True)

    def show(self, done: int, status: str) -> None:
        """Draw the bar anew, but not more often than twice a second.

        Args:
          done: number of parts that are done.
          status: text behind the bar.
        """
        now = time.monotonic()
        if self._bar is not None and now - self._shown > self._SECONDS:
            self._shown = now
            (number,) = self._bar.task_ids
            self._bar.update(number, completed=done, status=status, refresh=True)


def duration(seconds: float) -> str:
    """Return seconds in words: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
