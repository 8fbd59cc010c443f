"""A task's process: how it is started, watched and ended, on this machine or on a worker's."""

from __future__ import annotations

import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from bert_glue_tf.core import cli

# The program of a task's process; it takes what `Process` passes, a module and its flags.
PROGRAM = (sys.executable, "-m", "bert_glue_tf.sweeps.executors.task_process")
BUSY = os.EX_TEMPFAIL  # Exit status of a process that has not got its lock.
GRACE = 15.0  # Seconds in which an interrupted process has to end.


class Process:
    """A process that runs a task's command, and ends with the process that has started it.

    Args:
      command: a module and its flags.
      log: file to which its output is added.
      program: that takes the command; tests give one that stands in for a training.
      lock: descriptor of a lock that the process takes over; who has opened it closes it.
      lock_file: where `lock` is None, the file whose lock it takes itself.
      shares_gpu: whether others run beside it.
      grace: seconds in which it may save its state when the process that has started it dies.

    Raises:
      OSError: it cannot be started, or its log cannot be written.
    """

    def __init__(
        self,
        command: Sequence[str],
        log: pathlib.Path,
        *,
        program: Sequence[str] = PROGRAM,
        lock: int | None = None,
        lock_file: pathlib.Path | None = None,
        shares_gpu: bool = False,
        grace: float = GRACE,
    ) -> None:
        self._log = log
        self._began = time.monotonic()
        passed = {
            "lock": lock,
            "lock_file": None if lock_file is None else str(lock_file),
            "parent": os.getpid(),
            "grace": grace,
        }
        environment = dict(os.environ)
        if shares_gpu:  # Else the first takes all memory of a GPU.
            environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        with log.open("ab") as file:
            self._log_start = file.tell()
            self._process = subprocess.Popen(
                [*program, json.dumps(passed), *command],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=[] if lock is None else [lock],
                env=environment,
                # Ctrl-C reaches who has started it alone, who then ends it in order.
                start_new_session=True,
            )

    def seconds(self) -> float:
        """Return the seconds since its start."""
        return time.monotonic() - self._began

    def is_over(self) -> bool:
        """Tell whether it has ended."""
        return self._process.poll() is not None

    @property
    def status(self) -> int:
        """The exit status, once it has ended; negative is the number of a signal."""
        return self._process.wait()

    def interrupt(self) -> None:
        """Ask it to save its state and to end."""
        if not self.is_over():
            self._process.send_signal(signal.SIGINT)

    def end(self, seconds: float) -> None:
        """Wait at most so long for its end, and kill it then."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def why_it_failed(self) -> str:
        """Return the message of its error, from its log; never empty."""
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").strip().splitlines()
        if self.status < 0:
            reason = signal.Signals(-self.status).name
            return f"its process was killed ({reason}); the same command goes on with it"
        if self.status == cli.USER_ERROR:
            starts = [place for place, line in enumerate(lines) if line.startswith("error: ")]
            if starts:
                return "\n".join(lines[starts[-1] :]).removeprefix("error: ")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
        return f"exit status {self.status}: {last}"
