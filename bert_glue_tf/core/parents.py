"""A process that ends with the one that has started it."""

from __future__ import annotations

import os
import signal
import time

from bert_glue_tf.core import cli

LOOK = 0.5  # Seconds between two looks at the parent.


def watch(parent: int, grace: float) -> None:
    """End this process when its parent has died.

    Args:
      parent: its process id.
      grace: seconds in which the state of a training may be saved; 0 ends the process at once.
    """
    while os.getppid() == parent:
        time.sleep(LOOK)
    if grace:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(grace)
    os._exit(cli.INTERRUPTED)
