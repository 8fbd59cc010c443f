"""Modules that are called in a process of their own."""

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
from bert_glue_tf.export import apart, benchmark, litert, session_apart
from bert_glue_tf.export.timings import Timing
from bert_glue_tf.search import timing

SERVED = "served"  # In tests/support.


def test_the_answer_is_that_of_another_process():
    process, memory, has_tensorflow = apart.call(SERVED, "process")
    assert process != os.getpid()
    assert memory < 300e6
    assert not has_tensorflow
    assert apart.call(SERVED, {"a": [1, 2.5, None]}) == {"a": [1, 2.5, None]}


def test_what_is_printed_does_not_spoil_the_answer(capfd):
    assert apart.call(SERVED, "print") is None
    assert sorted(capfd.readouterr().err.splitlines()) == ["a line", "of a library"]


def test_a_mistake_of_the_user_is_one_here_too():
    with refuses(UserError, "none.tflite"):
        apart.call(SERVED, "mistake")


def test_a_failure_is_no_answer(capfd):
    with pytest.raises(RuntimeError, match=r"served failed .* \(status 1\)"):
        apart.call(SERVED, "failure")
    assert "ValueError: a defect" in capfd.readouterr().err
    with pytest.raises(RuntimeError, match=r"\(status -9\)"):
        apart.call(SERVED, "killed")


def test_a_session_and_the_times_of_parts_are_taken_apart(exported, tmp_path):
    path = pathlib.Path(exported[0].path) / "tflite" / "float32.tflite"
    copy = tmp_path / path.name
    copy.write_bytes(path.read_bytes())
    file = benchmark.File(copy, "run", "float32")
    length = litert.LiteModel.load(copy, 1).lengths[0]
    first, second = session_apart.session([file, file], length, threads=1, repetitions=3)
    assert (first.run, first.recipe, first.files, first.repetitions) == ("run", "float32", 2, 3)
    assert first.session == second.session
    assert list(first.latency) == [str(length)]
    assert Timing.from_line((tmp_path / "timings.jsonl").read_text().splitlines()[0]) == first
    milliseconds, busy = timing.in_turns([copy, copy], length, 1, 0.1, (3, 3))
    assert len(milliseconds) == 2
    assert min(milliseconds) > 0
    assert isinstance(busy, str)
    with refuses(UserError, tmp_path / "none.tflite"):
        timing.in_turns([tmp_path / "none.tflite"], length, 1, 0.1, (1, 1))


STARTER = """
from bert_glue_tf.export import apart
print("begins", flush=True)
apart.call("served", "sleep")
"""


@pytest.mark.processes
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_it_ends_with_who_has_called_it(how):
    caller = subprocess.Popen(
        [sys.executable, "-c", STARTER],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=litert.environment(),
    )
    assert caller.stdout.readline() == "begins\n"
    process = psutil.Process(caller.pid)
    eventually(lambda: any("served" in " ".join(c.cmdline()) for c in process.children()))
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
