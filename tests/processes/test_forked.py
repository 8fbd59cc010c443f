"""Processes that tests fork from one that has TensorFlow behave as those that Python starts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import forked
import pytest

PROGRAMS = {
    "arguments": "import sys; print(sys.argv)",
    "status": "import sys; print('out', flush=True); sys.exit(7)",
    "message": "import sys; sys.exit('an error')",
    "exception": "def f():\n    raise ValueError('bad')\nf()",
    "environment": "import os, tempfile; print(os.getcwd(), tempfile.gettempdir())",
    "no input": "import sys; print(repr(sys.stdin.read()))",
    "at exit": "import atexit; atexit.register(print, 'later'); print('now')",
    "main": "import __main__; x = 1; print(__main__.x, __name__)",
    "signal": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_does_what_python_does(name, tmp_path):
    arguments = ["-c", PROGRAMS[name], "one", "--two=3"]
    options = {"env": {**os.environ, "TMPDIR": str(tmp_path)}, "cwd": tmp_path}
    expected = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        **options,
    )
    found = forked.run(arguments, **options)
    assert (found.returncode, found.stdout) == (expected.returncode, expected.stdout)
    # Above the program's own lines a traceback has those of what runs it.
    assert found.stderr.splitlines()[-1:] == expected.stderr.splitlines()[-1:]


def test_a_script_and_a_module_find_their_arguments(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import sys; print(__name__, sys.argv, sys.path[0])")
    found = forked.run([str(script), "a"]).stdout
    assert found == f"__main__ {[str(script), 'a']} {tmp_path}\n"
    found = forked.run(["-m", "script", "a"], cwd=tmp_path).stdout
    assert found == f"__main__ {[str(script), 'a']} {tmp_path}\n"


def test_tensorflow_is_there_and_has_not_been_used():
    code = (
        "import sys; print('tensorflow' in sys.modules)\n"
        "import tensorflow as tf\n"
        "cpus = tf.config.list_physical_devices('CPU')\n"
        "two = [tf.config.LogicalDeviceConfiguration()] * 2\n"
        "tf.config.set_logical_device_configuration(cpus[0], two)\n"
        "print(len(tf.config.list_logical_devices('CPU')))\n"
    )
    done = forked.run(["-c", code])
    assert done.stdout == "True\n2\n", done.stderr


def test_processes_run_beside_each_other_and_can_be_stopped(tmp_path):
    with (tmp_path / "log").open("wb") as log:
        sleeps = ["-c", "import time; time.sleep(600)"]
        first, second = (forked.start(sleeps, stdout=log, stderr=log) for _ in range(2))
    assert first.poll() is second.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(0.1)
    first.kill()
    assert first.wait(10) == -signal.SIGKILL
    assert second.poll() is None
    second.send_signal(signal.SIGINT)
    assert second.wait(10) == -signal.SIGINT  # As Python ends by a Ctrl-C that nobody caught.
    assert "KeyboardInterrupt" in (tmp_path / "log").read_text()
