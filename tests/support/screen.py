"""Programs on a terminal of a given width, and the lines that a person then sees on it."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from fcntl import ioctl

_PART = re.compile(r"\x1b\[([\d;?]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n]+)")


def run(
    arguments: Sequence[str], columns: int, environment: Mapping[str, str] | None = None, **more
) -> tuple[str, int]:
    """Run a program on a terminal of so many columns; return what it has written, and its status.

    Args:
      arguments: the program and its arguments.
      columns: of the terminal.
      environment: added to that of the tests.
      **more: of `subprocess.Popen`.
    """
    leader, follower = pty.openpty()
    ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    own = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    running = subprocess.Popen(
        list(arguments),
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**own, "TERM": "xterm", **(environment or {})},
        **more,
    )
    os.close(follower)
    written = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # As Linux tells that the last writer has gone.
            break
        if not part:
            break
        written += part
    os.close(leader)
    return written.decode(), running.wait(timeout=60)


def lines(written: str, columns: int) -> list[str]:
    """Return the lines on the screen in the end, those that have gone up out of it included.

    A line that is longer than the terminal goes on in the next one, as it does there.
    """
    rows, row, column = [""], 0, 0
    for part in _PART.finditer(written):
        numbers, letter, begin, end, text = part.groups()
        if letter == "A":
            row = max(0, row - int(numbers or 1))
        elif letter == "K" and numbers == "2":
            rows[row] = ""
        elif begin:
            column = 0
        elif end:
            row += 1
        for character in text or "":
            if column == columns:
                row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
            rows[row] = rows[row][:column].ljust(column) + character + rows[row][column + 1 :]
            column += 1
        rows += [""] * (row + 1 - len(rows))
    return [line.rstrip() for line in rows]
