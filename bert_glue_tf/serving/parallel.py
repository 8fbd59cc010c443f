"""Copies of a .tflite file that share the texts of a batch."""

from __future__ import annotations

import concurrent.futures
import math
import os
import queue
from collections.abc import Mapping

import numpy as np

from bert_glue_tf.export.litert import LiteModel

# Texts that a thread takes at a time, if no batch of the file has more: few enough to share a chunk
# out evenly.
_SLICE = 8


class ParallelModel:
    """Copies of a .tflite file, one a thread, that share the texts of a batch.

    Two threads on two texts are faster than two threads on one: the matrices of a short
    sentence are too small to be cut in two, and threads that wait for each other suffer most on
    a machine that does other things as well (benchmarks/predict_speed.py measures both). The
    copies after the first are loaded when a batch has more than one text.

    Args:
      content: of the file.
      threads: and copies, at most as many as there are processors.
      name: of the file, for messages.
      size: as for `litert.LiteModel`.

    Raises:
      UserError: as `litert.LiteModel`.
    """

    def __init__(self, content: bytes, threads: int, name: str, size: str = "") -> None:
        self._content, self._name, self._size = content, name, size
        self._number = max(1, min(threads, os.cpu_count() or 1))
        first = LiteModel(content, 1, name, size=size)
        self.lengths, self.classes, self.output = first.lengths, first.classes, first.output
        batches = (first.batch_sizes(length)[0] for length in first.lengths)
        self._slice = max(_SLICE, *batches)
        self._idle: queue.SimpleQueue[LiteModel] = queue.SimpleQueue()
        self._idle.put(first)
        self._pool: concurrent.futures.ThreadPoolExecutor | None = None

    def predict(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the outputs, float32 [batch, classes], of int32 [batch, length] features."""
        rows = len(next(iter(features.values())))
        if rows == 1 or self._number == 1:
            return self._predict(features)
        width = min(self._slice, math.ceil(rows / self._number))
        if self._pool is None:
            for _ in range(self._number - 1):
                self._idle.put(LiteModel(self._content, 1, self._name, size=self._size))
            self._pool = concurrent.futures.ThreadPoolExecutor(self._number)
        slices = [
            {name: value[i : i + width] for name, value in features.items()}
            for i in range(0, rows, width)
        ]
        return np.concatenate(list(self._pool.map(self._predict, slices)))

    def _predict(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        model = self._idle.get()
        try:
            return model.predict(features)
        finally:
            self._idle.put(model)
