"""A function that is called in a process of its own."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import psutil
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
    assert apart.call(os.write, 1, b"of a library\n") == 13
    assert capfd.readouterr().err == "a line\nof a library\n"


def test_a_mistake_of_the_user_is_one_here_too(tmp_path):
    path = tmp_path / "none.tflite"
    with refuses(UserError, path):
        apart.call(timing.in_turns, [path], 8, 1, 0.1, (1, 1))


def test_a_failure_is_no_result(capfd):
    with pytest.raises(RuntimeError, match=r"size_on_disk failed .* \(status 1\)"):
        apart.call(cost.size_on_disk, pathlib.Path("/nowhere/at/all") / "file", 1)
    assert "TypeError" in capfd.readouterr().err


def test_a_process_that_is_ended_from_outside_says_how():
    with pytest.raises(RuntimeError, match="status -9"):
        apart.call(signal.raise_signal, signal.SIGKILL)


STARTER = """
import sys, time
from bert_glue_tf.export import apart
print("begins", flush=True)
apart.call(time.sleep, 60)
"""


@pytest.mark.processes
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_who_has_called_it(how):
    caller = subprocess.Popen(
        [sys.executable, "-c", STARTER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert caller.stdout.readline() == "begins\n"
    process = psutil.Process(caller.pid)
    eventually(lambda: any("export.apart" in " ".join(c.cmdline()) for c in process.children()))
    (child,) = process.children()
    time.sleep(2)  # Until it has begun to sleep.
    os.kill(caller.pid, how)
    _, error = caller.communicate(timeout=30)
    eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert error.count("Traceback") == (how == signal.SIGINT)  # Of the caller alone.


def eventually(holds):
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)
