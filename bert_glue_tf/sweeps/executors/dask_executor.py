"""The Dask executor: each task is a process on a worker of a cluster.

A task is submitted when a place is free, so that the scheduler's queue holds what runs and nothing
else. A worker that dies gives its task to another one, where the run goes on from its last saved
state. The lock of a run's folder is taken by the run's process itself.
"""

from __future__ import annotations

import contextlib
import functools
import logging as stdlib_logging
import math
import os
import pathlib
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from absl import logging

from bert_glue_tf.core.errors import UserError, reason_of
from bert_glue_tf.core.files import reason
from bert_glue_tf.sweeps.executors import addresses, base, dask_worker, inspection
from bert_glue_tf.sweeps.executors.process import BUSY, GRACE
from bert_glue_tf.sweeps.executors.staging import Staged, Store

_TIMEOUT = 10.0  # Seconds in which a scheduler has to answer.
_COUNT = 1.0  # Seconds for which the number of places is kept.
_DEATHS_OF_DASK = 4  # Of a task's workers, after which Dask gives it up.
_MOST_DEATHS = 12  # A task whose workers die so often is not begun again.
_QUIET = ("distributed", "distributed.client", "distributed.core", "distributed.comm")
_SETTINGS = "config.json"  # Of a run's folder.
_GPU = "GPU"  # Name of the resource that a worker with a GPU declares.
T = TypeVar("T")


class DaskJob(base.Job):
    """A task that a worker of the cluster runs; `workers` are those that may."""

    def __init__(
        self, task: base.Task, future: Any, executor: DaskExecutor, workers: Collection[str]
    ) -> None:
        super().__init__(task)
        self.future = future
        self.workers = frozenset(workers)
        self._executor = executor

    def is_over(self) -> bool:
        self._executor.require_scheduler(self.future)
        return bool(self.future.done()) or self._executor.has_lost(self)


class DaskExecutor(base.Executor[DaskJob]):
    """Processes on the workers of a Dask cluster.

    Args:
      cluster: value of --cluster: the address of a scheduler, or `local:` and a number of workers,
        which are started on this machine when they are needed and ended by `close`.
      program: of a task's process; tests give one that stands in for a training.
      storage: value of --storage: a place in a store that carries the folders to workers and back;
        empty where they see the folders.

    Raises:
      UserError: as `addresses.check`.
    """

    def __init__(
        self, cluster: str, program: Sequence[str] | None = None, storage: str = ""
    ) -> None:
        addresses.check(cluster)
        self._address = cluster
        self._store = Store(storage) if storage else None
        self._brought: set[pathlib.Path] = set()
        self._tasks: Sequence[base.Task] = ()  # What workers are looked at for,
        self._known: set[str] = set()  # and those that were,
        self._good: set[str] = set()  # of which these can run the tasks.
        self._program = program
        self._own: Any = None  # The cluster that was started here.
        self._client: Any = None
        self._places = (-math.inf, 0)  # When they were counted, and how many.
        self._deaths: dict[str, int] = {}

    @property
    def workers(self) -> int:
        when, places = self._places
        if time.monotonic() - when > _COUNT:
            places = self._count()
            self._places = (time.monotonic(), places)
        return places

    def reach(self) -> None:
        addresses.require(self._address, _TIMEOUT)

    def check(self, tasks: Sequence[base.Task]) -> None:
        if self._client is None:
            self._connect()
        self._tasks, self._known, self._good = tasks, set(), set()
        self._places = (-math.inf, 0)
        if not self.workers:
            logging.info("%s: no worker yet; waiting for the first one", self._address)

    def _found(self, task: base.Task) -> Any | None:
        self.require_scheduler()
        record = task.record()
        if record is not None or self._store is None:
            return record
        self._fetch(self._store, task)
        return task.record()

    def _start(self, task: base.Task, lock: int | None) -> DaskJob | None:
        del lock  # The run's process takes it, on its own machine.
        lock_file = None if task.lock is None else str(task.lock)
        resources = {_GPU: 1} if self._has_gpus() else None
        workers = sorted(self._good)
        if not workers:  # They have left since they were counted.
            return None
        future = self._asked(
            lambda client: client.submit(
                dask_worker.run,
                list(task.command),
                os.path.abspath(task.log),
                lock_file,
                self._program,
                self._staged(task),
                key=f"{task.name}-{uuid.uuid4().hex[:8]}",
                pure=False,
                # Dask would give it to a worker, too, that was looked at and cannot run it.
                workers=workers,
                resources=resources,
            )
        )
        return DaskJob(task, future, self, workers)

    def has_lost(self, job: DaskJob) -> bool:
        """Tell whether all workers that may run a job have left, so that it would wait for ever."""
        return not self.workers or job.workers.isdisjoint(self._good)

    def collect(self, job: DaskJob) -> base.Finished | base.Failed | None:
        from distributed import KilledWorker

        name = job.task.name
        if not job.future.done():  # Its workers have left, and others did not stand by.
            job.future.cancel()
            return self._died(name, 1)
        try:
            ended: dask_worker.Ended = job.future.result(timeout=_TIMEOUT)
        except KilledWorker:
            return self._died(name, _DEATHS_OF_DASK)
        except (OSError, TimeoutError):  # The worker that had the answer is gone; the disk has it.
            return None
        except Exception as error:  # Whatever a worker raises else.
            self.require_scheduler(job.future)
            return base.Failed(reason_of(error))
        if ended.status == BUSY:
            return None
        if self._store is not None:
            try:
                self._store.fetch(job.task.root / name)
                self._store.fetch_file(job.task.log)
            except OSError as error:
                return base.Failed(f"--storage={self._store.url}: {reason(error)}")
        if ended.status is None:
            return base.Failed(ended.message)
        # The time of its process, without that in which an earlier worker has died.
        return base.settled(
            job.task, ended.status, ended.seconds, lambda: ended.message or "no record was written"
        )

    def _died(self, name: str, deaths: int) -> base.Failed | None:
        """Count deaths of workers that ran a task; None where it is to be begun again."""
        self._deaths[name] = self._deaths.get(name, 0) + deaths
        if self._deaths[name] < _MOST_DEATHS:
            return None
        return base.Failed(
            f"workers that ran it have died {_MOST_DEATHS} times, perhaps of it; the same command "
            "goes on with it"
        )

    def _fetch(self, store: Store, task: base.Task) -> None:
        """Fetch what an earlier command has left of a task in a store, if it is further there.

        Raises:
          UserError: it is of another configuration.
          OSError: of the store.
        """
        folder = task.root / task.name
        if folder in self._brought:
            return
        if store.differs(folder, _SETTINGS):
            raise UserError(
                f"--storage={store.url}: holds {task.name} with other settings than "
                f"{folder / _SETTINGS}. Good: another place in the store."
            )
        if store.is_further(folder):
            store.fetch(folder)

    def _staged(self, task: base.Task) -> Staged | None:
        """Bring the folders of a task to the store, if there is one, and return their places."""
        if self._store is None:
            return None
        beside = tuple(task.beside or ())
        for name in (*beside, task.name):
            folder = task.root / name
            if folder not in self._brought:
                self._store.bring(folder, {})
                self._brought.add(folder)
        return Staged(self._store, str(task.root), task.name, beside)

    def stop(self, jobs: Sequence[DaskJob]) -> None:
        if not jobs or not self._is_alive():
            return
        keys = [job.future.key for job in jobs]
        until = time.monotonic() + GRACE + _TIMEOUT
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            for job in jobs:
                job.future.cancel()
            while time.monotonic() < until:
                found = self._client.run(dask_worker.still_running, keys, on_error="ignore")
                if not any(found.values()):
                    break
                time.sleep(0.5)

    def close(self) -> None:
        client, self._client = self._client, None
        own, self._own = self._own, None
        self._places = (-math.inf, 0)
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            if client is not None:
                client.close(timeout=2)
        with contextlib.suppress(OSError, TimeoutError, RuntimeError):
            if own is not None:
                own.close(timeout=5)

    def require_scheduler(self, future: Any = None) -> None:
        """Check that the scheduler is there, and has not forgotten a task.

        Raises:
          UserError: it is gone, or was started anew.
        """
        if not self._is_alive() or (future is not None and future.status in ("cancelled", "lost")):
            raise UserError(
                f"--cluster={self._address}: the scheduler has gone. What is finished stays; start "
                "it and its workers again, and give the same command: it goes on with each run "
                "from its last saved state."
            )

    def _is_alive(self) -> bool:
        return self._client is not None and self._client.status == "running"

    def _connect(self) -> None:
        import distributed

        local = addresses.LOCAL.fullmatch(self._address)
        # What it says of a connection that is lost, this module says in its own words.
        for name in _QUIET:
            stdlib_logging.getLogger(name).setLevel(stdlib_logging.CRITICAL)
        addresses.require(self._address, _TIMEOUT)
        try:
            if local:
                self._own = distributed.LocalCluster(
                    n_workers=int(local[1]),
                    threads_per_worker=1,
                    # The memory of a run is that of its own process.
                    memory_limit=0,
                    dashboard_address=":0",
                    silence_logs=stdlib_logging.CRITICAL,
                    env={} if local[1] == "1" else {"TF_FORCE_GPU_ALLOW_GROWTH": "true"},
                )
            address = self._own or self._address
            self._client = distributed.Client(
                address, timeout=_TIMEOUT, set_as_default=False, name="bert_glue_tf"
            )
        except Exception as error:  # What another protocol answers is read as anything.
            self.close()
            raise UserError(
                f"--cluster={self._address}: no scheduler answers there within {_TIMEOUT:.0f} "
                f"seconds ({reason_of(error)}). {addresses.GOOD}."
            ) from None
        logging.info("%s: dashboard at %s", self._address, self._client.dashboard_link)

    def _asked(self, question: Callable[[Any], T]) -> T:
        """Ask the scheduler, and return its answer."""
        try:
            return question(self._client)
        except (OSError, TimeoutError, RuntimeError, ValueError) as error:
            if self._is_alive():
                raise UserError(f"--cluster={self._address}: {reason_of(error)}.") from error
            self.require_scheduler()
            raise

    def _infos(self) -> dict[str, Mapping[str, Any]]:
        """Return what the scheduler says of each worker, by its address."""
        self.require_scheduler()
        return self._asked(lambda client: dict(client.scheduler_info()["workers"]))

    def _look(self, workers: set[str]) -> None:
        """Look at workers that are new.

        Raises:
          UserError: one of the first cannot run the tasks. Of later ones, the log says so, and
            they get none.
        """
        new = sorted(workers - self._known)
        if not new:
            return
        are_first = not self._known
        self._known |= workers
        # Of later ones, each by itself: one that is good counts beside one that is not.
        for looked_at in [new] if are_first else [[one] for one in new]:
            try:
                self._inspect(looked_at)
            except UserError as error:
                if are_first:
                    raise
                logging.warning("%s", error)
            else:
                self._good.update(looked_at)

    def _inspect(self, workers: Sequence[str]) -> None:
        """Refuse workers that cannot run the tasks.

        Raises:
          UserError: names one of them, and what it lacks.
        """
        answers = functools.partial(self._answers, workers)
        inspection.require_versions(self._address, answers)
        if self._store is None:
            inspection.require_paths(self._address, answers, self._tasks)
        else:
            inspection.require_store(self._address, answers, self._tasks, self._store)

    def _has_gpus(self) -> bool:
        return any(info["resources"].get(_GPU) for info in self._good_infos())

    def _good_infos(self) -> list[Mapping[str, Any]]:
        """Return what the scheduler says of the workers that can run the tasks."""
        found = self._infos()
        self._look(set(found))
        self._good &= found.keys()
        return [found[worker] for worker in sorted(self._good)]

    def _count(self) -> int:
        """Return how many tasks the workers run at a time: one a thread, with GPUs one a GPU."""
        if self._client is None:
            match = addresses.LOCAL.fullmatch(self._address)
            return int(match[1]) if match else 1
        infos = self._good_infos()
        places = [(int(info["nthreads"]), int(info["resources"].get(_GPU, 0))) for info in infos]
        # A worker runs no more at a time than it has threads, whatever it declares.
        return sum(min(place) for place in places) or sum(threads for threads, _ in places)

    def _answers(
        self, workers: Sequence[str], function: Callable[..., T], *arguments: Any
    ) -> dict[str, T]:
        """Return worker -> its answer to a function.

        Raises:
          UserError: a worker cannot answer, as where this package is not installed there.
        """
        found = self._asked(
            lambda client: client.run(
                function, *arguments, workers=list(workers), on_error="return"
            )
        )
        for worker, answer in found.items():
            if isinstance(answer, ModuleNotFoundError):
                raise UserError(
                    f"--cluster={self._address}: worker {worker} has no {answer.name}. Good: this "
                    "version of bert_glue_tf on each worker, with the same constraints.txt."
                )
            if isinstance(answer, Exception):
                why = str(answer) if isinstance(answer, UserError) else f"{reason_of(answer)}."
                raise UserError(f"--cluster={self._address}: worker {worker}: {why}")
        return dict(found)
