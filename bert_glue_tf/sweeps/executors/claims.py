"""Claims on runs: who of several sweeps, on one machine or on several, runs which.

Beside the runs' folders, in the folder of the sweep, `.claims/<run>.<number>` says who runs it, or
how that ended; a finished run has none.

On one machine the lock of the run's folder (`RunFolder.open`) decides alone: the sweep takes it and
hands it over to the run's process, and the system gives it back when that process dies, however it
dies. Several machines that share a folder may not see each other's locks, so a claim is written as
well. Claims of a run are numbered; number n + 1 is created with O_EXCL, which the first of several
wins, and only when the holder of n has ended. That is known if it says so, or ran on this machine
(we hold the lock), or has not touched its claim for `STALE` seconds of our own clock (a living one
does every `BEAT` seconds, so clocks need not agree). A process that finds its claim superseded,
since its machine was asleep, say, ends at once. Assumed of the shared folder: exclusive creation is
atomic (NFS from version 3 on), and a change of a file's time is seen elsewhere within
`STALE - BEAT` seconds (NFS: 60 by default).
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import socket
import time

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.runs.run_folder import BusyError, RunFolder
from bert_glue_tf.sweeps.plan import Run

BEAT = 15.0  # Seconds between two touches of a claim.
STALE = 180.0  # A claim of another machine that was not touched for so long is void.
HELD, FAILED, STOPPED = "held", "failed", "stopped"
_CLAIMS = ".claims"


def folder_of(run: Run) -> pathlib.Path:
    """Return the folder of the claims on the runs that lie beside this one."""
    return run.folder.path.parent / _CLAIMS


def this_machine() -> str:
    """Return a name of this machine that it has until it is started anew, and no other has."""
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {boot.read_text().strip()}"
    return socket.gethostname()


def generations(run: Run) -> dict[int, pathlib.Path]:
    """Return the claims of a run by their numbers, the highest one last."""
    folder = folder_of(run)
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            start, _, number = name.rpartition(".")
            if start == run.name and number.isdecimal():
                found[int(number)] = folder / name
    return dict(sorted(found.items()))


def read(path: pathlib.Path) -> dict[str, str]:
    """Return the state, machine and message of a claim.

    One that cannot be read, since its process was killed while writing it, counts as held by an
    unknown machine.
    """
    with contextlib.suppress(OSError, ValueError, TypeError):
        values = strict_json.loads(path.read_text(encoding="utf-8"))
        return {"state": HELD, "machine": "", "message": ""} | dict(values)
    return {"state": HELD, "machine": "", "message": ""}


def write(path: pathlib.Path, state: str, message: str = "") -> None:
    """Write the state of a claim (`HELD`, `FAILED` or `STOPPED`), with this machine's name."""
    text = json.dumps({"state": state, "machine": this_machine(), "message": message})
    write_atomically(path, text + "\n")


@dataclasses.dataclass(frozen=True)
class Claim:
    """A run that this process has taken.

    Attributes:
      lock: descriptor of the run's lock.
      path: file of the claim.
    """

    lock: int
    path: pathlib.Path


class Claims:
    """The claims that one sweep takes, and its memory of those of others."""

    def __init__(self) -> None:
        # Claim -> its time when it was last seen to change, and when that was by our clock.
        self._seen: dict[pathlib.Path, tuple[int, float]] = {}

    def is_over(self, path: pathlib.Path) -> bool:
        """Tell whether the holder of a claim has ended, as far as can be told without its lock."""
        if read(path)["state"] != HELD:
            return True
        try:
            changed = path.stat().st_mtime_ns
        except FileNotFoundError:  # Its run has been finished in this moment.
            return True
        now = time.monotonic()
        if self._seen.get(path, (None, 0.0))[0] != changed:
            self._seen[path] = (changed, now)
        return now - self._seen[path][1] > STALE

    def take(self, run: Run) -> Claim | None:
        """Claim a run; None where another process has it.

        Raises:
          UserError: its folder holds something else, or cannot be written.
        """
        number, last = next(reversed(generations(run).items()), (0, None))
        is_over = last is None or self.is_over(last)
        if last is not None and not is_over:
            # Its folder is not even looked at while another machine is at work there.
            if read(last)["machine"] != this_machine():
                return None
        try:
            lock = RunFolder.open(run.folder.path, run.config).hand_over()
        except BusyError:
            return None
        try:
            if not is_over and not _is_lock(lock):
                return None
            path = folder_of(run) / f"{run.name}.{number + 1}"
            path.parent.mkdir(exist_ok=True)
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            except FileExistsError:
                return None
            write(path, HELD)
            claim, lock = Claim(lock, path), -1
            return claim
        finally:
            if lock >= 0:
                os.close(lock)


def _is_lock(descriptor: int) -> bool:
    """Tell whether the descriptor holds a lock; some network file systems have none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # Again: changes nothing.
    except OSError:
        return False
    return True


def forget(run: Run) -> None:
    """Remove the claims of a finished run, whose record says more than they do."""
    for path in generations(run).values():
        path.unlink(missing_ok=True)
