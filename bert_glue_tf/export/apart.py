"""A function called in a process of its own, as what times files is.

TensorFlow leaves its traces in a process: after a few conversions a small file took 5 % longer
beside smaller ones than in a new process, on 2 cores.

As a program (`python -m bert_glue_tf.export.apart`) it is that process: it reads the call from its
standard input, and writes the result to its standard output. What the function prints goes to
standard error. It ends with the process that has started it.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from absl import logging

from bert_glue_tf.core import logs
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import litert

_LOOK = 0.5  # Seconds between two looks for the process that has started this one.

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


def call(
    function: Callable[_Given, _Result], /, *args: _Given.args, **options: _Given.kwargs
) -> _Result:
    """Call a function of this package in a new process, and return its result.

    Args:
      function: found by its module and name; it, what it is given and what it returns can be
        pickled.
      *args, **options: of the call.

    Raises:
      UserError: as the function.
      RuntimeError: it has failed, or its process was ended from outside; the message has the
        status. Of a failure standard error has the traceback.
    """
    given = pickle.dumps((os.getpid(), logging.get_verbosity(), function, args, options))
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__],
        input=given,
        stdout=subprocess.PIPE,
        env=litert.environment(),
        start_new_session=True,  # Ctrl-C reaches this process alone, which ends that one.
    )
    if done.returncode:
        raise RuntimeError(
            f"{function.__qualname__} failed in a process of its own (status {done.returncode})"
        )
    error: UserError | None
    error, result = pickle.loads(done.stdout)
    if error is not None:
        raise error
    return result


def main() -> None:
    """Call the function that standard input names."""
    # What else is written to the descriptor, by libraries too, goes to standard error.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    parent, verbosity, function, args, options = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    logs.show()
    logging.set_verbosity(verbosity)
    answer: tuple[UserError | None, object]
    try:
        answer = None, function(*args, **options)
    except UserError as error:
        answer = error, None
    sys.stdout.flush()
    with output:
        pickle.dump(answer, output)


def _watch(parent: int) -> None:
    """End this process when the one that has started it was killed."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    os._exit(1)


if __name__ == "__main__":
    main()
