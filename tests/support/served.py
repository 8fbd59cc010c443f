"""Program: answers of several kinds, for who calls a module in a process of its own."""

from __future__ import annotations

import os
import signal
import sys
import time

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.evaluation import cost
from bert_glue_tf.export import apart


def answer(given):
    """Return or do what is asked for."""
    match given:
        case "process":
            return [os.getpid(), cost.peak_memory_bytes(), "tensorflow" in sys.modules]
        case "print":
            print("a line")
            os.write(1, b"of a library\n")
            return None
        case "mistake":
            raise UserError("TMP/none.tflite: cannot be read (No such file or directory).")
        case "failure":
            raise ValueError("a defect")
        case "killed":
            signal.raise_signal(signal.SIGKILL)
        case "sleep":
            time.sleep(60)
    return given


if __name__ == "__main__":
    apart.serve(answer)
