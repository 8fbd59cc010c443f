"""The train command in processes that can be killed at any moment, without waiting for TensorFlow.

Run as a program, it imports what training needs and then forks a process for each command that
it reads: one line of JSON with `flags`, `cache` (of imported encoders) and `log`. An empty line
asks for the exit status of the last one.
"""

from __future__ import annotations

import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
from typing import Any

HERE = pathlib.Path(__file__).parents[1]


class Launcher:
    """Starts train commands on one CPU, each in a process of its own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._answer() == {"ready": True}

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def start(self, flags: dict[str, Any], cache: pathlib.Path, log: pathlib.Path) -> Train:
        command = {"flags": flags, "cache": str(cache), "log": str(log)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return Train(self, self._answer()["pid"], log)

    def wait(self) -> int:
        return int(self._answer()["status"])

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


class Train:
    """A train command that is running; at most one at a time."""

    def __init__(self, launcher: Launcher, pid: int, log: pathlib.Path) -> None:
        self._launcher = launcher
        self.pid = pid
        self.log = log

    def is_alive(self) -> bool:
        # A zombie until the launcher has read its status, which `wait` asks for.
        state = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"

    def send(self, number: int) -> None:
        if self.is_alive():
            os.kill(self.pid, number)

    def kill_in_a_write(self, size: int) -> None:
        """Lets the kernel kill it inside of the next write beyond so many bytes of a file."""
        if self.is_alive():
            resource.prlimit(self.pid, resource.RLIMIT_FSIZE, (size, size))

    def wait(self) -> int:
        """Its exit status, or minus the signal that killed it."""
        assert self._launcher._process.stdin is not None
        self._launcher._process.stdin.write("\n")
        self._launcher._process.stdin.flush()
        return self._launcher.wait()


def _serve() -> None:
    sys.path.insert(0, str(HERE))
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # Bit for bit is meant on one CPU.
    from bert_glue_tf import train
    from bert_glue_tf.training import experiment  # noqa: F401

    answers = os.fdopen(os.dup(1), "w")
    answers.write('{"ready": true}\n')
    answers.flush()
    pid = 0
    while line := sys.stdin.readline():
        if not line.strip():
            _, status = os.waitpid(pid, 0)
            answers.write(json.dumps({"status": os.waitstatus_to_exitcode(status)}) + "\n")
            answers.flush()
            continue
        command = json.loads(line)
        pid = os.fork()
        if not pid:
            _become(train, command)
        answers.write(json.dumps({"pid": pid}) + "\n")
        answers.flush()


def _become(train: Any, command: dict[str, Any]) -> None:
    os.environ["BERT_GLUE_TF_CACHE"] = command["cache"]
    log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    # Python ignores it; a write beyond the limit that the test sets then kills the process.
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.argv = ["train.py", *(f"--{name}={value}" for name, value in command["flags"].items())]
    try:
        train.command()
    except SystemExit as done:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(done.code or 0))
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    _serve()
