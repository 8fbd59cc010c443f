"""Benchmark: a sweep on a Dask cluster whose workers, and scheduler, are killed at random.

python benchmarks/cluster_kills.py --runs=100 --every=20 --schedulers=2 -- --encoder=... --data=...

A scheduler and its workers are started here. Every --every seconds a worker is killed with SIGKILL;
--schedulers times, spread over the sweep, the scheduler is, and the same command is given again.
At the end each run has to have one record. What stands behind `--` are flags of the sweep command,
whose grid is made of --runs seeds.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

import psutil
from absl import flags

from bert_glue_tf.core import cli
from bert_glue_tf.core.errors import UserError

flags.DEFINE_integer("runs", 100, "Runs of the sweep, by their seeds.")
flags.DEFINE_integer("workers", 3, "Workers, each with one run at a time.")
flags.DEFINE_float("every", 20.0, "Seconds between two kills of a worker.")
flags.DEFINE_integer("schedulers", 0, "How often the scheduler is killed.")
flags.DEFINE_integer("seed", 1, "Of the choice of workers.")
flags.DEFINE_string("scratch", "", "Folder of the runs; by default a temporary one.")
FLAGS = flags.FLAGS
MORE: list[str] = []  # Flags of the sweep, which stand behind `--`.


class Cluster:
    """A scheduler and its workers, each behind a process that starts it anew when it is killed."""

    def __init__(self, folder: pathlib.Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
        self._log = (folder / "cluster.log").open("ab")
        self._scheduler = self._start_scheduler()
        self._workers = [self._start_worker() for _ in range(FLAGS.workers)]

    def _start(self, module: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.{module}", *arguments]
        return subprocess.Popen(command, stdout=self._log, stderr=self._log)

    def _start_scheduler(self) -> subprocess.Popen[bytes]:
        host, _, port = self.address.removeprefix("tcp://").partition(":")
        return self._start("dask_scheduler", "--host", host, "--port", port, "--no-dashboard")

    def _start_worker(self) -> subprocess.Popen[bytes]:
        limits = ("--nthreads", "1", "--memory-limit", "0", "--no-dashboard")
        return self._start("dask_worker", self.address, *limits)

    def kill_worker(self, draw: random.Random) -> int:
        """Kill the process of a worker; the one that watches it starts another.

        Returns the number of processes that were killed: 0 where none lives at the moment.
        """
        living = []
        for one in self._workers:
            with contextlib.suppress(psutil.Error):
                # Beside it lives a process that counts its resources, and below it those of runs.
                living += [
                    child
                    for child in psutil.Process(one.pid).children()
                    if "resource_tracker" not in " ".join(child.cmdline())
                ]
        with contextlib.suppress(psutil.Error):
            if living:
                draw.choice(living).send_signal(signal.SIGKILL)
                return 1
        return 0

    def revive(self) -> None:
        """Start a worker anew whose watching process has ended, as it does where a start fails."""
        for place, one in enumerate(self._workers):
            if one.poll() is not None:
                self._workers[place] = self._start_worker()

    def kill_scheduler(self) -> None:
        """Kill the scheduler."""
        self._scheduler.kill()
        self._scheduler.wait()

    def start_again(self) -> None:
        """Start a new scheduler, and workers in place of those that have ended with the last."""
        for one in self._workers:
            one.terminate()
        for one in self._workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(30)
            one.kill()
        self._scheduler = self._start_scheduler()
        self._workers = [self._start_worker() for _ in range(FLAGS.workers)]

    def close(self) -> None:
        """End everything."""
        for one in (*self._workers, self._scheduler):
            one.terminate()
        for one in (*self._workers, self._scheduler):
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(10)
            one.kill()
        self._log.close()


def lines(root: pathlib.Path) -> list[int]:
    """Return the number of records of each run that has some."""
    return [len(path.read_text().splitlines()) for path in root.glob("*/results.jsonl")]


def sweep(root: pathlib.Path, address: str, more: list[str]) -> subprocess.Popen[bytes]:
    """Start the sweep's command."""
    seeds = ",".join(map(str, range(1, FLAGS.runs + 1)))
    command = [sys.executable, "-m", "bert_glue_tf.sweep", *more, f"--grid=seed={seeds}"]
    return subprocess.Popen([*command, f"--runs_dir={root}", f"--cluster={address}"])


def work(folder: pathlib.Path, more: list[str]) -> None:
    """Run the sweep among kills, and print what has become of its runs."""
    draw = random.Random(FLAGS.seed)
    root, cluster = folder / "runs", Cluster(folder)
    kills = schedulers = commands = 0
    began = killed = time.monotonic()
    try:
        while True:
            command = sweep(root, cluster.address, more)
            commands += 1
            is_gone = False
            while command.poll() is None:
                time.sleep(0.5)
                done = len(lines(root))
                if schedulers < FLAGS.schedulers and done >= FLAGS.runs * (schedulers + 1) / (
                    FLAGS.schedulers + 1
                ):
                    schedulers, is_gone = schedulers + 1, True
                    cluster.kill_scheduler()
                    break
                if time.monotonic() - killed > FLAGS.every:
                    killed, kills = time.monotonic(), kills + cluster.kill_worker(draw)
                cluster.revive()
            status = command.wait()
            if not is_gone:
                break
            if status != cli.USER_ERROR:
                raise UserError(f"without a scheduler the sweep ended with status {status}.")
            cluster.start_again()
    finally:
        cluster.close()
    found = lines(root)
    print(
        f"{len(found)} of {FLAGS.runs} runs have a record, {sum(n > 1 for n in found)} more than "
        f"one; status {status}; {kills} workers and {schedulers} schedulers were killed in "
        f"{time.monotonic() - began:.0f} s, and the command was given {commands} time(s)"
    )
    if found != [1] * FLAGS.runs or status:
        sys.exit(1)


def main() -> None:
    if FLAGS.scratch:
        folder = pathlib.Path(FLAGS.scratch)
        folder.mkdir(parents=True, exist_ok=True)
        work(folder, MORE)
        return
    with tempfile.TemporaryDirectory() as name:
        work(pathlib.Path(name), MORE)


if __name__ == "__main__":
    if "--" in sys.argv:
        place = sys.argv.index("--")
        MORE += sys.argv[place + 1 :]
        del sys.argv[place:]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    cli.run(main, __doc__)
