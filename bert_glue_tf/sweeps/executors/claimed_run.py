"""Program: the train command in a process that a sweep has started, with the sweep's claim.

The first argument is what `local.Process` passes, the others are flags of the train command. The
process ends with its sweep: who kills that one wants no work to go on unseen.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import pathlib
import signal
import sys
import threading
import time

from bert_glue_tf.core import cli, locks
from bert_glue_tf.sweeps.executors import claims, local

# Imported by its name as it runs, since a command stands above the rooms and no room imports one.
_TRAIN = "bert_glue_tf.train"


def main() -> None:
    """Take the lock over, keep the claim alive, and train."""
    passed = json.loads(sys.argv.pop(1))
    locks.adopt(passed["lock"])
    # In a shell's background SIGINT is ignored, and that is inherited.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    threading.Thread(
        target=beat, args=(pathlib.Path(passed["claim"]), passed["sweep"]), daemon=True
    ).start()
    train = importlib.import_module(_TRAIN)
    sys.argv[0] = str(train.__file__)
    train.command()


def beat(claim: pathlib.Path, sweep: int) -> None:
    """Keep a claim alive while the sweep lives and nobody has taken the claim over.

    Args:
      claim: file of the claim.
      sweep: process id of the sweep, the parent of this process.
    """
    name, _, number = claim.name.rpartition(".")
    next_claim = claim.with_name(f"{name}.{int(number) + 1}")
    beaten = -math.inf
    while os.getppid() == sweep:
        if time.monotonic() - beaten > claims.BEAT:
            beaten = time.monotonic()
            try:
                if next_claim.exists():
                    os._exit(local.SUPERSEDED)  # At once: another machine writes into the folder.
                os.utime(claim)
            except FileNotFoundError:  # Another machine has finished the run.
                os._exit(local.SUPERSEDED)
            except OSError:  # The folder cannot be reached for a while.
                continue
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(local.GRACE)
    os._exit(cli.INTERRUPTED)


if __name__ == "__main__":
    main()
