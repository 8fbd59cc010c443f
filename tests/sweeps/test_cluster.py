"""A Dask cluster whose parts die, do not answer, or differ; and folders carried through a store."""

from __future__ import annotations

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import written_runs
from messages import refuses

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.labelling import launch
from bert_glue_tf.labelling import plan as label_plan
from bert_glue_tf.sweeps import grid as grids
from bert_glue_tf.sweeps import plan
from bert_glue_tf.sweeps.executors import choice, dask_executor, dask_worker, staging
from bert_glue_tf.sweeps.executors.dask_executor import DaskExecutor
from bert_glue_tf.sweeps.sweep import Sweep

pytest.importorskip("distributed")
pytestmark = [pytest.mark.processes, pytest.mark.slow]

STAND_IN = str(pathlib.Path(__file__).parents[1] / "programs" / "ended_run.py")
PROGRAM = [sys.executable, STAND_IN]


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    labels = np.array([0, 1] * 4)
    folder = tmp_path_factory.mktemp("template") / "run"
    written_runs.write_run(folder, labels, written_runs.wrong_at(labels, [0]), task="sst2")
    return folder / "results.jsonl"


class Cluster:
    """A scheduler and two workers in processes of their own."""

    def __init__(self, template):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        self.address = f"tcp://127.0.0.1:{self.port}"
        self._environment = {**os.environ, "TEMPLATE": str(template), "SECONDS_OF_A_RUN": "1.5"}
        self._processes = []
        self.start()

    def _start(self, module, *arguments):
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
        process = subprocess.Popen(
            command,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._processes.append(process)
        return process

    def start(self):
        common = ("--no-dashboard",)
        self.scheduler = self._start(
            "dask_scheduler", "--host", "127.0.0.1", "--port", self.port, *common
        )
        limits = ("--nthreads", "1", "--memory-limit", "0")
        self.workers = [self._start("dask_worker", self.address, *limits, *common) for _ in "12"]

    def kill_a_worker(self):
        (worker,) = (
            child
            for child in psutil.Process(self.workers[0].pid).children()
            if "resource_tracker" not in " ".join(child.cmdline())
        )
        worker.send_signal(signal.SIGKILL)

    def close(self):
        for process in self._processes:  # What they have started ends with them.
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def cluster(template):
    made = Cluster(template)
    with pytest.importorskip("distributed").Client(made.address) as client:
        client.wait_for_workers(2, 60)
    yield made
    made.close()


def runs_of(root, number):
    seeds = ",".join(map(str, range(10, 10 + number)))
    return plan.plan(
        grids.configurations({"task": "sst2"}, grids.parse_grid(f"seed={seeds}")), root
    )


def records_of(runs):
    return [len(run.folder.results_file.read_text().splitlines()) for run in runs]


def test_workers_and_the_scheduler_die_and_no_run_is_lost_or_done_twice(
    cluster, tmp_path, monkeypatch
):
    runs = runs_of(tmp_path, 6)
    sweep = Sweep(runs, DaskExecutor(cluster.address, PROGRAM))
    steps, advance = [], sweep._advance

    def step(bar):
        steps.append(len(sweep.records))
        if sweep._running and "worker" not in done:
            wait_for(tmp_path / "begun")
            done.append("worker")
            cluster.kill_a_worker()
        if len(sweep.records) >= 2 and sweep._running and "scheduler" not in done:
            done.append("scheduler")
            cluster.scheduler.kill()
        advance(bar)

    done: list[str] = []
    monkeypatch.setattr(sweep, "_advance", step)
    with refuses(UserError, f"--cluster={cluster.address}"):
        sweep.run()
    assert done == ["worker", "scheduler"]
    finished = {run.name: run.folder.results_file.stat().st_mtime_ns for run in runs
                if run.folder.record() is not None}  # fmt: skip
    assert 2 <= len(finished) < 6
    for process in cluster.workers:
        process.terminate()
    for process in cluster.workers:
        process.wait(120)  # Without its scheduler it ends after Dask's time of 30 seconds.
    before = (tmp_path / "begun").read_text().split()
    # Only the run of the worker that was killed was begun anew.
    assert sum(before.count(name) - 1 for name in finished) <= 1
    cluster.start()
    again = Sweep(runs, DaskExecutor(cluster.address, PROGRAM))
    again.run()
    assert again.failures == {}
    assert records_of(runs) == [1] * 6
    begun = (tmp_path / "begun").read_text().split()
    assert {run.name for run in runs} == set(begun)
    assert not set(begun[len(before) :]) & set(finished)
    for run in runs:
        if run.name in finished:
            assert run.folder.results_file.stat().st_mtime_ns == finished[run.name]


def wait_for(path, seconds=60):
    until = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_scheduler_that_does_not_answer_is_told_of(monkeypatch, tmp_path):
    with refuses(UserError, "--cluster=localhost:8786"):
        DaskExecutor("localhost:8786")
    with refuses(UserError, "--storage=gs://bucket"):
        choice.executor(storage="gs://bucket")
    monkeypatch.setattr(dask_executor, "_TIMEOUT", 0.5)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with refuses(UserError, f"--cluster={address}", "docs/cluster.md"):
            DaskExecutor(address).check(runs_of(tmp_path, 1))
    monkeypatch.setitem(sys.modules, "distributed", None)
    with refuses(UserError, "--cluster=local:3", "[cluster]"):
        DaskExecutor("local:3")


def test_what_a_worker_lacks_is_found_before_the_first_run(cluster, tmp_path, monkeypatch):
    runs = runs_of(tmp_path / "runs", 1)
    executor = DaskExecutor(cluster.address, PROGRAM)
    try:
        with monkeypatch.context() as patched:
            there = {"tcp://other": {"numpy": "1.0", "python": "3.11"}}
            patched.setattr(dask_worker, "installed", lambda: {"numpy": "2.0", "python": "3.11"})
            patched.setattr(executor, "_answers", lambda workers, function: there)
            with refuses(UserError, "tcp://other: numpy 1.0 (here 2.0). "):
                executor.check(runs)
        with monkeypatch.context() as patched:
            patched.setattr(type(runs[0]), "paths", [OnlyHere("/only/here")])
            with refuses(UserError, "/only/here"):
                executor.check(runs)
        executor.check(runs)
        assert list((tmp_path / "runs").iterdir()) == []
    finally:
        executor.close()


def test_a_late_worker_that_lacks_something_gets_no_runs_and_a_good_one_does(tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(dask_executor, "_COUNT", 0.0)
    runs = runs_of(tmp_path, 4)
    bad: list[str] = []

    def refuse_the_second(cluster, answers):
        (worker,) = answers(dask_worker.installed)
        bad.extend([] if worker in executor._good or bad else [worker])
        if worker in bad:
            raise UserError(f"{worker}: has another numpy")

    limits = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": ":0"}
    limits |= {"processes": False, "protocol": "tcp"}
    program = [sys.executable, "-c", "import time; time.sleep(60)"]
    with distributed.LocalCluster(n_workers=1, **limits) as made:
        executor = DaskExecutor(made.scheduler_address, program)
        executor.check(runs)
        monkeypatch.setattr(dask_executor.inspection, "require_versions", refuse_the_second)
        made.scale(3)
        made.wait_for_workers(3)
        assert executor.workers == 2
        assert len(bad) == 1
        jobs = [executor.begin(run) for run in runs]
        until = time.monotonic() + 30
        while sum(map(len, executor._client.processing().values())) < 4:
            assert time.monotonic() < until
            time.sleep(0.05)
        given = {worker: len(keys) for worker, keys in executor._client.processing().items()}
        assert given.pop(bad[0]) == 0
        assert list(given.values()) == [2, 2]
        assert not any(job.is_over() for job in jobs)
        # The good ones leave: nothing waits for them for ever.
        executor._infos = lambda: {bad[0]: {}}
        assert executor.workers == 0
        assert all(job.is_over() for job in jobs)
        assert executor.collect(jobs[0]) is None
        assert executor.begin(runs[0]) is None
        executor._deaths[runs[1].name] = 11
        assert "12 times" in executor.collect(jobs[1]).message
        executor.stop(jobs[2:])
        executor.close()


def test_a_worker_has_a_place_for_each_gpu_but_no_more_than_it_has_threads(monkeypatch):
    def places(*workers):
        infos = {
            str(number): {"nthreads": threads, "resources": resources}
            for number, (threads, resources) in enumerate(workers)
        }
        executor = DaskExecutor("tcp://head:8786")
        executor._client = True
        monkeypatch.setattr(executor, "_infos", lambda: infos)
        monkeypatch.setattr(executor, "_inspect", lambda workers: None)
        return executor.workers

    assert places((1, {}), (4, {})) == 5
    assert places((1, {"GPU": 1}), (1, {"GPU": 2}), (8, {"GPU": 2}), (4, {})) == 4


def test_a_store_that_a_worker_cannot_use_is_told_with_the_worker(tmp_path, monkeypatch):
    storage = f"file://{tmp_path}/store"
    executor = DaskExecutor("tcp://head:8786", storage=storage)
    why = UserError(f"--storage={storage}: cannot be written and read (no gcsfs).")

    class Client:
        def run(self, function, *arguments, workers, on_error):
            if function == executor._store.check:
                return {"tcp://one:1": None, "tcp://two:2": why}
            return {worker: function(*arguments) for worker in workers}

    executor._client = Client()
    executor._tasks = runs_of(tmp_path / "runs", 1)
    with refuses(UserError, "worker tcp://two:2", f"--storage={storage}: cannot be"):
        executor._inspect(["tcp://one:1", "tcp://two:2"])


class OnlyHere(pathlib.PosixPath):
    """A path that this machine has, and the workers have not."""

    def exists(self):
        return True


def test_the_shares_of_a_labelling_are_done_by_workers(cluster, tmp_path, monkeypatch):
    settings = label_plan.LabelSettings(str(tmp_path / "model"), "1", root=f"{tmp_path}/texts")
    (tmp_path / "model").write_text("")
    monkeypatch.setattr(label_plan.LabelSettings, "of", lambda *_: settings)
    for name in ("1.csv", "2.csv", "bad.csv"):
        (tmp_path / "texts").mkdir(exist_ok=True)
        (tmp_path / "texts" / name).write_text(name)
    program = [sys.executable, str(pathlib.Path(STAND_IN).with_name("labelled_share.py"))]

    def label(storage=""):
        executor = DaskExecutor(cluster.address, program, storage)
        pattern, output = f"{tmp_path}/texts/*", tmp_path / "labelled"
        return launch.label("model", pattern, output, executor=executor)

    outcome = label()
    assert (sorted(outcome.states), outcome.failures) == (
        ["1.csv", "2.csv"],
        {"bad.csv": "damaged"},
    )
    assert (tmp_path / "labelled" / "2.csv").read_text() == "2.csv"
    again = label()
    assert again.earlier == {"1.csv", "2.csv"}
    with refuses(UserError, f"--storage=file://{tmp_path}"):
        label(f"file://{tmp_path}/store")


# Through a store.


def test_folders_are_carried_to_a_worker_and_back(cluster, tmp_path):
    runs = runs_of(tmp_path / "here" / "runs", 2)
    storage = f"file://{tmp_path}/store"
    sweep = Sweep(runs, DaskExecutor(cluster.address, PROGRAM, storage))
    sweep.run()
    assert sweep.failures == {}
    assert records_of(runs) == [1, 1]
    assert not (tmp_path / "here" / "runs" / "begun").exists()
    stored = sorted(path.name for path in (tmp_path / "store").iterdir())
    assert stored == sorted([*(run.name for run in runs), *(run.log.name for run in runs)])
    # A command that has lost its disk finds there what was done.
    other = runs_of(tmp_path / "elsewhere", 2)
    again = Sweep(other, DaskExecutor(cluster.address, [sys.executable, "-c", "0/0"], storage))
    again.run()
    assert again.failures == {}
    assert [run.folder.record() for run in other] == [run.folder.record() for run in runs]


def test_a_store_has_what_the_folder_has_and_the_state_comes_last(tmp_path, monkeypatch):
    store = staging.Store("memory://bucket/runs")
    store.check()
    folder = tmp_path / "run"
    (folder / "checkpoints").mkdir(parents=True)
    names = ["config.json", "history.csv", "checkpoints/step-7.index", "results.jsonl"]
    names += ["checkpoints/step-7.data-00000-of-00001"]
    for name in (*names, ".lock"):
        (folder / name).write_text(f'"{name}"')
    put = []
    system = type(store._system())
    original = system.put_file
    monkeypatch.setattr(
        system, "put_file", lambda self, source, to: put.append(to) or original(self, source, to)
    )
    known = {}
    store.bring(folder, known)
    assert put[2:] == ["history.csv", "checkpoints/step-7.index", "results.jsonl"]
    put.clear()
    store.bring(folder, known)
    assert put == []
    assert not store.differs(folder, "config.json")
    (folder / "checkpoints" / "step-7.index").unlink()
    (folder / "config.json").write_text('"another"')
    assert store.differs(folder, "config.json")
    store.bring(folder, known)
    assert len(put) == 1
    copy = tmp_path / "copy" / "run"
    assert store.is_further(copy)  # It has the record.
    found = store.fetch(copy)
    assert sorted(found) == sorted(set(names) - {"checkpoints/step-7.index"})
    assert (copy / "config.json").read_text() == '"another"'
    assert not store.is_further(copy)
    (folder / "results.jsonl").unlink()
    store.bring(folder, known)
    (copy / "results.jsonl").unlink()
    (copy / "checkpoints" / "step-3.index").write_text("")
    assert not store.is_further(copy)
    (folder / "checkpoints" / "step-12.index").write_text("")
    store.bring(folder, known)
    assert store.is_further(copy)
    with refuses(UserError, "--storage=nowhere://runs"):
        staging.Store("nowhere://runs").check()
