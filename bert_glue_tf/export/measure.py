"""The memory that a process needs which loads a .tflite file and predicts with it once."""

from __future__ import annotations

import pathlib
import subprocess
import sys

# A process of its own, since the peak of this one is TensorFlow's.
_LOAD_AND_PREDICT = """
import pathlib, sys
import numpy as np
from bert_glue_tf.evaluation import cost
from bert_glue_tf.export import litert
from bert_glue_tf.data.preprocessing import INPUTS
if len(sys.argv) > 1:
    model = litert.LiteModel.load(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
    length = model.lengths[-1]
    model.predict({name: np.ones((1, length), np.int32) for name in INPUTS})
print(cost.peak_memory_bytes())
"""


def peak_memory_of_prediction(path: pathlib.Path, threads: int) -> dict[str, int]:
    """Largest resident set of a fresh process that loads a .tflite file and predicts once.

    Returns:
      {"total": ..., "empty": that of a process which only imports the same modules}, bytes.
    """

    def measure(*arguments: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", _LOAD_AND_PREDICT, *arguments],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"the process that was to be measured failed:\n{done.stderr}")
        return int(done.stdout.split()[-1])

    return {"total": measure(str(path), str(threads)), "empty": measure()}
