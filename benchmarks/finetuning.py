"""A whole fine-tuning with this project and with Hugging Face's Trainer on PyTorch, in turns.

make bench-finetuning ARGS="--flagfile=configs/cola_minilm_l6.flags --data=/folder/with/glue"

Every contender is a process of its own, the command that a user would give: our `train`, and
benchmarks/finetuning_torch.py with padding to --seq_length and with padding to the longest
sentence of each batch. They begin with the same weights, and train on the same sentences with the
same settings. One is awake at a time, for --turn seconds, while the others are stopped (SIGSTOP),
so that whatever else the machine does meets all of them alike; what counts is the time that each
was awake, from its start to its end. On another machine only the ratios mean something.
With --at_most=3.5 a contender that has taken 3.5 times as long as ours is stopped: its ratio is
then known to be larger, and its score is not known.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import math
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import flags, logging

from bert_glue_tf.core import cli, records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tasks
from bert_glue_tf.evaluation import metrics, predictions, significance
from bert_glue_tf.models import embedded, encoders
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs import command_line, config, versions

OURS = "ours"
# --padding of finetuning_torch.py.
PADDINGS = {"padded": "max_length", "dynamic": "longest"}
_SETTINGS = "settings.json"
_LOOK = 0.05  # Seconds between two looks at the process that is awake.
_HERE = pathlib.Path(__file__).resolve().parent
FLAGS = flags.FLAGS


def define_flags() -> None:
    """Not at import: the tests import this module beside the commands."""
    command_line.define_flags()
    flags.DEFINE_string(
        "peers_python", "", "Python of the environment that `make bench-peers` builds."
    )
    flags.DEFINE_list("contenders", [OURS, *PADDINGS], "Who takes part.")
    flags.DEFINE_float("turn", 10.0, "Seconds that a process is awake at a time.")
    flags.DEFINE_float(
        "at_most", 0.0, "Stop who takes so many times as long as ours; 0 = wait for all."
    )
    flags.DEFINE_string("output", "", "File to which the records are added, a line each.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class FineTuning(records.Record):
    """One contender's training.

    Attributes:
      contender: which.
      settings: of the training, as in a run's config.json.
      metrics: name -> value on the first dev split; empty if it was stopped.
      seconds: `total`, awake, from the start of the process to its end; `first_step`, up to the
        end of the first training step; `epochs`, up to the end of each epoch's training and, of
        ours, its validation; `processor`, of all cores together, which other programs on the
        machine hardly change.
      peak_memory_bytes: of the process.
      of_ours: `total` over that of our own training, where it took part; of one that was stopped
        the least that it can be.
      is_stopped: whether it was stopped by --at_most before its end.
      difference: of the primary metric to ours, with its 95 % interval over the examples.
      turn: seconds of a turn.
      environment: machine, versions and commit.
      finished: time in UTC, ISO 8601.
    """

    contender: str
    settings: Mapping[str, Any]
    metrics: Mapping[str, float]
    seconds: Mapping[str, Any]
    peak_memory_bytes: int
    of_ours: float | None
    is_stopped: bool = False
    difference: Mapping[str, Any] | None
    turn: float
    environment: Mapping[str, Any]
    finished: str = dataclasses.field(
        default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    )


class Contender:
    """A process that is awake in its turns only; its clock stands still in between."""

    def __init__(self, name: str, command: Sequence[str], log: pathlib.Path) -> None:
        """Starts the command, asleep as soon as it exists. `log` takes what it prints."""
        self.name = name
        self.log = log
        self.seconds = 0.0
        self.processor_seconds = 0.0
        self.first_step = float("nan")
        self.epochs: list[float] = []
        self.is_stopped = False
        self.peak_memory_bytes = 0
        self._read = 0
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        self._signal(signal.SIGSTOP)

    def _signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def take_turn(self, seconds: float) -> bool:
        """Lets the process run; False when it has ended."""
        start = time.perf_counter()
        self._signal(signal.SIGCONT)
        while (now := time.perf_counter() - start) < seconds:
            self._look(self.seconds + now)
            ended = os.wait4(self.process.pid, os.WNOHANG)
            if ended[0]:
                self.seconds += time.perf_counter() - start
                self._reap(ended)
                return False
            time.sleep(_LOOK)
        self._signal(signal.SIGSTOP)
        self.seconds += time.perf_counter() - start
        return True

    def _look(self, now: float) -> None:
        """Notes the time of the lines that were printed since the last look."""
        with self.log.open("rb") as lines:
            lines.seek(self._read)
            new = lines.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            if "first step" in line:
                self.first_step = now
            elif line.startswith("epoch "):
                self.epochs.append(now)

    def end(self) -> None:
        """Kills the process if it lives."""
        if self.process.returncode is None:
            self._signal(signal.SIGKILL)
            self._reap(os.wait4(self.process.pid, 0))

    def _reap(self, ended: tuple[int, int, resource.struct_rusage]) -> None:
        """Takes over what `os.wait4` says of the process."""
        _, status, used = ended
        self.process.returncode = os.waitstatus_to_exitcode(status)
        self.processor_seconds = used.ru_utime + used.ru_stime
        self.peak_memory_bytes = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def run_in_turns(contenders: Sequence[Contender], turn: float, at_most: float = 0.0) -> None:
    """Until all have ended, or have taken `at_most` times as long as our own, if that is not 0.

    Raises:
      UserError: one has failed; the message ends with what it printed last.
    """
    awake = list(contenders)
    limit = math.inf
    try:
        while awake:
            for contender in list(awake):
                if contender.seconds > limit:
                    contender.is_stopped = True
                    awake.remove(contender)
                    logging.info("%s: stopped after %.0f s", contender.name, contender.seconds)
                    continue
                if contender.take_turn(turn):
                    continue
                awake.remove(contender)
                if at_most and contender.name == OURS:
                    limit = at_most * contender.seconds
                if contender.process.returncode:
                    said = contender.log.read_text(errors="replace").strip().splitlines()[-12:]
                    raise UserError(
                        f"{contender.name}: ended with status {contender.process.returncode}:\n"
                        + "\n".join(said)
                    )
                logging.info("%s: done after %.0f s", contender.name, contender.seconds)
    finally:
        for contender in contenders:
            contender.end()


def command(name: str, folder: pathlib.Path, model: pathlib.Path) -> list[str]:
    """Return the command that a user would type, with the settings of `_SETTINGS` in the folder."""
    settings = f"--config={folder / _SETTINGS}"
    if name == OURS:
        module = [sys.executable, "-m", "bert_glue_tf.train"]
        return [*module, settings, f"--workdir={folder / OURS}"]
    return [
        FLAGS.peers_python,
        str(_HERE / "finetuning_torch.py"),
        settings,
        f"--model={model}",
        f"--padding={PADDINGS[name]}",
        f"--output={folder / name}.npz",
    ]


def answers(name: str, folder: pathlib.Path, task: tasks.TaskSpec) -> tuple[np.ndarray, np.ndarray]:
    """Labels [n] and logits float32 [n, classes] of the first dev split."""
    if name != OURS:
        with np.load(folder / f"{name}.npz") as saved:
            return saved["labels"], saved["logits"]
    split = next(iter(task.validation_splits.values()))
    found = predictions.read(folder / OURS / "predictions" / f"{split}.tsv", task)
    return found.labels, found.logits


def measured(
    contenders: Sequence[Contender], settings: config.ExperimentConfig, folder: pathlib.Path
) -> list[FineTuning]:
    """Return the contenders' measurements, in their order."""
    task = tasks.get(settings.task)
    found = {one.name: answers(one.name, folder, task) for one in contenders if not one.is_stopped}
    ours = next((one for one in contenders if one.name == OURS), None)
    where = versions.environment([]) | {"load_average": os.getloadavg()[0]}
    made = []
    for one in contenders:
        scores, difference = {}, None
        if not one.is_stopped:
            labels, logits = found[one.name]
            scores = metrics.compute(task, labels, logits)
        if ours is not None and one is not ours and not one.is_stopped:
            own_labels, own = found[OURS]
            np.testing.assert_array_equal(labels, own_labels)
            difference = significance.compare(
                task.problem,
                metrics.METRICS[task.primary_metric],
                labels,
                [task.problem.decode(own)],
                [task.problem.decode(logits)],
            )
        made.append(
            FineTuning(
                contender=one.name,
                settings=settings.to_json(),
                metrics=scores,
                seconds={
                    "total": one.seconds,
                    "first_step": one.first_step,
                    "epochs": one.epochs,
                    "processor": one.processor_seconds,
                },
                peak_memory_bytes=one.peak_memory_bytes,
                of_ours=None if ours is None else one.seconds / ours.seconds,
                is_stopped=one.is_stopped,
                difference=None
                if difference is None
                else {"mean": difference.mean, "interval": difference.interval},
                turn=FLAGS.turn,
                environment=where,
            )
        )
    return made


def print_table(made: Sequence[FineTuning], primary: str) -> None:
    rows = []
    for one in made:
        difference, more = "", "> " if one.is_stopped else ""
        if one.difference is not None:
            low, high = one.difference["interval"]
            difference = f"{one.difference['mean']:+.3f} [{low:+.3f}, {high:+.3f}]"
        rows.append(
            {
                "": one.contender,
                "seconds": f"{more}{one.seconds['total']:.0f}",
                "of ours": "" if one.of_ours is None else f"{more}{one.of_ours:.2f}",
                "processor": f"{more}{one.seconds['processor']:.0f}",
                "first step, s": f"{one.seconds['first_step']:.1f}",
                primary: f"{one.metrics[primary]:.4f}" if one.metrics else "stopped",
                "difference": difference,
                "peak MB": f"{one.peak_memory_bytes / 1e6:.0f}",
            }
        )
    terminal.print_rows("a whole fine-tuning, awake in turns", rows)


def main() -> None:
    settings = command_line.from_flags(FLAGS)
    task = tasks.get(settings.task)
    unknown = set(FLAGS.contenders) - {OURS, *PADDINGS}
    if unknown or not FLAGS.contenders:
        raise UserError(
            f"--contenders={','.join(FLAGS.contenders)}: good values are "
            f"{', '.join((OURS, *PADDINGS))}."
        )
    if FLAGS.turn <= 0:
        raise UserError(f"--turn={FLAGS.turn}: must be above 0 seconds.")
    if FLAGS.at_most and not (FLAGS.at_most >= 1 and OURS in FLAGS.contenders):
        raise UserError(
            f"--at_most={FLAGS.at_most}: must be 1 or more, with {OURS} among --contenders."
        )
    if set(FLAGS.contenders) - {OURS} and not shutil.which(FLAGS.peers_python):
        raise UserError(
            f"--peers_python={FLAGS.peers_python}: no such program. `make bench-finetuning` builds "
            "the environment of PyTorch and gives it."
        )
    if settings.encoder != encoders.EMBEDDED or settings.pruning_method != "none":
        raise UserError("only --encoder=minilm_l6 without pruning is compared: give that.")
    # What the other side does not have, and would silently do otherwise.
    for name, good in (
        ("held_out", (0,)),
        ("mixed_precision", ("auto", "none")),
        ("strategy", ("auto", "cpu")),
    ):
        if (value := getattr(settings, name)) not in good:
            raise UserError(
                f"--{name}={value}: PyTorch's side has no such thing here. Good values: "
                f"{', '.join(map(str, good))}."
            )
    model = embedded.find()
    embedded.check(model)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / _SETTINGS).write_text(json.dumps(settings.to_json()), encoding="utf-8")
        with contextlib.ExitStack() as stack:
            contenders = []
            for one in FLAGS.contenders:
                made = Contender(one, command(one, folder, model), folder / f"{one}.log")
                stack.callback(made.end)
                contenders.append(made)
            run_in_turns(contenders, FLAGS.turn, FLAGS.at_most)
        found = measured(contenders, settings, folder)
    print_table(found, task.primary_metric)
    if FLAGS.output:
        with pathlib.Path(FLAGS.output).open("a", encoding="utf-8") as lines:
            lines.writelines(one.to_line() + "\n" for one in found)


if __name__ == "__main__":
    define_flags()
    cli.run(main, __doc__)
