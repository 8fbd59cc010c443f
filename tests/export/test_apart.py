"""A function that is called in a process of its own."""

from __future__ import annotations

import os
import pathlib

import pytest
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.evaluation import cost
from bert_glue_tf.export import apart
from bert_glue_tf.search import timing


def test_the_result_is_that_of_another_process():
    assert apart.call(os.getpid) != os.getpid()
    assert apart.call(cost.peak_memory_bytes) < 300e6  # Without TensorFlow.


def test_arguments_arrive_and_what_is_printed_does_not_spoil_the_result(capfd):
    assert apart.call(int, "11", base=2) == 3
    assert apart.call(print, "a line") is None
    assert capfd.readouterr().err == "a line\n"


def test_a_mistake_of_the_user_is_one_here_too(tmp_path):
    path = tmp_path / "none.tflite"
    with refuses(UserError, path):
        apart.call(timing.in_turns, [path], 8, 1, 0.1, (1, 1))


def test_a_failure_is_no_result(capfd):
    with pytest.raises(RuntimeError, match="size_on_disk failed in a process of its own"):
        apart.call(cost.size_on_disk, pathlib.Path("/nowhere/at/all") / "file", 1)
    assert "TypeError" in capfd.readouterr().err
