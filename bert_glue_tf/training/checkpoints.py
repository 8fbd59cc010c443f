"""The states of a training on disk: the newest two, so that one good one is always left.

`step-<n>` is the state after n training steps. TensorFlow's own CheckpointManager is not used: it
goes by a list beside the files, which after a kill may name a file that was cut short, or miss one
that is whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Sequence

import tensorflow as tf
import tf_keras
from absl import logging

from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError, reason_of

KEPT = 2
_NAME = re.compile(r"step-(\d+)\.index")


def newest(folder: pathlib.Path) -> str:
    """Return the name of the newest state in a folder, whole or not; empty where there is none."""
    found = [
        (int(name[1]), name[0]) for p in folder.glob("*.index") if (name := _NAME.match(p.name))
    ]
    return max(found, default=(0, ""))[1]


class RunningSums(tf.train.experimental.PythonState):
    """The sums over the epoch so far, from which Keras makes its row of the history."""

    def __init__(self) -> None:
        self._values: list[list[float]] = []

    def take(self, model: tf_keras.Model) -> None:
        """Keep the sums as they stand."""
        self._values = [[float(v.numpy()) for v in metric.weights] for metric in model.metrics]

    def give(self, model: tf_keras.Model) -> None:
        """Add what was kept, once."""
        if not self._values:
            return
        for metric, values in zip(model.metrics, self._values, strict=True):
            for variable, value in zip(metric.weights, values, strict=True):
                # Not `assign_add`, which a sum over several replicas does not take here.
                variable.assign(variable.numpy() + value)
        self._values = []

    def serialize(self) -> str:
        """Return what was kept, as TensorFlow writes it into a checkpoint."""
        return json.dumps(self._values)

    def deserialize(self, string_value: bytes) -> None:
        """Keep what a checkpoint holds."""
        self._values = strict_json.loads(string_value)


class Checkpoints:
    """The states in one folder.

    Attributes:
      step: after which the newest whole state was written; 0 where there is none.
    """

    def __init__(
        self, folder: pathlib.Path, finished_epochs: int, last_step: int | None = None
    ) -> None:
        """Look for the newest state that can be read, and warn of those that cannot.

        Args:
          folder: which need not be there.
          finished_epochs: epochs that are known to have been trained, from the history.
          last_step: states after a later step are removed, as they are of steps that the run is
            going to train again; None to keep all.
        """
        self._folder = folder
        self._newest: pathlib.Path | None = None
        self.step = 0
        self._damaged: set[pathlib.Path] = set()
        for step, prefix in self._all():
            if last_step is not None and step > last_step:
                self._remove(prefix)
                continue
            damage = _damage(prefix)
            if damage:
                self._damaged.add(prefix)
                logging.warning(
                    "%s: the state after step %d of the training cannot be read (%s); it is passed "
                    "over",
                    prefix,
                    step,
                    damage,
                )
            elif self._newest is None:
                self._newest, self.step = prefix, step
        if finished_epochs and self._newest is None:
            logging.warning(
                "%s: holds no state of the training that can be read, though the history has %d "
                "epoch(s): the training starts anew",
                folder,
                finished_epochs,
            )

    def restore(self, state: tf.train.Checkpoint) -> None:
        """Assign the newest whole state, if there is one.

        Raises:
          UserError: it is of another model.
        """
        if self._newest is None:
            return
        try:
            state.read(str(self._newest)).assert_existing_objects_matched()
        except (tf.errors.OpError, LookupError, ValueError, OSError, AssertionError) as error:
            raise UserError(
                f"{self._newest}: is not a state of this training: {reason_of(error)}.\n"
                f"Delete the folder {self._folder} to train from the start."
            ) from error

    def save(self, state: tf.train.Checkpoint, step: int) -> None:
        """Write the state after a step, and then remove all but the newest two."""
        prefix = self._folder / f"step-{step}"
        self._remove_but([*self._good(), prefix])  # What a killed process left half-written.
        try:
            state.write(str(prefix))
            for path in self._files(prefix):
                _sync(path)
            with contextlib.suppress(OSError):  # Not every file system has it for folders.
                _sync(self._folder)
        except BaseException:
            self._remove(prefix)  # On a full disk, half a state takes room that is needed.
            raise
        self.step = step
        self._damaged.discard(prefix)
        self._remove_but(
            [one for at, one in self._all() if at <= step and one not in self._damaged][:KEPT]
        )

    def _good(self) -> list[pathlib.Path]:
        """Return the prefixes of the states that can be read, the newest first."""
        return [prefix for _, prefix in self._all() if prefix not in self._damaged]

    def _remove_but(self, kept: Sequence[pathlib.Path]) -> None:
        files = {path for prefix in kept for path in self._files(prefix)}
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path not in files:
                    _delete(path)

    def _all(self) -> list[tuple[int, pathlib.Path]]:
        """Return step and prefix of each state, the newest first."""
        return sorted(
            (
                (int(name[1]), path.with_suffix(""))
                for path in self._folder.glob("*.index")
                if (name := _NAME.fullmatch(path.name))
            ),
            reverse=True,
        )

    @staticmethod
    def _files(prefix: pathlib.Path) -> Sequence[pathlib.Path]:
        return [
            *prefix.parent.glob(f"{prefix.name}.index"),
            *prefix.parent.glob(f"{prefix.name}.data-*"),
        ]

    def _remove(self, prefix: pathlib.Path) -> None:
        for path in [*self._files(prefix), prefix.with_name(f"{prefix.name}_temp")]:
            _delete(path)


def _damage(prefix: pathlib.Path) -> str:
    """Return why a state cannot be read; empty where all its values, each with a checksum, can."""
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, LookupError, ValueError, OSError, RuntimeError) as error:
        return reason_of(error)
    return ""


def _delete(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: pathlib.Path) -> None:
    """Wait until a file or folder is on the disk: a state that was named is whole."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
