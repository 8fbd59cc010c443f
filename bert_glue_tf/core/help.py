"""The text of a command's --help."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

from absl import flags

from bert_glue_tf.core import layout

_HELP = ("--help", "-h", "-help", "--helpfull", "--helpshort", "-?", "--?")
# What absl writes around a flag's own text, of flags that are lists or one of some values.
_ADDED = re.compile(r"^<[^>]*>: |;\s+repeat this option .*$|\s+\(a (comma|space).separated list\)$")
_FLAGFILE = "Read flags from a file, one a line; see configs/."


def is_asked_for() -> bool:
    """Return whether the command line asks for help."""
    return any(argument in _HELP for argument in sys.argv[1:])


def names() -> list[str]:
    """Return the names of the flags that --help of the running command shows."""
    return [flag.name for flag in _flags(sys.argv[0])] + ["flagfile", "help"]


def text(doc: str | None, main: Callable[[], None]) -> str:
    """Return what a command does and its flags with their defaults, as wide as the output.

    Args:
      doc: what the command does: sentences, and examples of it on lines of their own.
      main: the command's function; its module's key flags are listed.
    """
    columns = layout.prose_width()
    # As __main__, a module's flags are kept under the name of its file.
    module = sys.argv[0] if main.__module__ == "__main__" else main.__module__
    described = re.sub(r"^(?=python -m )", "  ", (doc or "").strip(), flags=re.MULTILINE)
    lines = [layout.wrapped(described, columns), "", "Flags:"]
    for flag in _flags(module):
        lines.append(f"  {_head(flag)}")
        lines += layout.filled(_own_text(flag), columns, " " * 6)
    lines += ["  --flagfile=FILE", *layout.filled(_FLAGFILE, columns, " " * 6)]
    return "\n".join(lines)


def _flags(module: str) -> list[flags.Flag[Any]]:
    return list(flags.FLAGS.get_key_flags_for_module(module))


def _head(flag: flags.Flag[Any]) -> str:
    """Return a flag with its default, as it would be given."""
    if flag.boolean:
        return f"--[no]{flag.name}" + (" (on)" if flag.default else "")
    default = flag.default
    if default is None:  # A number that need not be given.
        default = ""
    if isinstance(default, list):
        default = ",".join(map(str, default))
    return layout.quoted(f"--{flag.name}={default}").removesuffix("''")


def _own_text(flag: flags.Flag[Any]) -> str:
    return _ADDED.sub("", " ".join((flag.help or "").split()))
