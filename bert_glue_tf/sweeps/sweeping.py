"""A grid of runs: which there are, who runs which, how far they are, and what came out.

Beside the runs' folders, in the folder of the sweep:

<run>.log       what the run's processes printed
.claims/        <run>.<number>: who runs it, or how that ended; none for a finished run

Who runs what. On one machine the lock of the run's folder (`RunFolder.open`) decides alone: the
sweep takes it and hands it over to the run's process, and the system gives it back when that
process dies, however it dies. Several machines that share a folder may not see each other's
locks, so a claim is written as well. Claims of a run are numbered; number n + 1 is created with
O_EXCL, which the first of several wins, and only when the holder of n has ended. That is known
if it says so, or ran on this machine (we hold the lock), or has not touched its claim for
`STALE` seconds of our own clock (a living one does every `BEAT` seconds, so clocks need not
agree). A process that finds its claim superseded, since its machine was asleep, say, ends at
once. Assumed of the shared folder: exclusive creation is atomic (NFS from version 3 on), and a
change of a file's time is seen elsewhere within `STALE - BEAT` seconds (NFS: 60 by default).
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import difflib
import fcntl
import itertools
import json
import math
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Self

import rich.console
import rich.progress
from absl import flags, logging

from bert_glue_tf.compression.registry import NO_PRUNING
from bert_glue_tf.core import cli, locks, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.data import readers, tasks
from bert_glue_tf.models import encoders
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs import config, suggestions
from bert_glue_tf.runs.config import PRUNING, ExperimentConfig
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import BusyError, RunFolder
from bert_glue_tf.training import cluster

BEAT = 15.0  # Seconds between two touches of a claim.
STALE = 180.0  # A claim of another machine that was not touched for so long is void.
_TICK = 0.1  # Seconds between two looks at the own processes,
_LOOK = 2.0  # and at runs of others.
_GRACE = 15.0  # Seconds in which an interrupted run has to end.
_CLAIMS = ".claims"
_SUPERSEDED = os.EX_TEMPFAIL  # Exit status of a process whose run another machine has now.
# Flags of the train command that are none of a sweep's: each run has a folder of its own, and
# the devices of its machine.
_NO_SWEEP_FLAGS = ("workdir", "tpu")
_HELD, _FAILED, _STOPPED = "held", "failed", "stopped"

Settings = Mapping[str, str]


# The grid.


def setting_names() -> list[str]:
    """The flags of the train command that decide a run, `config` and `prune` among them."""
    return [name for name in _train_flags() if name not in _NO_SWEEP_FLAGS]


def _train_flags() -> flags.FlagValues:
    values = flags.FlagValues()
    config.define_flags(values)
    return values


def parse_grid(text: str) -> dict[str, tuple[str, ...]]:
    """`final_sparsity=0.1,0.5;pruning_method=(head,irregular),magnitude` by setting.

    A value that holds commas or semicolons is put in parentheses; they are not part of it.

    Raises:
      UserError: a part is not name=value, its parentheses are not closed, or a setting is
        unknown or given twice.
    """
    good = [name for name in setting_names() if name != "config"]
    grid: dict[str, tuple[str, ...]] = {}
    for part in _split(text, ";", text):
        if not part:
            continue
        name, sign, values = (piece.strip() for piece in part.partition("="))
        if not sign:
            raise UserError(
                f"--grid={text}: {part!r} is not name=value,value. Good: "
                "--grid='final_sparsity=0.1,0.5;seed=1,2,3'."
            )
        if name not in good:
            near = difflib.get_close_matches(name, good, n=3)
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            raise UserError(
                f"--grid={text}: no setting {name!r}.{meant} Good settings: {', '.join(good)}."
            )
        if name in grid:
            raise UserError(f"--grid={text}: {name} is given twice. Give all its values at once.")
        grid[name] = tuple(dict.fromkeys(map(_unwrapped, _split(values, ",", text))))
    return grid


def _split(text: str, separator: str, whole: str) -> list[str]:
    """The parts between separators that stand in no parentheses."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if depth < 0:
            break
        if letter == separator and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    if depth:
        raise UserError(
            f"--grid={whole}: its parentheses do not match. They stand around a value that holds "
            "commas, as in pruning_method=(head,irregular),magnitude."
        )
    return [part.strip() for part in parts]


def _unwrapped(value: str) -> str:
    """A value without the parentheses around the whole of it."""
    if not (value.startswith("(") and value.endswith(")")):
        return value
    depth = 0
    for place, letter in enumerate(value):
        depth += (letter == "(") - (letter == ")")
        if not depth and place < len(value) - 1:
            return value  # As in (a|b)(c|d).
    return value[1:-1].strip()


def configurations(given: Settings, grid: Mapping[str, Sequence[str]]) -> list[ExperimentConfig]:
    """The runs of a grid, in its order; two that differ in nothing are one.

    Where nothing is pruned, settings that say how mean nothing: of a grid over methods and
    sparsities, `none` is one run for each of the other settings.

    Args:
      given: flag -> text, as given besides the grid, which comes before them.
      grid: setting -> values, as `parse_grid` returns it.

    Raises:
      UserError: as `config.read_flags`, for any of the runs.
    """
    found: dict[str, ExperimentConfig] = {}
    for values in itertools.product(*grid.values()):
        one = _configuration(given, dict(zip(grid, values, strict=True)))
        other = found.setdefault(one.run_name, one)
        difference = other.difference(one)
        if difference:
            listed = ", ".join(f"{k}: {old!r} and {new!r}" for k, (old, new) in difference.items())
            raise UserError(
                f"--grid: two runs would have the same folder, {one.run_name} ({listed}). Run them "
                "in two sweeps with different --runs_dir."
            )
    return list(found.values())


def _configuration(given: Settings, chosen: Settings) -> ExperimentConfig:
    arguments = {**given, **chosen}
    # Of --prune and --pruning_method, which may contradict, the grid's counts.
    if "prune" in chosen and "pruning_method" in given and "pruning_method" not in chosen:
        if _truth(chosen["prune"]):
            del arguments["prune"]
        else:
            del arguments["pruning_method"]
    if "pruning_method" in chosen and "prune" not in chosen:
        arguments.pop("prune", None)
    is_none = chosen.get("pruning_method") == NO_PRUNING or _truth(chosen.get("prune")) is False
    values = _train_flags()
    try:
        values(
            [
                "sweep",
                *(
                    f"--{name}={value}"
                    for name, value in arguments.items()
                    if not (is_none and name in PRUNING)
                ),
            ]
        )
    except flags.Error as error:
        raise UserError(cli.plain(error)) from None
    one = config.read_flags(values)
    return one.unpruned if one.pruning_method == NO_PRUNING else one


def _truth(value: str | None) -> bool | None:
    """What absl takes a value of --prune for; None where it takes it for neither."""
    if value is None:
        return None
    with contextlib.suppress(ValueError):
        return bool(flags.BooleanParser().parse(value))
    return None


# The plan.


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
      config: its settings.
      folder: where it is run.
      start: name of the run that it starts from; None where it starts from pre-training.
      in_grid: whether the grid asks for it, not only another run that starts from it.
      chosen: its values of the grid's settings; of those that mean nothing for it, none.
    """

    config: ExperimentConfig
    folder: RunFolder
    start: str | None
    in_grid: bool
    chosen: Settings = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.folder.path.name

    @property
    def log(self) -> pathlib.Path:
        return self.folder.path.with_name(f"{self.name}.log")

    @property
    def title(self) -> str:
        """Its name, and what the grid chose that the name does not tell."""
        told = ", ".join(f"{k}={v}" for k, v in self.chosen.items() if k not in config.NAMED)
        return f"{self.name} ({told})" if told else self.name


def plan(
    configs: Sequence[ExperimentConfig], root: pathlib.Path, names: Sequence[str] = ()
) -> list[Run]:
    """The runs in the order in which they are run: starting points first, each once.

    Args:
      configs: of the runs that are asked for.
      root: folder of all runs.
      names: the settings of the grid, by which its runs are told apart.
    """
    starts = {start.run_name: start for one in configs if (start := one.starting_point) is not None}
    asked = {one.run_name: one for one in configs}
    runs = [
        Run(
            config=one,
            folder=RunFolder(root / name, one),
            start=one.starting_point.run_name if one.starting_point else None,
            in_grid=name in asked,
            chosen=_chosen(one, names) if name in asked else {},
        )
        for name, one in {**starts, **asked}.items()
    ]
    return sorted(runs, key=lambda run: run.name not in starts)  # Stable: the grid's order.


def _chosen(one: ExperimentConfig, names: Sequence[str]) -> Settings:
    """A run's values of settings; --prune as the method it stands for."""
    is_pruned = one.pruning_method != NO_PRUNING
    shown = dict.fromkeys("pruning_method" if name == "prune" else name for name in names)
    return {name: str(getattr(one, name)) for name in shown if is_pruned or name not in PRUNING}


def check_methods(runs: Sequence[Run]) -> None:
    """Whether the settings of runs fit their pruning methods.

    Raises:
      UserError: as `config.check_method`, for any of the runs.
    """
    for run in runs:
        config.check_method(run.config)


def check(runs: Sequence[Run]) -> None:
    """Checks, without TensorFlow, that the encoders and the data of runs can be had.

    Raises:
      UserError: one cannot; the message says what would work.
    """
    asked = {
        (c.task, c.encoder, c.preprocessing, c.seq_length, c.data): c
        for c in (run.config for run in runs)
    }
    for strategy in {run.config.strategy for run in runs}:
        if cluster.of(strategy):
            raise UserError(
                f"--strategy={strategy}: {cluster.VARIABLE} names several workers, and each run of "
                "a sweep is a machine's own. Unset it; sweeps on several machines share a "
                "--runs_dir."
            )
    for one in asked.values():
        task = tasks.get(one.task)
        source = encoders.resolve(one.encoder, one.preprocessing)
        with suggestions.suggesting_local_command(task, source, one.data):
            encoders.check(source, one.seq_length)
            readers.check(task, one.data)


# Claims.


def _this_machine() -> str:
    """A name that another machine, or this one after it has been started anew, has not."""
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
    with contextlib.suppress(OSError):
        return f"{socket.gethostname()} {boot.read_text().strip()}"
    return socket.gethostname()


def _generations(run: Run) -> dict[int, pathlib.Path]:
    """The claims of a run by their numbers, the last one last."""
    folder = run.folder.path.parent / _CLAIMS
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(folder):
            start, _, number = name.rpartition(".")
            if start == run.name and number.isdecimal():
                found[int(number)] = folder / name
    return dict(sorted(found.items()))


def _read_claim(path: pathlib.Path) -> dict[str, str]:
    """What a claim says; an unreadable one (of a killed process) as one of nobody knows whom."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        values = strict_json.loads(path.read_text(encoding="utf-8"))
        return {"state": _HELD, "machine": "", "message": ""} | dict(values)
    return {"state": _HELD, "machine": "", "message": ""}


def _write_claim(path: pathlib.Path, state: str, message: str = "") -> None:
    text = json.dumps({"state": state, "machine": _this_machine(), "message": message})
    write_atomically(path, text + "\n")


@dataclasses.dataclass(frozen=True)
class _Claim:
    """A run that is ours: the descriptor of its lock, and the file of its claim."""

    lock: int
    path: pathlib.Path


class _Claims:
    """Takes and gives back the claims of one sweep."""

    def __init__(self) -> None:
        # Claim -> its time when it was last seen to change, and when that was by our clock.
        self._seen: dict[pathlib.Path, tuple[int, float]] = {}

    def is_over(self, path: pathlib.Path) -> bool:
        """Whether the holder of a claim has ended, as far as can be told without its lock."""
        if _read_claim(path)["state"] != _HELD:
            return True
        try:
            changed = path.stat().st_mtime_ns
        except FileNotFoundError:  # Its run has been finished in this moment.
            return True
        now = time.monotonic()
        if self._seen.get(path, (None, 0.0))[0] != changed:
            self._seen[path] = (changed, now)
        return now - self._seen[path][1] > STALE

    def take(self, run: Run) -> _Claim | None:
        """Claims a run; None where another process has it.

        Raises:
          UserError: its folder holds something else, or cannot be written.
        """
        number, last = next(reversed(_generations(run).items()), (0, None))
        is_over = last is None or self.is_over(last)
        if last is not None and not is_over:
            # Its folder is not even looked at while another machine is at work there.
            if _read_claim(last)["machine"] != _this_machine():
                return None
        try:
            lock = RunFolder.open(run.folder.path, run.config).hand_over()
        except BusyError:
            return None
        try:
            if not is_over and not _is_lock(lock):
                return None
            path = run.folder.path.parent / _CLAIMS / f"{run.name}.{number + 1}"
            path.parent.mkdir(exist_ok=True)
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
            except FileExistsError:
                return None
            _write_claim(path, _HELD)
            claim, lock = _Claim(lock, path), -1
            return claim
        finally:
            if lock >= 0:
                os.close(lock)


def _is_lock(descriptor: int) -> bool:
    """Whether a lock is held through the descriptor; some network file systems have none."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # Again: changes nothing.
    except OSError:
        return False
    return True


def _forget(run: Run) -> None:
    """Removes the claims of a finished run: its record says more than they."""
    for path in _generations(run).values():
        path.unlink(missing_ok=True)


# A run's own process.


def run_claimed() -> None:
    """The train command in a process that a sweep has started, with the sweep's claim.

    The first argument is what `_Process` passes, the others are the train command's. The process
    ends with its sweep: who kills that one wants no work to go on unseen.
    """
    passed = json.loads(sys.argv.pop(1))
    locks.adopt(passed["lock"])
    # In a shell's background SIGINT is ignored, and that is inherited.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    threading.Thread(
        target=_beat, args=(pathlib.Path(passed["claim"]), passed["sweep"]), daemon=True
    ).start()
    from bert_glue_tf import train

    sys.argv[0] = train.__file__
    train.command()


def _beat(claim: pathlib.Path, sweep: int) -> None:
    """Keeps a claim alive while the sweep lives and nobody has taken the claim over."""
    name, _, number = claim.name.rpartition(".")
    next_claim = claim.with_name(f"{name}.{int(number) + 1}")
    beaten = -math.inf
    while os.getppid() == sweep:
        if time.monotonic() - beaten > BEAT:
            beaten = time.monotonic()
            try:
                if next_claim.exists():
                    os._exit(_SUPERSEDED)  # At once: another machine writes into the folder.
                os.utime(claim)
            except FileNotFoundError:  # Another machine has finished the run.
                os._exit(_SUPERSEDED)
            except OSError:  # The folder cannot be reached for a while.
                continue
        time.sleep(1)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(_GRACE)
    os._exit(cli.INTERRUPTED)


class _Process:
    """A run that is being run."""

    def __init__(self, run: Run, claim: _Claim, command: Sequence[str], workers: int):
        self.run = run
        self.claim = claim
        self.began = time.monotonic()
        passed = {"lock": claim.lock, "claim": str(claim.path), "sweep": os.getpid()}
        environment = dict(os.environ)
        if workers > 1:  # Else the first takes all memory of a GPU.
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
        return time.monotonic() - self.began

    def status(self) -> int | None:
        return self._process.poll()

    def interrupt(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)

    def end(self, seconds: float) -> None:
        """Waits so long for its end, and kills it then."""
        try:
            self._process.wait(max(0.0, seconds))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def why_it_failed(self) -> str:
        """The message of its error, from its log; never empty."""
        with self.run.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").strip().splitlines()
        status = self._process.returncode
        if status < 0:
            reason = signal.Signals(-status).name
            return f"its process was killed ({reason}); the same command goes on with it"
        if status == cli.USER_ERROR:
            starts = [place for place, line in enumerate(lines) if line.startswith("error: ")]
            if starts:
                return "\n".join(lines[starts[-1] :]).removeprefix("error: ")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
        return f"exit status {status}: {last}"


# The sweep.

COMMAND = (sys.executable, "-m", "bert_glue_tf.sweeps.sweeping")


class Sweep:
    """Runs what is missing of a plan.

    Attributes:
      records: run -> its record, of what is finished.
      failures: run -> why it failed.
    """

    def __init__(self, runs: Sequence[Run], workers: int = 1, command: Sequence[str] = COMMAND):
        """`command` starts a run's process, with the arguments that `_Process` adds.

        Raises:
          UserError: a folder holds another run, or a record that cannot be read.
        """
        self._runs = {run.name: run for run in runs}
        self._workers = workers
        self._command = command
        self._claims = _Claims()
        self._running: dict[str, _Process] = {}
        self._looked: dict[str, float] = {}
        self._measured: list[tuple[float, int]] = []  # Seconds and epochs of runs done here.
        self.failures: dict[str, str] = {}
        self.records: dict[str, ExperimentResult] = {
            run.name: record for run in runs if (record := run.folder.record()) is not None
        }
        for name in self.records:
            _forget(self._runs[name])
        # How earlier sweeps ended does not count; a failure that comes after this does.
        self._ended_before = {
            run.name: max(
                (n for n, path in _generations(run).items() if _read_claim(path)["state"] != _HELD),
                default=0,
            )
            for run in self.missing()
        }

    def missing(self) -> list[Run]:
        """The runs that are neither finished nor failed, in their order."""
        return [
            run
            for name, run in self._runs.items()
            if name not in self.records and name not in self.failures
        ]

    def run(self) -> None:
        """Runs until each run is finished or has failed, here or in another sweep.

        Raises:
          KeyboardInterrupt: Ctrl-C or SIGTERM came. The processes have been ended, and each run
            goes on from its last saved state when it is started again.
        """
        before = len(self.records)
        if before:
            logging.info("%d of %d runs are finished already", before, len(self._runs))
        is_told = False
        with _terminating(), _Bar(len(self._runs)) as bar:
            try:
                while self.missing():
                    for process in list(self._running.values()):
                        if process.status() is not None:
                            bar.say(self._collect(process))
                    for run in self.missing():
                        if run.name not in self._running and len(self._running) < self._workers:
                            line = self._begin(run)
                            if line:
                                bar.say(line)
                    busy = [run.name for run in self.missing() if run.name not in self._running]
                    if busy and not self._running and not is_told:
                        logging.info(
                            "waiting for %d run(s) of other processes: %s",
                            len(busy),
                            ", ".join(busy),
                        )
                        is_told = True
                    bar.show(len(self._runs) - len(self.missing()), self._status())
                    if self.missing():
                        time.sleep(_TICK)
            finally:
                self._stop()
        with contextlib.suppress(OSError):  # Not there, or with claims of runs that failed.
            os.rmdir(next(iter(self._runs.values())).folder.path.parent / _CLAIMS)

    def _begin(self, run: Run) -> str:
        """Starts a run if it is free, and says so if another sweep has settled it."""
        now = time.monotonic()
        if now - self._looked.get(run.name, -math.inf) < _LOOK:
            return ""
        if run.start in self.failures:
            return self._failed(run, f"not run, since its starting point {run.start} failed")
        if run.start is not None and run.start not in self.records:
            return ""
        self._looked[run.name] = now
        try:
            claim = self._claims.take(run)
            # Only now, since another process may have finished it just before.
            record = run.folder.record()
            if record is not None:
                if claim:
                    os.close(claim.lock)
                _forget(run)
                return self._finished(run, record, None)
            elsewhere = self._failure_elsewhere(run, claim)
            if elsewhere:
                return self._failed(run, elsewhere)
            if claim is None:
                return ""
            logging.info("running %s", run.title)
            self._running[run.name] = _Process(run, claim, self._command, self._workers)
        except (UserError, OSError) as error:
            return self._failed(run, str(error))
        return ""

    def _failure_elsewhere(self, run: Run, claim: _Claim | None) -> str:
        """Why it failed in another sweep since this one began; a claim of ours is given back."""
        own = claim and claim.path
        earlier = [item for item in _generations(run).items() if item[1] != own]
        if not earlier or earlier[-1][0] <= self._ended_before[run.name]:
            return ""
        found = _read_claim(earlier[-1][1])
        if found["state"] != _FAILED:
            return ""
        if claim:
            os.close(claim.lock)
            _write_claim(claim.path, _FAILED, found["message"])
        return found["message"]

    def _collect(self, process: _Process) -> str:
        run = process.run
        del self._running[run.name]
        if process.status() == _SUPERSEDED:
            # Its claim is the other's now: this sweep waits for what comes of it.
            return self._line(run, "another machine has taken it over")
        try:
            record = run.folder.record() if process.status() == 0 else None
        except UserError as error:
            record = None
            message = str(error)
        else:
            message = process.why_it_failed() if record is None else ""
        if record is not None:
            _forget(run)
            self._measured.append((process.seconds(), run.config.epochs))
            return self._finished(run, record, process.seconds())
        _write_claim(process.claim.path, _FAILED, message)
        return self._failed(run, message)

    def _finished(self, run: Run, record: ExperimentResult, seconds: float | None) -> str:
        self.records[run.name] = record
        took = "by another process" if seconds is None else f"{seconds:.0f} s"
        return self._line(run, f"{scores(record)}, {took}")

    def _failed(self, run: Run, message: str) -> str:
        self.failures[run.name] = message
        return self._line(run, f"FAILED: {message.splitlines()[0]}")

    def _line(self, run: Run, text: str) -> str:
        number = len(self._runs) - len(self.missing())
        left = self._left()
        end = "" if left is None or not self.missing() else f"; about {duration(left)} left"
        return f"{number}/{len(self._runs)} {run.title}: {text}{end}"

    def _status(self) -> str:
        left = self._left()
        return f"{len(self._running)} running" + (
            "" if left is None else f", about {duration(left)} left"
        )

    def _left(self) -> float | None:
        """Seconds that are left by what an epoch has taken so far; None before there is a run."""
        measured = self._measured or [
            (record.speed["seconds"], self._runs[name].config.epochs)
            for name, record in self.records.items()
            if record.speed.get("seconds")
        ]
        if not measured:
            return None
        seconds, epochs = (sum(column) for column in zip(*measured, strict=True))
        rest = 0.0
        for run in self.missing():
            process = self._running.get(run.name)
            whole = seconds / epochs * run.config.epochs
            rest += max(0.0, whole - (process.seconds() if process else 0.0))
        return rest / min(self._workers, max(1, len(self.missing())))

    def _stop(self) -> None:
        """Ends the processes that are left; there are some only where the sweep is interrupted."""
        for process in self._running.values():
            process.interrupt()
        until = time.monotonic() + _GRACE
        for process in self._running.values():
            process.end(until - time.monotonic())
            with contextlib.suppress(OSError, UserError):
                if process.run.folder.record() is None:
                    _write_claim(process.claim.path, _STOPPED)
                else:
                    _forget(process.run)
        self._running.clear()


@contextlib.contextmanager
def _terminating() -> Iterator[None]:
    """SIGTERM, as job schedulers send it, ends the block as Ctrl-C does."""
    earlier = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


class _Bar:
    """A line for each run on standard output, and on a terminal a bar below them."""

    _SECONDS = 0.5  # Between two drawings.

    def __init__(self, total: int):
        self._total = total
        self._bar: rich.progress.Progress | None = None
        self._shown = 0.0

    def __enter__(self) -> Self:
        if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
            self._bar = rich.progress.Progress(
                rich.progress.TextColumn("sweep"),
                rich.progress.BarColumn(bar_width=None),
                rich.progress.MofNCompleteColumn(),
                rich.progress.TextColumn("{task.fields[status]}"),
                console=rich.console.Console(highlight=False, markup=False, emoji=False),
                auto_refresh=False,
                transient=True,
                expand=True,
            )
            self._bar.add_task("", total=self._total, status="")
            self._bar.start()
            # rich hides the cursor, and a process that is killed could not bring it back.
            self._bar.console.show_cursor(True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def say(self, line: str) -> None:
        if self._bar is not None:
            self._bar.console.print(line, soft_wrap=True)
        else:
            print(line, flush=True)

    def show(self, done: int, status: str) -> None:
        now = time.monotonic()
        if self._bar is not None and now - self._shown > self._SECONDS:
            self._shown = now
            (number,) = self._bar.task_ids
            self._bar.update(number, completed=done, status=status, refresh=True)


def duration(seconds: float) -> str:
    """Seconds in words: `40 s`, `12 min`, `3 h 20 min`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def scores(record: ExperimentResult) -> str:
    """The primary metric of each validation split: `matthews 0.7682`."""
    return ", ".join(f"{key} {_number(record.metrics[key])}" for key in _primary(record))


def _primary(record: ExperimentResult) -> list[str]:
    task = tasks.get(record.config["task"])
    return [f"{task.primary_metric}{suffix}" for suffix in task.validation_splits]


def _number(value: float) -> str:
    return f"{value:.4f}" if math.isfinite(value) else "undefined"


# What came out.


def dry_rows(runs: Sequence[Run], done: Mapping[str, ExperimentResult]) -> list[dict[str, str]]:
    """What a sweep would do, a row for each run, for `terminal.print_rows`."""
    shown = list(dict.fromkeys(name for run in runs for name in run.chosen))
    return [
        {
            "run": run.name,
            **{name: run.chosen.get(name, "") for name in shown if name not in config.NAMED},
            "starts from": run.start or "",
            "": f"finished: {scores(done[run.name])}" if run.name in done else "to be run",
        }
        for run in runs
    ]


def table(
    runs: Sequence[Run],
    records: Mapping[str, ExperimentResult],
    failures: Mapping[str, str],
    names: Sequence[str],
) -> list[dict[str, str]]:
    """Mean and range of the primary metric, a row for each setting of the grid but the seed.

    A mean that a model is in whose record holds a warning is marked COLLAPSED.

    Args:
      runs: of the sweep; those that the grid has not asked for are left out.
      records, failures: of a `Sweep`.
      names: the settings of the grid.
    """
    shown = dict.fromkeys("pruning_method" if name == "prune" else name for name in names)
    shown.pop("seed", None)
    groups = collections.defaultdict(list)
    for run in runs:
        if run.in_grid:
            chosen = _chosen(run.config, names)
            groups[tuple(chosen.get(name, "") for name in shown)].append(run)
    rows = []
    for key, some in groups.items():
        done = [(run, records[run.name]) for run in some if run.name in records]
        keys = _primary(done[0][1]) if done else []
        values = {key: [record.metrics[key] for _, record in done] for key in keys}
        fallen = sum(bool(record.warnings) for _, record in done)
        mark = f" COLLAPSED ({fallen} of {len(done)})" if fallen else ""
        rows.append(
            {
                **dict(zip(shown, key, strict=True)),
                "metric": ", ".join(keys),
                "mean": ", ".join(_number(statistics.fmean(found)) for found in values.values())
                + mark,
                "range": ", ".join(
                    f"{_number(min(found))} to {_number(max(found))}"
                    for found in values.values()
                    if len(found) > 1
                ),
                "seeds": ", ".join(str(run.config.seed) for run, _ in done),
                "failed": ", ".join(
                    f"seed {run.config.seed}" for run in some if run.name in failures
                ),
            }
        )
    return rows


def notes(records: Mapping[str, ExperimentResult]) -> list[str]:
    """What has to be known to read the table, a line each."""
    about_data = [
        line
        for record in records.values()
        # Its first line is on the brackets of another table.
        for line in terminal.notes(dataclasses.replace(record, warnings=()))[1:]
    ]
    warnings = [
        f"Warning: {name}: {text}." for name, record in records.items() for text in record.warnings
    ]
    return [*dict.fromkeys(about_data), *warnings]


def told_failures(runs: Sequence[Run], failures: Mapping[str, str]) -> list[str]:
    """Each failed run with its message and the place of its log."""
    lines = []
    for run in runs:
        if run.name in failures:
            where = f" (log: {run.log})" if run.log.exists() else ""
            message = textwrap.indent(failures[run.name], "  ")
            lines += [f"FAILED: {run.title}{where}", message]
    return lines


if __name__ == "__main__":
    run_claimed()
