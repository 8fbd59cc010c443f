"""A .tflite file on this machine: loaded, run and measured with LiteRT, without TensorFlow."""

from __future__ import annotations

import os
import pathlib
import re
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from bert_glue_tf.core import quiet
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.export import flatbuffer
from bert_glue_tf.export.defaults import THREADS

# One signature for each length that the file was exported for.
SIGNATURE = "length_{}"
_SIGNATURE = re.compile(r"length_(\d+)")


def environment() -> dict[str, str]:
    """Return the environment of a process of ours: it finds the modules that this one finds."""
    package = str(pathlib.Path(__file__).parents[2])
    return {**os.environ, "PYTHONPATH": os.pathsep.join([package, *filter(None, sys.path)])}


class LiteModel:
    """A classifier in a .tflite file, with a signature for each of its lengths.

    Args:
      model: the file's content.
      threads: for LiteRT.
      name: of the file, for messages.
      delegate: whether XNNPACK takes over what it can, as is LiteRT's default; else all
        operators run in LiteRT's own kernels.

    Attributes:
      classes: number of logits of an answer.

    Raises:
      UserError: no .tflite file, or not one of this project's classifiers.
    """

    def __init__(
        self,
        model: bytes,
        threads: int = THREADS,
        name: str = "the model",
        delegate: bool = True,
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
        found = {int(match[1]): key for key in keys if (match := _SIGNATURE.fullmatch(key))}
        if not found:
            raise UserError(
                f"{name}: a .tflite file, but not one of this project's classifiers: it has no "
                f"signature named {SIGNATURE.format('<number>')} (it has: "
                f"{', '.join(keys) or 'none'})."
            )
        try:
            with quiet.native_output():
                self._runners: dict[int, Any] = {
                    length: self._interpreter.get_signature_runner(key)
                    for length, key in sorted(found.items())
                }
                # LiteRT prepares a signature, and speaks, when it is first run.
                shapes = {
                    np.shape(
                        runner(**{name: np.zeros((1, length), np.int32) for name in INPUTS})[
                            "logits"
                        ]
                    )
                    for length, runner in self._runners.items()
                }
            if {len(shape) for shape in shapes} != {2} or len(shapes) > 1:
                raise ValueError(f"its logits have the shapes {sorted(shapes)}")
        except (ValueError, RuntimeError, KeyError) as error:
            raise UserError(
                f"{name}: cannot be run by LiteRT ({str(error).splitlines()[0]})."
            ) from None
        self._name = name
        ((_, self.classes),) = shapes

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
        return tuple(self._runners)

    def predict(self, features: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the logits, float32 [batch, classes], of int32 [batch, length] features.

        The file takes one example at a time. `length` must be one of `lengths`.

        Raises:
          UserError: LiteRT fails on them, as where the file has no embedding for an id.
        """
        rows = next(iter(features.values()))
        runner = self._runners[rows.shape[1]]
        try:
            return np.concatenate(
                [
                    runner(**{name: value[i : i + 1] for name, value in features.items()})["logits"]
                    for i in range(len(rows))
                ]
            )
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"{self._name}: cannot be run by LiteRT ({str(error).splitlines()[0]}). The file "
                "is damaged; copy it again."
            ) from None


def pieces(model: bytes, threads: int = THREADS) -> int:
    """Count the delegated pieces that LiteRT cuts the graph of a file with one signature into.

    Between two pieces the data leaves XNNPACK, and what lies there runs in slower kernels.
    """
    interpreter = Interpreter(model_content=model, num_threads=threads)
    with quiet.native_output():
        interpreter.allocate_tensors()
    details = interpreter._get_ops_details()  # LiteRT has no public way to ask.
    return sum(operator["op_name"] == "DELEGATE" for operator in details)
