"""Keras callbacks of a training: scores, progress, history, curves, saved states."""

from __future__ import annotations

import math
import signal
import threading
import time
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import rich.progress
import rich.table
import rich.text
import tensorflow as tf
import tf_keras
from absl import logging

from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.core import layout
from bert_glue_tf.core import progress as shown
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import cost
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import checkpoints
from bert_glue_tf.training.throughput import Logs, Throughput


class Validate(tf_keras.callbacks.Callback):
    """Scores the model after each epoch and adds the scores to Keras's logs.

    Comes before every callback that reads them (progress bar, history, TensorBoard).
    """

    def __init__(self, evaluate: Callable[[], Mapping[str, float]]):
        """Take `evaluate`, which returns name -> value on the validation split(s)."""
        super().__init__()
        self._evaluate = evaluate

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        del epoch
        assert logs is not None
        logs.update({f"val_{name}": value for name, value in self._evaluate().items()})


class Progress(tf_keras.callbacks.Callback):
    """The progress of the training: a bar where a terminal shows it, and a line for each epoch.

    Keras's own bar has 82 to 86 characters with two metrics, and where the terminal has 80 it
    leaves a line behind at every step. A context manager, so that no bar stays when it ends.
    """

    _SECONDS = 0.1  # Between two drawings.

    def __init__(self, task: TaskSpec, epochs: int, steps: int):
        """Take the task, the epochs of the whole training, and the steps of each."""
        super().__init__()
        self._task = task
        self._epochs = epochs
        self._steps = steps
        self._bar: rich.progress.Progress | None = None
        self._shown = self._start = 0.0
        self._epoch = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        del logs
        self._start = time.perf_counter()
        self._epoch = f"epoch {epoch + 1}/{self._epochs}"
        self._bar = shown.bar(
            rich.progress.TextColumn("{task.description}"),
            rich.progress.BarColumn(bar_width=None),
            rich.progress.MofNCompleteColumn(),
            rich.progress.TextColumn("{task.fields[scores]}"),
            _Clock(rich.table.Column(no_wrap=True)),
        )
        if self._bar is not None:
            self._bar.add_task(self._epoch, total=self._steps, scores="")
            self._bar.refresh()

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        if self._bar is None:
            return
        done, now = batch + 1, time.perf_counter()
        (number,) = self._bar.task_ids
        self._bar.update(
            number,
            completed=done,
            description=self._epoch + (", validating" if done == self._steps else ""),
            scores=" ".join(_score(*item) for item in (logs or {}).items()),
        )
        if done == self._steps or now - self._shown >= self._SECONDS:
            self._shown = now
            self._bar.refresh()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        del epoch
        self._stop()
        # What reads the output sees the line now, not when a buffer is full.
        print(self.line(logs or {}, time.perf_counter() - self._start), flush=True)

    def line(self, logs: Mapping[str, float], seconds: float) -> str:
        """Return an epoch's losses and its task's metrics, in lines of the output's width.

        What does not fit into the first line stands in a second one, under the scores.

        Args:
          logs: what Keras has measured in the epoch.
          seconds: that it took.
        """
        own = [
            f"{name}{end}" for end in self._task.validation_splits for name in self._task.metrics
        ]
        shown = [_score(key, logs[f"val_{key}"]) for key in (*own, "loss") if f"val_{key}" in logs]
        train = [_score("loss", logs["loss"])] if "loss" in logs else []
        begin = f"{self._epoch}, {seconds:.0f} s: "
        # Some data sets have no validation split, and are scored on their test split.
        splits = set(self._task.validation_splits.values())
        split = "test" if splits == {"test"} else "val"
        parts = [*train, *([f"{split}: " + ", ".join(shown)] if shown else [])]
        columns = layout.width() if layout.is_terminal() else len(begin) + len(", ".join(parts))
        # A number does not leave its name.
        whole = begin + ", ".join(parts).replace(" ", "\0").replace(",\0", ", ")
        lines = layout.filled(whole, columns, after=" " * len(begin))
        return "\n".join(lines).replace("\0", " ")


class _Clock(rich.progress.ProgressColumn):
    """The time that is left; where that is not known, or all steps are done, the time so far."""

    max_refresh = 0.5

    def render(self, task: rich.progress.Task) -> rich.text.Text:
        """Return the text of the column."""
        left = 0 if task.finished else math.ceil(task.time_remaining or 0)
        seconds, label = (left, "left") if left else (int(task.elapsed or 0), "gone")
        return rich.text.Text(f"{shown.duration(seconds)} {label}", "progress.remaining")


def _score(name: str, value: float) -> str:
    return f"{name} {float(value):.4f}"


class History(tf_keras.callbacks.Callback):
    """Writes a row an epoch to `history.csv`; earlier rows of a resumed run stay.

    Besides the scores a row has what the epoch took (`seconds`), what the run had taken when
    it ended, all its processes together (`run_seconds`), the largest resident set of this process
    so far (`peak_memory_mb`), and what `Throughput` measured (`measured_examples` in
    `measured_seconds`).
    """

    def __init__(
        self, folder: RunFolder, method: PruningMethod, timing: Timing, throughput: Throughput
    ):
        super().__init__()
        self._folder = folder
        self._method = method
        self._timing = timing
        self._throughput = throughput
        self._rows: list[Mapping[str, object]] = [*timing.rows]
        self._start = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        del epoch, logs
        self._start = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        row: dict[str, float] = {"epoch": epoch + 1}
        row.update({name: float(value) for name, value in (logs or {}).items()})
        sparsities = self._method.sparsities(self.model)
        row.update({f"sparsity/{name}": value for name, value in sparsities.items()})
        row["seconds"] = round(time.perf_counter() - self._start, 3)
        row["run_seconds"] = round(self._timing.run_seconds(), 3)
        row["peak_memory_mb"] = round(cost.peak_memory_bytes() / 1e6, 1)
        row["measured_examples"] = self._throughput.examples
        row["measured_seconds"] = round(self._throughput.seconds, 6)
        self._rows.append(row)
        self._folder.write_history(self._rows)


class Timing:
    """The seconds of a run over all its processes, from the history that they left."""

    def __init__(self, rows: Sequence[Mapping[str, str]], start: float):
        """Take what earlier processes left.

        Args:
          rows: the history of the epochs that they finished.
          start: when this process began, by `time.perf_counter`.
        """
        self.rows = rows
        self._start = start

    def run_seconds(self) -> float:
        """Return the seconds of this process so far, and of earlier ones up to their last epoch."""
        return self._earlier("run_seconds", last=True) + time.perf_counter() - self._start

    def examples_per_second(self, throughput: Throughput) -> float:
        """Return the training examples a second over all epochs; NaN where none were measured."""
        examples = self._earlier("measured_examples") + throughput.total_examples
        seconds = self._earlier("measured_seconds") + throughput.total_seconds
        return examples / seconds if seconds else float("nan")

    def _earlier(self, column: str, last: bool = False) -> float:
        """Return the sum of a column of the earlier epochs, or its value in the last of them."""
        # A history that was edited by hand may lack a column that is no score.
        values = [float(row.get(column) or 0.0) for row in self.rows]
        return sum(values[-1:] if last else values)


class Curves(tf_keras.callbacks.Callback):
    """TensorBoard curves by training step: learning rate, and each pruned weight's sparsity."""

    def __init__(self, folder: RunFolder, method: PruningMethod, frequency: int):
        """Write every `frequency` steps."""
        super().__init__()
        self._writer = tf.summary.create_file_writer(str(folder.tensorboard / "steps"))
        self._method = method
        self._frequency = frequency
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        del logs
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        del logs
        # Not the optimizer's own count, which begins anew where a method winds back.
        step = self._epoch * self.params["steps"] + batch + 1
        if step % self._frequency:
            return
        with self._writer.as_default(step=step):
            rate = self.model.optimizer.learning_rate
            count = self.model.optimizer.iterations
            tf.summary.scalar("learning_rate", rate(count) if callable(rate) else rate)
            for name, value in self._method.sparsities(self.model).items():
                tf.summary.scalar(f"sparsity/{name}", value)

    def on_train_end(self, logs: Logs | None = None) -> None:
        del logs
        self._writer.close()


class Interruption:
    """Holds Ctrl-C and SIGTERM back until the training can be saved.

    While the block runs, the first of them only sets `came`; a second one raises
    KeyboardInterrupt at once. What does not raise KeyboardInterrupt outside of the block (a
    signal that is ignored, or has a handler of its own) is left as it is.
    """

    def __init__(self, is_held: bool = True) -> None:
        """Leave the signals as they are unless they are to be held back."""
        self._is_held = is_held
        self.came = False
        self._taken: list[int] = []

    def __enter__(self) -> Self:
        # No other thread may set handlers.
        if self._is_held and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is signal.default_int_handler:
                    signal.signal(number, self._note)
                    self._taken.append(number)
        return self

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        self._give_back()
        self.came = True
        del number, frame

    def _give_back(self) -> None:
        while self._taken:
            signal.signal(self._taken.pop(), signal.default_int_handler)

    def __exit__(self, *error: object) -> None:
        self._give_back()


class Checkpoint(tf_keras.callbacks.Callback):
    """Saves the state of the training after each epoch; the last of all callbacks.

    The state after an epoch is written after its row of the history, so a run that goes on
    from it drops no row and repeats none. An interrupted one is saved after the step that it
    is at; one that is interrupted while an epoch is scored, after that.
    """

    def __init__(
        self,
        folder: RunFolder,
        states: checkpoints.Checkpoints,
        state: tf.train.Checkpoint,
        sums: checkpoints.RunningSums,
        interruption: Interruption,
    ):
        """Take the state to save, of which `sums` is a part, and where to save it."""
        super().__init__()
        self._folder = folder
        self._states = states
        self._state = state
        self._sums = sums
        self._interruption = interruption
        self._epoch = 0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        del logs
        self._epoch = epoch
        self._sums.give(self.model)  # Keras has just set its own to zero.

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        del logs
        if self._interruption.came and batch + 1 < self.params["steps"]:
            self._sums.take(self.model)
            self._save(self._epoch * self.params["steps"] + batch + 1)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        del logs
        self._save((epoch + 1) * self.params["steps"])

    def _save(self, step: int) -> None:
        self._folder.require_present()
        with shown.doing("saving the state of the training", is_logged=False):
            self._states.save(self._state, step)
        if self._interruption.came:
            logging.info(
                "interrupted: saved after step %d of %d",
                step,
                self.params["steps"] * self.params["epochs"],
            )
            raise KeyboardInterrupt
