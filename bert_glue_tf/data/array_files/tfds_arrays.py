"""Arrays of TFDS: the pictures of `mnist`, and the words of `speech_commands` as MFCCs."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import tfds
from bert_glue_tf.data.array_files.table import ArrayTable, digest, looked
from bert_glue_tf.data.task_spec import TaskSpec

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf
else:
    np = lazy.module("numpy")

# Of a second of sound: frames of 40 ms, one each 20 ms, 40 mel filters, 10 coefficients (Zhang et
# al. 2017, "Hello edge: keyword spotting on microcontrollers", https://arxiv.org/abs/1711.07128).
RATE, FRAME, STEP, MELS, COEFFICIENTS = 16_000, 640, 320, 40, 10
_LOWEST, _HIGHEST = 20.0, 4_000.0  # Hertz of the mel filters.


class TfdsArrays:
    """A data set of TFDS whose examples are arrays."""

    name = "tfds"

    def __init__(self, task: TaskSpec) -> None:
        """Take a task with a data set in TFDS."""
        self._task = task
        self.path = task.tfds_name

    def check(self) -> None:
        """Refuse a data set that is neither prepared nor can be downloaded; see `tfds.check`."""
        tfds.check(self._task)

    def splits(self) -> Collection[str]:
        return list(tfds.builder_of(self._task, "train").info.splits)

    def look(self) -> tuple[tuple[str, ...], tuple[int, ...]]:
        return looked(self.read("train"))

    def read(self, split: str) -> ArrayTable:
        import tensorflow as tf
        import tensorflow_datasets

        builder = tfds.builder_of(self._task, split)
        names = builder.info.features["label"].names
        field, take = _FIELDS[self._task.tfds_name]
        values: list[np.ndarray] = []
        classes: list[str] = []
        wanted = set(self._task.problem.labels)
        try:
            for example in tensorflow_datasets.as_numpy(builder.as_dataset(split=split)):
                name = names[int(example["label"])]
                if name in wanted:
                    classes.append(name)
                    values.append(example[field])
        except (tf.errors.OpError, LookupError, ValueError, TypeError, AttributeError) as error:
            raise tfds.damaged(str(builder.data_dir), error) from error
        if not values:
            raise UserError(
                f"--data=tfds: {self.path} has no example of {', '.join(sorted(wanted))} in its "
                f"{split} split."
            )
        array = take(values)
        return ArrayTable(
            array,
            classes,
            tuple(self._task.problem.labels),
            digest(array.tobytes(), "\n".join(classes).encode()),
            os.fspath(builder.data_dir),
            str(builder.info.version),
        )


def mfcc(sounds: list[np.ndarray]) -> np.ndarray:
    """Return the MFCCs of sounds of a second, float32 [n, 49, 10].

    Davis and Mermelstein 1980, "Comparison of parametric representations for monosyllabic word
    recognition in continuously spoken sentences": the cosine transform of the logarithms of a
    power spectrum's mel bands.

    Args:
      sounds: n arrays of int16 values [samples], 16,000 a second; shorter ones are filled up with
        silence, longer ones cut.
    """
    import tensorflow as tf

    padded = np.zeros((len(sounds), RATE), np.float32)
    for row, sound in zip(padded, sounds, strict=True):
        row[: len(sound)] = np.asarray(sound[:RATE], np.float32) / 32768.0
    return np.concatenate([_mfcc(tf.constant(part)) for part in _parts(padded)])


def _mfcc(sounds: tf.Tensor) -> np.ndarray:
    import tensorflow as tf

    spectrum = tf.abs(tf.signal.stft(sounds, FRAME, STEP, fft_length=1024))
    mels = tf.signal.linear_to_mel_weight_matrix(MELS, spectrum.shape[-1], RATE, _LOWEST, _HIGHEST)
    logarithms = tf.math.log(tf.matmul(tf.square(spectrum), mels) + 1e-6)
    found = tf.signal.mfccs_from_log_mel_spectrograms(logarithms)[..., :COEFFICIENTS]
    result: np.ndarray = found.numpy().astype(np.float32)
    return result


def _parts(values: np.ndarray, size: int = 256) -> Iterator[np.ndarray]:
    return (values[start : start + size] for start in range(0, len(values), size))


# Data set -> the field of its examples, and what makes arrays of it.
_FIELDS: Mapping[str, tuple[str, Callable[[list[Any]], np.ndarray]]] = {
    "mnist": ("image", lambda pictures: np.stack(pictures)),
    "speech_commands": ("audio", mfcc),
}
