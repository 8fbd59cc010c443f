"""The local executor: each run is a process of this machine.

What a run's processes printed stands in `<run>.log` beside its folder. Sweeps that share a folder,
here or on other machines, share the work by `claims`.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.sweeps.executors import base, claims
from bert_glue_tf.sweeps.executors.claims import Claim, Claims
from bert_glue_tf.sweeps.plan import Run

# The program of a run's process; it takes what `Process` passes, then flags of the train command.
COMMAND = (sys.executable, "-m", "bert_glue_tf.sweeps.executors.claimed_run")
SUPERSEDED = os.EX_TEMPFAIL  # Exit status of a process whose run another machine has now.
GRACE = 15.0  # Seconds in which an interrupted run has to end.


class Process(base.Job):
    """A run in a process of its own.

    Args:
      run: what is run; its folder has been claimed.
      claim: whose lock the process gets, for as long as it lives.
      command: that starts the process, without the arguments that are added here.
      shares_gpu: whether others run beside it.
    """

    def __init__(self, run: Run, claim: Claim, command: Sequence[str], shares_gpu: bool):
        self.run = run
        self.claim = claim
        self._began = time.monotonic()
        passed = {"lock": claim.lock, "claim": str(claim.path), "sweep": os.getpid()}
        environment = dict(os.environ)
        if shares_gpu:  # Else the first takes all memory of a GPU.
            environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
        try:
            with run.log.open("ab") as log:
                self._log_start = log.tell()
                self._process = subprocess.Popen(
                    [
                        *command,
                        json.dumps(passed),
                        f"--config={run.folder.config_file}",
                        f"--workdir={run.folder.path}",
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=[claim.lock],
                    env=environment,
                    # Ctrl-C reaches the sweep alone, which then ends its runs in order.
                    start_new_session=True,
                )
        finally:
            os.close(claim.lock)  # From here on the lock is held as long as the process lives.

    def seconds(self) -> float:
        return time.monotonic() - self._began

    def is_over(self) -> bool:
        return self._process.poll() is not None

    @property
    def status(self) -> int:
        """The exit status of a process that has ended."""
        return self._process.wait()

    def interrupt(self) -> None:
        if not self.is_over():
            self._process.send_signal(signal.SIGINT)

    def end(self, seconds: float) -> None:
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def why_it_failed(self) -> str:
        """Return the message of its error, from its log; never empty."""
        with self.run.log.open("rb") as log:
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


class LocalExecutor(base.Executor[Process]):
    """Processes of this machine.

    Args:
      workers: number of processes at a time.
      command: that starts a run's process; tests give one that stands in for a training.
    """

    def __init__(self, workers: int = 1, command: Sequence[str] = COMMAND) -> None:
        self.workers = workers
        self._command = command
        self._claims = Claims()
        self._runs: list[Run] = []
        self._ended_before: dict[str, int] = {}

    def watch(self, finished: Sequence[Run], missing: Sequence[Run]) -> None:
        self._runs = [*finished, *missing]
        for run in finished:
            claims.forget(run)
        # How earlier sweeps ended does not count; a failure that comes after this does.
        self._ended_before = {
            run.name: max(
                (
                    number
                    for number, path in claims.generations(run).items()
                    if claims.read(path)["state"] != claims.HELD
                ),
                default=0,
            )
            for run in missing
        }

    def begin(self, run: Run) -> Process | base.Finished | base.Failed | None:
        claim = self._claims.take(run)
        # Only now, since another process may have finished it just before.
        record = run.folder.record()
        if record is not None:
            if claim:
                os.close(claim.lock)
            claims.forget(run)
            return base.Finished(record)
        elsewhere = self._failure_elsewhere(run, claim)
        if elsewhere:
            return base.Failed(elsewhere)
        return Process(run, claim, self._command, self.workers > 1) if claim else None

    def _failure_elsewhere(self, run: Run, claim: Claim | None) -> str:
        """Return why it failed in another sweep since `watch`, and give a claim of ours back."""
        own = claim and claim.path
        earlier = [item for item in claims.generations(run).items() if item[1] != own]
        if not earlier or earlier[-1][0] <= self._ended_before[run.name]:
            return ""
        found = claims.read(earlier[-1][1])
        if found["state"] != claims.FAILED:
            return ""
        if claim:
            os.close(claim.lock)
            claims.write(claim.path, claims.FAILED, found["message"])
        return found["message"]

    def collect(self, job: Process) -> base.Finished | base.Failed | base.TakenOver:
        if job.status == SUPERSEDED:
            return base.TakenOver()  # Its claim is the other's now.
        try:
            record = job.run.folder.record() if job.status == 0 else None
        except UserError as error:
            record = None
            message = str(error)
        else:
            message = job.why_it_failed() if record is None else ""
        if record is not None:
            claims.forget(job.run)
            return base.Finished(record, job.seconds())
        claims.write(job.claim.path, claims.FAILED, message)
        return base.Failed(message)

    def stop(self, jobs: Sequence[Process]) -> None:
        for job in jobs:
            job.interrupt()
        until = time.monotonic() + GRACE
        for job in jobs:
            job.end(until - time.monotonic())
            with contextlib.suppress(OSError, UserError):
                if job.run.folder.record() is None:
                    claims.write(job.claim.path, claims.STOPPED)
                else:
                    claims.forget(job.run)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # Not there, or with claims of runs that failed.
            os.rmdir(claims.folder_of(self._runs[0]))
