"""Program: become another one that reads commands from descriptor 3 and answers on 4.

python with_pipe.py COMMANDS ANSWERS PROGRAM ARGUMENTS...

So Chromium does with --remote-debugging-pipe; COMMANDS and ANSWERS are open descriptors.
"""

from __future__ import annotations

import fcntl
import os
import sys


def main(given: str, asked: str, *command: str) -> None:
    # Out of the way first: one of them may be 3 or 4 itself.
    commands, answers = (fcntl.fcntl(int(one), fcntl.F_DUPFD, 10) for one in (given, asked))
    os.dup2(commands, 3)
    os.dup2(answers, 4)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
