"""The memory of a process that loads a .tflite file and predicts with it once.

As a program (`python -m bert_glue_tf.export.measure [FILE THREADS]`) it is that process, and prints
its own peak in bytes; without a file it only imports what the other one imports. A process of its
own, since the peak of one that has exported is TensorFlow's.
"""

from __future__ import annotations

import functools
import pathlib
import statistics
import subprocess
import sys

from bert_glue_tf.evaluation import cost
from bert_glue_tf.export import litert

# The system counts in pages, and a process is not always given the same ones: of one only, a tiny
# file's peak was once found below that of an empty process.
REPETITIONS = 3


def peak_memory_of_prediction(path: pathlib.Path, threads: int) -> dict[str, int]:
    """Measure the largest resident set of processes that load a .tflite file and predict once.

    Args:
      path: of the file.
      threads: of LiteRT.

    Returns:
      Bytes: `total`, the median of several processes, and `total_min` and `total_max` among them;
      the same as `empty`, `empty_min` and `empty_max` of processes that only import the same
      modules.

    Raises:
      RuntimeError: a process that was to be measured has failed.
    """
    return {**_summary("total", _peaks(str(path), str(threads))), **_summary("empty", _empty())}


def _summary(name: str, peaks: tuple[int, ...]) -> dict[str, int]:
    return {
        name: int(statistics.median(peaks)),
        f"{name}_min": min(peaks),
        f"{name}_max": max(peaks),
    }


@functools.cache
def _empty() -> tuple[int, ...]:
    """Measure processes without a file, once for all files of an export."""
    return _peaks()


def _peaks(*arguments: str) -> tuple[int, ...]:
    return tuple(_peak(*arguments) for _ in range(REPETITIONS))


def _peak(*arguments: str) -> int:
    command = [sys.executable, "-P", "-m", __name__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=litert.environment())
    if done.returncode:
        raise RuntimeError(f"the process that was to be measured failed:\n{done.stderr}")
    return int(done.stdout.split()[-1])


def main() -> None:
    """Load and run the file that the arguments name, and print this process's peak."""
    if len(sys.argv) > 1:
        model = litert.LiteModel.load(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
        model.predict(model.ones(model.lengths[-1]))
    print(cost.peak_memory_bytes())


if __name__ == "__main__":
    main()
