"""A .tflite file on this machine: loaded, run and measured with LiteRT, without TensorFlow."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from bert_glue_tf import flatbuffer, quiet
from bert_glue_tf.errors import UserError
from bert_glue_tf.native import INPUTS

# One signature for each length that the file was exported for.
SIGNATURE = "length_{}"
_SIGNATURE = re.compile(r"length_(\d+)")
DEFAULT_THREADS = 2


class LiteModel:
    """A classifier in a .tflite file, with a signature for each of its lengths.

    Args:
      model: the file's content.
      threads: for LiteRT.
      name: of the file, for messages.
      delegate: whether XNNPACK takes over what it can, as is LiteRT's default; else all
        operators run in LiteRT's own kernels.

    Raises:
      UserError: no .tflite file, or not one of this project's classifiers.
    """

    def __init__(
        self,
        model: bytes,
        threads: int = DEFAULT_THREADS,
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
                for length, runner in self._runners.items():
                    runner(**{name: np.zeros((1, length), np.int32) for name in INPUTS})
        except (ValueError, RuntimeError) as error:
            raise UserError(
                f"{name}: cannot be run by LiteRT ({str(error).splitlines()[0]})."
            ) from None

    @classmethod
    def load(cls, path: pathlib.Path, threads: int = DEFAULT_THREADS) -> LiteModel:
        """Reads a file.

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
        """Logits, float32 [batch, classes], of int32 [batch, length] features.

        The file takes one example at a time. `length` must be one of `lengths`.
        """
        rows = next(iter(features.values()))
        runner = self._runners[rows.shape[1]]
        return np.concatenate(
            [
                runner(**{name: value[i : i + 1] for name, value in features.items()})["logits"]
                for i in range(len(rows))
            ]
        )


def pieces(model: bytes, threads: int = DEFAULT_THREADS) -> int:
    """Into how many delegated pieces LiteRT cuts the graph of a file with one signature.

    Between two pieces the data leaves XNNPACK, and what lies there runs in slower kernels.
    """
    interpreter = Interpreter(model_content=model, num_threads=threads)
    with quiet.native_output():
        interpreter.allocate_tensors()
    details = interpreter._get_ops_details()  # LiteRT has no public way to ask.
    return sum(operator["op_name"] == "DELEGATE" for operator in details)
