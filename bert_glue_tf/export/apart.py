"""Work that a module of this package does in a process of its own, as what times files is.

TensorFlow leaves its traces in a process: after a few conversions a small file took 5 % longer
beside smaller ones than in a new process, on 2 cores.

Such a module ends with `apart.serve(function)` where it is run as a program: the function is given
what stands on standard input, and its answer goes to standard output, both as JSON. What is printed
meanwhile goes to standard error. The process ends with the one that has started it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

from absl import logging

from bert_glue_tf.core import logs, parents
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import litert


def call(module: str, given: Any) -> Any:
    """Run a module as a program, and return its answer.

    Args:
      module: its name; it serves, as above.
      given: in JSON types.

    Raises:
      UserError: as the module's function.
      RuntimeError: it has failed, or its process was ended from outside; the message has the
        status. Of a failure standard error has the traceback.
    """
    asked = {"parent": os.getpid(), "verbosity": logging.get_verbosity(), "given": given}
    done = subprocess.run(
        [sys.executable, "-P", "-m", module],
        input=json.dumps(asked),
        stdout=subprocess.PIPE,
        text=True,
        env=litert.environment(),
        start_new_session=True,  # Ctrl-C reaches this process alone, which ends that one.
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed in a process of its own (status {done.returncode})")
    told = json.loads(done.stdout)
    if "error" in told:
        raise UserError(told["error"])
    return told["answer"]


def serve(function: Callable[[Any], Any]) -> None:
    """Answer the process that has started this one.

    Args:
      function: is given what `call` was, and returns its answer, in JSON types.
    """
    # What else is written to the descriptor, by libraries too, goes to standard error.
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = json.load(sys.stdin)
    threading.Thread(target=parents.watch, args=(asked["parent"], 0), daemon=True).start()
    logs.show()
    logging.set_verbosity(asked["verbosity"])
    try:
        told = {"answer": function(asked["given"])}
    except UserError as error:
        told = {"error": str(error)}
    sys.stdout.flush()
    with output:
        json.dump(told, output)
