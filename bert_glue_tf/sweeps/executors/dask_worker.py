"""A worker's part in a Dask cluster: a task's process, and a look at what it sees of the disk.

The functions are called by `dask_executor.py` through the scheduler. This module imports nothing of
Dask before one of them is called.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

import bert_glue_tf
from bert_glue_tf.core.files import reason
from bert_glue_tf.runs import versions
from bert_glue_tf.sweeps.executors.process import GRACE, PROGRAM, Process
from bert_glue_tf.sweeps.executors.staging import Staged

# By their versions the parts of a cluster understand each other.
_PACKAGES = ("dask", "distributed")
_LOOK = 0.2  # Seconds between two looks at the process,
_BRING = 15.0  # and between two times that what it has written is brought to a store.


@dataclasses.dataclass(frozen=True)
class Ended:
    """Tells how a task's process has ended on a worker.

    Attributes:
      status: exit status of the process; None where it was not started.
      seconds: that it took.
      message: what its log says of its failure; empty where the status is 0.
    """

    status: int | None
    seconds: float = 0.0
    message: str = ""


def installed() -> dict[str, str | None]:
    """Return name -> version of what decides a run: packages, Python, this package's sources."""
    found = {**versions.installed(_PACKAGES), "sources": _sources()}
    for build in ("tensorflow-cpu", "tensorflow-tpu"):
        if build in found:  # The same program for another device.
            found["tensorflow"] = found.pop(build)
    # A run is the same with Python 3.11.7 and 3.11.9.
    return {**found, "python": ".".join(str(found["python"]).split(".")[:2])}


@functools.cache
def _sources() -> str:
    """Return a checksum of this package's files, by which a changed checkout is told apart."""
    root = pathlib.Path(bert_glue_tf.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def unseen(paths: Sequence[str]) -> list[str]:
    """Return those of some paths that this worker cannot see."""
    return [path for path in paths if not os.path.exists(path)]


def read_only(folder: str) -> str:
    """Return why this worker cannot write into a folder; empty where it can."""
    probe = pathlib.Path(folder) / f".{socket.gethostname()}-{os.getpid()}.tmp"
    try:
        probe.write_bytes(b"\0")
        probe.unlink()
    except OSError as error:
        return reason(error)
    return ""


def still_running(keys: Sequence[str], dask_worker: Any) -> list[str]:
    """Return those of some tasks whose processes run on this worker, which Dask gives."""
    return [key for key in keys if key in list(dask_worker.active_threads.values())]


def run(
    command: Sequence[str],
    log: str,
    lock_file: str | None,
    program: Sequence[str] | None,
    staged: Staged | None = None,
) -> Ended:
    """Run a task's command in a process, and wait for its end.

    A task that nobody wants any more (its sweep was stopped or has died) is interrupted, so that
    it saves its state. Where this worker is killed, the process ends at once and goes on elsewhere.

    Args:
      command: a module and its flags.
      log: path of the file for its output.
      lock_file: path of the file whose lock the process takes; None for none.
      program: in place of `process.PROGRAM`.
      staged: the task's folders, where they are in a store; None where this worker sees them.
    """
    if staged is None:
        return _run(command, log, lock_file, program, lambda: None)
    try:
        with staged.here() as stage:
            log_here, last = stage.moved(log), time.monotonic()

            def bring() -> None:
                nonlocal last
                if time.monotonic() - last > _BRING:
                    stage.bring()
                    last = time.monotonic()

            lock = None if lock_file is None else stage.moved(lock_file)
            moved = [stage.moved(text) for text in command]
            ended = _run(moved, log_here, lock, program, bring)
            stage.bring()
            staged.store.bring_file(pathlib.Path(log_here))
            return ended
    except OSError as error:
        return Ended(None, message=f"{_here()}: {staged.store.url}: {reason(error)}")


def _here() -> str:
    from distributed import get_worker

    return f"worker {get_worker().address} on {socket.gethostname()}"


def _run(
    command: Sequence[str],
    log: str,
    lock_file: str | None,
    program: Sequence[str] | None,
    meanwhile: Callable[[], None],
) -> Ended:
    """Run a process until its end; `meanwhile` is called again and again."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()
    try:
        process = Process(
            command,
            pathlib.Path(log),
            program=program or PROGRAM,
            lock_file=None if lock_file is None else pathlib.Path(lock_file),
            shares_gpu=worker.state.nthreads > 1,
            grace=0.0,
        )
    except OSError as error:
        return Ended(None, message=f"{_here()} cannot write {log} ({reason(error)})")
    try:
        while not process.is_over():
            task = worker.state.tasks.get(key)
            # Cancelled: by its sweep, or by the scheduler when the sweep's process is gone.
            is_wanted = task is not None and task.state in ("executing", "long-running")
            if not is_wanted or worker.status.name not in ("running", "paused"):
                process.interrupt()
                process.end(GRACE)
                break
            meanwhile()
            time.sleep(_LOOK)
    finally:
        process.end(0.0)
    message = process.why_it_failed() if process.status else ""
    return Ended(process.status, process.seconds(), message)
