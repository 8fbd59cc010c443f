"""The text of a command's --help."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable

from absl import flags

_HELP = ("--help", "-h", "-help", "--helpfull")


def is_asked_for() -> bool:
    """Return whether the command line asks for help."""
    return any(argument in _HELP for argument in sys.argv[1:])


def text(doc: str | None, main: Callable[[], None]) -> str:
    """Return what a command does and its flags with their defaults.

    Args:
      doc: what the command does.
      main: the command's function; its module's key flags are listed.
    """
    # As __main__, a module's flags are kept under the name of its file.
    module = sys.argv[0] if main.__module__ == "__main__" else main.__module__
    lines = [(doc or "").strip(), "", "Flags:"]
    for flag in flags.FLAGS.get_key_flags_for_module(module):
        if flag.boolean:
            head = f"--[no]{flag.name}"
        else:
            head = f"--{flag.name}={flag.default}"
        lines.append(f"  {head}" + (" (on)" if flag.boolean and flag.default else ""))
        lines += textwrap.wrap(flag.help, 88, initial_indent=" " * 6, subsequent_indent=" " * 6)
    lines += [
        "  --flagfile=FILE",
        "      Read flags from a file, one a line; see configs/.",
    ]
    return "\n".join(lines)
