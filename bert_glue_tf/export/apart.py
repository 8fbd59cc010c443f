"""A function called in a process of its own, as what times files is.

TensorFlow leaves its traces in a process: after a few conversions a small file took 5 % longer
beside smaller ones than in a new process, on 2 cores.

As a program (`python -m bert_glue_tf.export.apart`) it is that process: it reads the call from its
standard input, and writes the result to its standard output. What the function prints goes to
standard error.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from absl import logging

from bert_glue_tf.core import logs
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.interrupts import terminating
from bert_glue_tf.export import litert

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
      RuntimeError: it has failed; standard error has its traceback.
    """
    given = pickle.dumps((logging.get_verbosity(), function, args, options))
    done = subprocess.run(
        [sys.executable, "-P", "-m", __name__],
        input=given,
        stdout=subprocess.PIPE,
        env=litert.environment(),
    )
    if done.returncode:
        raise RuntimeError(f"{function.__qualname__} failed in a process of its own")
    error: UserError | None
    error, result = pickle.loads(done.stdout)
    if error is not None:
        raise error
    return result


def main() -> None:
    """Call the function that standard input names."""
    output, sys.stdout = sys.stdout.buffer, sys.stderr
    verbosity, function, args, options = pickle.load(sys.stdin.buffer)
    logs.show()
    logging.set_verbosity(verbosity)
    answer: tuple[UserError | None, object]
    try:
        with terminating():
            answer = None, function(*args, **options)
    except UserError as error:
        answer = error, None
    except KeyboardInterrupt:  # The process that asks is interrupted as well, and says so.
        sys.exit(130)
    pickle.dump(answer, output)


if __name__ == "__main__":
    main()
