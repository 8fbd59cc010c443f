"""Text for a terminal: its width, prose that breaks at words, and commands that can be pasted."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import sys
import textwrap
from collections.abc import Sequence
from typing import TextIO

WIDE = 120  # Columns of a table where nothing bounds them, as in a file.
_NARROWEST = 40
_READABLE = 100  # Longer lines of prose are hard to read.
# Lines that are commands: advice stands on lines of its own, with two spaces before it.
_COMMAND = re.compile(r"  (python -m |\S*bert-glue-)")
# In a note that stands in files as well, the command is the end of its line.
_ADVICE = re.compile(r"(.*:) (python -m .*)")


def width(output: TextIO | None = None) -> int:
    """Return the columns of the output: COLUMNS, else those of its terminal, else 120.

    Args:
      output: standard output by default.
    """
    given = os.environ.get("COLUMNS", "")
    if given.isdecimal() and int(given):
        return max(_NARROWEST, int(given))
    try:
        return max(_NARROWEST, os.get_terminal_size((output or sys.stdout).fileno()).columns)
    except (AttributeError, OSError, ValueError):  # No file, or none that is a terminal.
        return WIDE


def is_terminal(output: TextIO | None = None) -> bool:
    """Return whether a person sees the output, on a terminal that can draw."""
    file = output or sys.stdout
    try:
        return file.isatty() and os.environ.get("TERM") != "dumb"
    except (AttributeError, ValueError):  # No file, or one that is closed.
        return False


def say(text: str, output: TextIO | None = None) -> None:
    """Print prose, on a terminal broken at words.

    In a file a line stays one line, so that it can be searched.

    Args:
      text: of any number of lines.
      output: standard output by default.
    """
    print(wrapped(text, width(output)) if is_terminal(output) else text, file=output)


def wrapped(text: str, columns: int, after: str | None = None) -> str:
    """Return a text whose lines are broken at spaces, and nowhere else.

    A line that is a command (two spaces, and then `python -m`) is broken with backslashes, so that
    it can be pasted; so is one at the end of a sentence, which gets a line of its own. Any other
    line that begins with spaces keeps them before all its parts.

    Args:
      text: of any number of lines.
      columns: of the longest line.
      after: before the further parts of a line; by default the spaces that the line begins with.
    """
    return "\n".join(part for line in text.split("\n") for part in _parts(line, columns, after))


def prose_width() -> int:
    """Return the columns for help texts: those of the output, but no more than are readable."""
    return min(width(), _READABLE)


def _parts(line: str, columns: int, after: str | None) -> list[str]:
    advice = _ADVICE.fullmatch(line)
    if advice:
        return [*_parts(advice[1], columns, after), *_parts(f"  {advice[2]}", columns, after)]
    if len(line) <= columns:
        return [line]
    if is_command(line):
        return _folded(line, columns)
    indent = " " * (len(line) - len(line.lstrip()))
    return filled(line.lstrip(), columns, indent, after)


def is_command(line: str) -> bool:
    """Return whether a line is a command to be pasted: two spaces, and then `python -m`."""
    return bool(_COMMAND.match(line))


def filled(text: str, columns: int, indent: str = "", after: str | None = None) -> list[str]:
    """Return a text as lines that end at spaces; a word that is longer has a line of its own.

    Args:
      text: without line ends.
      columns: of the longest line.
      indent: before the first line.
      after: before the others; by default the same.
    """
    return textwrap.wrap(
        text,
        columns,
        initial_indent=indent,
        subsequent_indent=indent if after is None else after,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    ) or [""]


def _folded(line: str, columns: int) -> list[str]:
    """Return a command as lines that a shell reads as one, each argument whole."""
    try:
        words = shlex.split(line)
    except ValueError:
        return [line]
    lines, current = [], "  "
    for word in map(quoted, words):
        if current.strip() and len(current) + len(word) > columns - 2:
            lines.append(f"{current}\\")
            current = "    "
        current += f"{word} "
    return [*lines, current.rstrip()]


def quoted(word: str) -> str:
    """Return a word for a shell; of a flag the value alone is in quotes: --runs='runs/*'."""
    flag = re.match(r"--\w+=", word)
    if flag is None or shlex.quote(word) == word:
        return shlex.quote(word)
    return flag[0] + shlex.quote(word[flag.end() :])


def near(path: pathlib.Path) -> pathlib.Path:
    """Return an absolute path relative to the working folder where it lies below it."""
    here = pathlib.Path.cwd().resolve()
    return path.relative_to(here) if path.is_relative_to(here) else path


def joined(words: Sequence[str]) -> str:
    """Return a command as one line that can be pasted into a shell."""
    return " ".join(map(quoted, words))


def command(name: str, **flags: object) -> str:
    """Return a command of this package, as a line of advice: two spaces and the command.

    Args:
      name: of the command, as `compare`.
      **flags: name -> value.
    """
    words = [f"--{flag}={value}" for flag, value in flags.items()]
    return "  " + joined(["python", "-m", f"bert_glue_tf.{name}", *words])
