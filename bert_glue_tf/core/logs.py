"""The lines of the log: their form, and whose lines are shown."""

from __future__ import annotations

import logging as std_logging
import pathlib
import sys
from typing import TextIO

from absl import logging

from bert_glue_tf.core import layout

_TIME = "%H:%M:%S"
_UNDER_THE_TEXT = " " * len("12:34:56 ")
_PACKAGE = str(pathlib.Path(__file__).parents[1])


class _OurLines(std_logging.Filter):
    """A filter for the lines of the package and of the program itself, and anyone's warnings."""

    def filter(self, record: std_logging.LogRecord) -> bool:
        ours = (_PACKAGE, getattr(sys.modules["__main__"], "__file__", None) or _PACKAGE)
        return record.levelno >= std_logging.WARNING or record.pathname.startswith(ours)


class _Line(std_logging.Formatter):
    """A line of the log: time and text; what is more than a note says what it is."""

    def format(self, record: std_logging.LogRecord) -> str:
        important = record.levelno >= std_logging.WARNING
        record.kind = f"{record.levelname.lower()}: " if important else ""
        text = super().format(record)
        if not layout.is_terminal(sys.stderr):
            return text
        return layout.wrapped(text, layout.width(sys.stderr), _UNDER_THE_TEXT)


class _Handler(std_logging.StreamHandler[TextIO]):
    """A handler that writes to what is standard error at the time.

    A progress bar stands in for it while it is drawn, so that a line comes above the bar and not
    into it.
    """

    def emit(self, record: std_logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def show() -> None:
    """Log time and text on standard error; tf-models-official and others log through absl too."""
    handler = _Handler()
    handler.setFormatter(_Line("%(asctime)s %(kind)s%(message)s", _TIME))
    handler.addFilter(_OurLines())
    root = std_logging.getLogger()
    for other in [one for one in root.handlers if _is_nobodys(one)]:
        root.removeHandler(other)
    root.addHandler(handler)
    logging.set_verbosity(logging.INFO)


def show_in_python() -> None:
    """Log as the commands do, unless the program that calls us has set its logging up itself."""
    if all(_is_nobodys(handler) for handler in std_logging.getLogger().handlers):
        show()


def _is_nobodys(handler: std_logging.Handler) -> bool:
    """Return whether a handler is ours, absl's, or the one that Python makes by itself.

    Python makes one with its basic format where somebody logs before anything is set up.
    """
    if isinstance(handler, _Handler) or handler is logging.get_absl_handler():
        return True
    form = getattr(handler.formatter, "_fmt", None)
    return type(handler) is std_logging.StreamHandler and form == std_logging.BASIC_FORMAT
