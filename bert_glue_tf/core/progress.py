"""Bars and spinners on a terminal: drawn while something runs, and gone when it has ended."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from absl import logging

from bert_glue_tf.core import layout

if TYPE_CHECKING:
    import rich.progress


def bar(*columns: Any, is_wide: bool = True, ticks: bool = True) -> rich.progress.Progress | None:
    """Return a bar that has begun; None where the output is no terminal.

    Args:
      *columns: of `rich.progress`.
      is_wide: as wide as the terminal.
      ticks: drawn four times a second by a thread of its own, so that its clock goes on where
        nothing else does; else only when it is told to, as where something is timed.
    """
    if not layout.is_terminal():
        return None
    import rich.console
    import rich.progress

    begun = rich.progress.Progress(
        *columns,
        console=rich.console.Console(highlight=False, markup=False, emoji=False),
        auto_refresh=ticks,
        refresh_per_second=4,
        transient=True,
        expand=is_wide,
        # In a file, the log has to stay there.
        redirect_stderr=sys.stderr.isatty(),
    )
    begun.start()
    # rich hides the cursor, and a process that is killed could not bring it back.
    begun.console.show_cursor(True)
    return begun


@contextlib.contextmanager
def doing(text: str, is_logged: bool = True) -> Iterator[None]:
    """Say what the block does, and on a terminal show that it goes on, with its seconds.

    Args:
      text: what is done, as `saving the model`.
      is_logged: also as a line of the log, which stays; else on a terminal only, while it runs.
    """
    if is_logged:
        logging.info("%s", text)
    spinner = None
    if layout.is_terminal():
        import rich.progress

        spinner = bar(
            rich.progress.SpinnerColumn(),
            rich.progress.TextColumn("{task.description}"),
            rich.progress.TimeElapsedColumn(),
            is_wide=False,
        )
    if spinner is not None:
        spinner.add_task("" if is_logged else text, total=None)
    try:
        yield
    finally:
        if spinner is not None:
            spinner.stop()


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
        if layout.is_terminal():
            import rich.progress

            self._bar = bar(
                rich.progress.TextColumn("{task.description}"),
                rich.progress.BarColumn(bar_width=None),
                rich.progress.MofNCompleteColumn(),
                rich.progress.TextColumn("{task.fields[status]}"),
                rich.progress.TimeElapsedColumn(),
                rich.progress.TextColumn("gone"),
                ticks=False,
            )
        if self._bar is not None:
            self._bar.add_task(self._name, total=self._total, status="")
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def is_drawn(self) -> bool:
        """Return whether there is a bar: standard output is a terminal."""
        return self._bar is not None

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(layout.wrapped(line, layout.width()), soft_wrap=True)
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
