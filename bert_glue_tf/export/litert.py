"""A .tflite file on this machine: loaded, run and measured with LiteRT, without TensorFlow."""

from __future__ import annotations

import os
import pathlib
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from bert_glue_tf.core import quiet
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.arrays import Arrays
from bert_glue_tf.data.modality import TEXTS
from bert_glue_tf.data.problems import Problem
from bert_glue_tf.data.problems.probabilities import to_logits
from bert_glue_tf.export import flatbuffer
from bert_glue_tf.export.defaults import LOGITS, OUTPUTS, THREADS

# One signature for each length that the file was exported for, and for each batch of more texts
# than one at each of them.
SIGNATURE, BATCH = "length_{}", "length_{}_batch_{}"
SEPARATOR = ":"  # Between the name of a network and that of its signature.
# The names of a file's inputs, for each kind of examples.
_INPUTS = [set(modality.inputs) for modality in (TEXTS, Arrays())]
_SIGNATURE = re.compile(r"length_(\d+)(?:_batch_(\d+))?")


def signature(length: int, batch: int) -> str:
    """Return the name of the signature of texts of a length, so many at a time."""
    return SIGNATURE.format(length) if batch == 1 else BATCH.format(length, batch)


def environment() -> dict[str, str]:
    """Return the environment of a process of ours: it finds the modules that this one finds."""
    package = str(pathlib.Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([package, *filter(None, sys.path)])}


class LiteModel:
    """A classifier in a .tflite file, with a signature for each of its lengths and batches.

    Args:
      model: the file's content.
      threads: for LiteRT.
      name: of the file, for messages.
      delegate: whether XNNPACK takes over what it can, as is LiteRT's default; else all
        operators run in LiteRT's own kernels.
      size: name of a network, of a file of several (`merging`); empty for the whole one.

    Attributes:
      classes: number of outputs of an answer.
      output: name of the output, one of `OUTPUTS`.

    Raises:
      UserError: no .tflite file, or not one of this project's classifiers.
    """

    def __init__(
        self,
        model: bytes,
        threads: int = THREADS,
        name: str = "the model",
        delegate: bool = True,
        size: str = "",
    ) -> None:
        try:
            if model[4:8] != flatbuffer.IDENTIFIER:
                raise ValueError("the identifier TFL3 is missing")
            self._interpreter = Interpreter(
                model_content=model,
                num_threads=threads,
                experimental_op_resolver_type=OpResolverType.AUTO
                if delegate
                else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
            )
            keys = list(self._interpreter.get_signature_list())
        except (ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(f"{name}: no .tflite file, or a damaged one ({reason}).") from None
        found = _places(keys, name, size)
        try:
            with quiet.native_output():
                self._runners: dict[tuple[int, int], Any] = {
                    place: self._interpreter.get_signature_runner(key)
                    for place, key in sorted(found.items())
                }
                # LiteRT prepares a signature, and speaks, when it is first run.
                self._inputs = {
                    place: runner.get_input_details() for place, runner in self._runners.items()
                }
                answers = {
                    place: runner(**self._blank(place)) for place, runner in self._runners.items()
                }
            if (taken := set(self._inputs[min(self._inputs)])) not in _INPUTS:
                raise ValueError(f"its inputs are {', '.join(sorted(taken)) or 'none'}")
            names = {name for one in answers.values() for name in one}
            if len(names) != 1 or not names.issubset(OUTPUTS):
                raise ValueError(f"its outputs are {', '.join(sorted(names)) or 'none'}")
            (self.output,) = names
            shapes = {place: np.shape(one[self.output]) for place, one in answers.items()}
            of_texts = all(shape[:-1] == (batch,) for (_, batch), shape in shapes.items())
            of_words = all(shape[:-1] == place[::-1] for place, shape in shapes.items())
            widths = {shape[-1] for shape in shapes.values()}
            if len(widths) != 1 or not (of_texts or of_words):
                raise ValueError(f"its {self.output} have the shapes {sorted(shapes.values())}")
        except (ValueError, RuntimeError, KeyError) as error:
            raise UserError(
                f"{name}: cannot be run by LiteRT ({str(error).splitlines()[0]})."
            ) from None
        self._name = name
        (self.classes,) = widths
        # The shape of an example's inputs tells its length.
        self._lengths = {self._shape(length): length for length in self.lengths}
        details = next(iter(self._runners.values())).get_output_details()[self.output]
        self._output_grid = _grid(details)

    @classmethod
    def load(cls, path: pathlib.Path, threads: int = THREADS) -> LiteModel:
        """Read a file.

        Raises:
          UserError: it cannot be read, or is no such model.
        """
        try:
            return cls(path.read_bytes(), threads, str(path))
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror}).") from None

    @property
    def lengths(self) -> tuple[int, ...]:
        """The lengths in word pieces that the file can run at, ascending."""
        return tuple(length for length, batch in self._runners if batch == 1)

    def batch_sizes(self, length: int) -> list[int]:
        """Return how many texts of a length the file can take at a time, the most first."""
        return sorted((batch for one, batch in self._runners if one == length), reverse=True)

    def predict(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the outputs, float32 [batch, classes], of int32 [batch, length] features.

        Of a file that tags words they are [batch, length, tags]. The file takes as many texts at a
        time as its largest batch that they fill, and the rest one by one. `length` must be one of
        `lengths`.

        Raises:
          UserError: LiteRT fails on them, as where the file has no embedding for an id.
        """
        number, *shape = next(iter(features.values())).shape
        found, done = [], 0
        try:
            length = self._lengths[tuple(shape)]
            for batch in self.batch_sizes(length):
                runner = self._runners[length, batch]
                while number - done >= batch:
                    part = {
                        key: _on_grid(value[done : done + batch], self._inputs[length, batch][key])
                        for key, value in features.items()
                    }
                    found.append(runner(**part)[self.output])
                    done += batch
        except (ValueError, RuntimeError, KeyError) as error:
            raise UserError(
                f"{self._name}: cannot be run by LiteRT ({str(error).splitlines()[0]}). The file "
                "is damaged; copy it again."
            ) from None
        return _off_grid(np.concatenate(found), *self._output_grid)

    def _shape(self, length: int) -> tuple[int, ...]:
        """Return the shape of one example of a length, without the axis of the batch."""
        details = next(iter(self._inputs[length, 1].values()))
        return tuple(int(side) for side in details["shape"][1:])

    def _blank(self, place: tuple[int, int]) -> dict[str, np.ndarray]:
        """Return inputs of zeros, of a length and a batch."""
        return {
            name: np.zeros(details["shape"], details["dtype"])
            for name, details in self._inputs[place].items()
        }

    def ones(self, length: int) -> dict[str, np.ndarray]:
        """Return features of ones for one example of a length, by which the file is timed."""
        return {
            name: np.ones(details["shape"], details["dtype"])
            for name, details in self._inputs[length, 1].items()
        }


def _grid(details: Mapping[str, Any]) -> tuple[float, int]:
    """Return scale and zero point of a tensor of integers; scale 0 of any other."""
    is_whole = np.issubdtype(details["dtype"], np.integer)
    scale, zero = details["quantization"]
    return (float(scale), int(zero)) if is_whole and scale else (0.0, 0)


def _on_grid(values: np.ndarray, details: Mapping[str, Any]) -> np.ndarray:
    """Return numbers as a file takes them: rounded to its integers, unless they are these."""
    scale, zero = _grid(details)
    if not scale or values.dtype == details["dtype"]:
        return values
    limits = np.iinfo(details["dtype"])
    rounded = np.clip(np.round(values / scale) + zero, limits.min, limits.max)
    return rounded.astype(details["dtype"])


def _off_grid(values: np.ndarray, scale: float, zero: int) -> np.ndarray:
    """Return a file's outputs as float32, whatever type they have in it."""
    if not scale:
        return values
    return ((values.astype(np.int32) - zero) * np.float32(scale)).astype(np.float32)


def _places(keys: Iterable[str], name: str, size: str) -> dict[tuple[int, int], str]:
    """Return length and batch of each signature of a network -> the signature's name.

    Args:
      keys: names of the file's signatures.
      name: of the file, for messages.
      size: name of the network; empty for the whole one.

    Raises:
      UserError: there is none of one example.
    """
    prefix = f"{size}{SEPARATOR}" if size else ""
    own = ((key, _SIGNATURE.fullmatch(key.removeprefix(prefix))) for key in keys)
    found = {
        (int(match[1]), int(match[2] or 1)): key
        for key, match in own
        if match and key.startswith(prefix)
    }
    if 1 not in {batch for _, batch in found}:
        raise UserError(
            f"{name}: a .tflite file, but not one of this project's classifiers: it has no "
            f"signature named {SIGNATURE.format('<number>')} (it has: "
            f"{', '.join(keys) or 'none'})."
        )
    return found


class Answers(Protocol):
    """A file that is run: `LiteModel`, or copies of it."""

    output: str

    def predict(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the outputs, float32 [batch, classes], of int32 [batch, length] features."""


def logits(problem: Problem, model: Answers, features: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return logits, float32 [batch, classes], also of a file whose output is probabilities."""
    found = model.predict(features)
    return found if model.output == LOGITS else to_logits(problem.to_probabilities, found)


def pieces(model: bytes, threads: int = THREADS) -> int:
    """Count the delegated pieces that LiteRT cuts the graph of a file with one signature into.

    Between two pieces the data leaves XNNPACK, and what lies there runs in slower kernels.
    """
    interpreter = Interpreter(model_content=model, num_threads=threads)
    with quiet.native_output():
        interpreter.allocate_tensors()
    details = interpreter._get_ops_details()  # LiteRT has no public way to ask.
    return sum(operator["op_name"] == "DELEGATE" for operator in details)
