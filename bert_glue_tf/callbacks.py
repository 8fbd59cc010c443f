"""What happens besides the gradient while Keras trains: scores, history, curves, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import tensorflow as tf
import tf_keras

from bert_glue_tf.pruning.base import PruningMethod
from bert_glue_tf.run_folder import RunFolder

Logs = dict[str, float]


class Validate(tf_keras.callbacks.Callback):
    """Scores the model after each epoch and adds the scores to Keras's logs.

    Comes before every callback that reads them (progress bar, history, TensorBoard).
    """

    def __init__(self, evaluate: Callable[[], Mapping[str, float]]):
        """`evaluate` returns name -> value on the validation split(s)."""
        super().__init__()
        self._evaluate = evaluate

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        del epoch
        assert logs is not None
        logs.update({f"val_{name}": value for name, value in self._evaluate().items()})


class History(tf_keras.callbacks.Callback):
    """Writes a row an epoch to `history.csv`; earlier rows of a resumed run stay."""

    def __init__(self, folder: RunFolder, method: PruningMethod, first_epoch: int):
        super().__init__()
        self._folder = folder
        self._method = method
        self._rows: list[Mapping[str, object]] = [*folder.read_history()[:first_epoch]]
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
        self._rows.append(row)
        self._folder.write_history(self._rows)


class Curves(tf_keras.callbacks.Callback):
    """TensorBoard curves by training step: learning rate, and each pruned weight's sparsity."""

    def __init__(self, folder: RunFolder, method: PruningMethod, frequency: int):
        """Writes every `frequency` steps."""
        super().__init__()
        self._writer = tf.summary.create_file_writer(str(folder.tensorboard / "steps"))
        self._method = method
        self._frequency = frequency

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        del batch, logs
        step = int(self.model.optimizer.iterations.numpy())
        if step % self._frequency:
            return
        with self._writer.as_default(step=step):
            rate = self.model.optimizer.learning_rate
            tf.summary.scalar("learning_rate", rate(step) if callable(rate) else rate)
            for name, value in self._method.sparsities(self.model).items():
                tf.summary.scalar(f"sparsity/{name}", value)

    def on_train_end(self, logs: Logs | None = None) -> None:
        del logs
        self._writer.close()


class Checkpoint(tf_keras.callbacks.Callback):
    """Saves model, optimizer and masks after each epoch; the last of all callbacks.

    The checkpoint of epoch e is written after its row of the history, so a run that goes on
    from it drops no row and repeats none.
    """

    def __init__(self, manager: tf.train.CheckpointManager):
        super().__init__()
        self._manager = manager

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        del logs
        self._manager.save(checkpoint_number=epoch + 1)


class Throughput(tf_keras.callbacks.Callback):
    """Measures training examples a second, without the first step (it traces the graph)."""

    def __init__(self, examples_per_epoch: int, batch_size: int):
        super().__init__()
        self._examples_per_epoch = examples_per_epoch
        self._first_batch = min(batch_size, examples_per_epoch)
        self._examples = 0
        self._seconds = 0.0
        self._start: float | None = None
        self._is_traced = False

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        del epoch, logs
        self._start = time.perf_counter() if self._is_traced else None

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        del batch, logs
        now = time.perf_counter()
        if not self._is_traced:
            self._is_traced = True
            self._examples -= self._first_batch
        elif self._start is not None:
            self._seconds += now - self._start
        self._start = now

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        del epoch, logs
        self._examples += self._examples_per_epoch

    @property
    def examples_per_second(self) -> float:
        """NaN where the training was a single step or none at all."""
        return self._examples / self._seconds if self._seconds else float("nan")
