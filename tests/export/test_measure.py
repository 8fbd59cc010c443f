"""The memory of a file: several processes, their median and their spread."""

from __future__ import annotations

import pathlib

from bert_glue_tf.export import measure


def test_the_median_and_the_spread_of_several_processes_are_told(monkeypatch):
    peaks = iter([30, 10, 20, 5, 3, 4])
    monkeypatch.setattr(measure, "REPETITIONS", 3)
    monkeypatch.setattr(measure, "_peak", lambda *arguments: next(peaks))
    measure._empty.cache_clear()
    try:
        found = measure.peak_memory_of_prediction(pathlib.Path("a.tflite"), 2)
    finally:
        measure._empty.cache_clear()  # What other tests measure is not of this one.
    assert found == {
        **{"total": 20, "total_min": 10, "total_max": 30},
        **{"empty": 4, "empty_min": 3, "empty_max": 5},
    }
