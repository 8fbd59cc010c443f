"""Program: a command in the process of a task, which holds a lock and ends with its parent.

The first argument is what `process.Process` passes, the second the name of a module, and the others
are its flags. Who kills the process that has started this one wants no work to go on unseen.
"""

from __future__ import annotations

import importlib
import json
import pathlib
import signal
import sys
import threading
import time

from bert_glue_tf.core import locks, parents
from bert_glue_tf.sweeps.executors import process

# A process whose worker was killed ends within two seconds, and gives its lock back then.
_WAIT = 30.0
_LOOK = 0.5  # Seconds between two looks at a lock that another process holds.


def main() -> None:
    """Take the lock, watch the parent, and call the command."""
    passed = json.loads(sys.argv.pop(1))
    # Imported by its name as it runs, since a command stands above the rooms.
    module = sys.argv.pop(1)
    threading.Thread(
        target=parents.watch, args=(passed["parent"], passed["grace"]), daemon=True
    ).start()
    # In a shell's background SIGINT is ignored, and that is inherited.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if passed["lock"] is not None:
        locks.adopt(passed["lock"])
    elif passed["lock_file"] is not None and not take(pathlib.Path(passed["lock_file"])):
        sys.exit(process.BUSY)
    command = importlib.import_module(module)
    sys.argv[0] = str(command.__file__)
    command.command()


def take(lock: pathlib.Path) -> bool:
    """Take a lock for as long as the process lives; False where another one keeps it."""
    until = time.monotonic() + _WAIT
    while True:
        try:
            locks.hold(lock)
            return True
        except BlockingIOError:
            if time.monotonic() > until:
                return False
            time.sleep(_LOOK)


if __name__ == "__main__":
    main()
