"""A .tflite file on this machine: loaded, run and measured with LiteRT, without TensorFlow."""

from __future__ import annotations

import pathlib
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from bert_glue_tf.core import quiet
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.export import flatbuffer

# One signature for each length that the file was exported for.
SIGNATURE = "length_{}"
_SIGNATURE = re.compile(r"length_(\d+)")
DEFAULT_THREADS = 2
# BERT-large at 512 takes some seconds; a file whose graph goes in circles takes for ever.
TRY_OUT_SECONDS = 120.0
_STARTED = "started"
# The arguments are where this process finds its modules, which an environment need not tell.
_TRY_OUT = f"""
import sys
sys.path[:] = sys.argv[1:]
from bert_glue_tf.core import errors
from bert_glue_tf.export import litert
print("{_STARTED}", flush=True)
try:
    litert.LiteModel(sys.stdin.buffer.read())
except errors.UserError:
    pass
"""


def try_out(model: bytes, name: str, seconds: float = TRY_OUT_SECONDS) -> None:
    """Loads and runs a file of unknown origin in a process of its own, for LiteRT may crash.

    LiteRT verifies the layout of a file, but not all of its sense: an operator without the input
    that its kernel reads ends the process with a segmentation fault. What is wrong with the file
    and is noticed, `LiteModel` says. A file that could not be tried is none that was.

    Args:
      model: the file's content.
      name: of the file, for messages.
      seconds: that loading and running it may take.

    Raises:
      UserError: the process could not be started, has failed or crashed, or has not ended in time.
    """
    package = str(pathlib.Path(__file__).parent.parent)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _TRY_OUT, package, *sys.path],
            input=model,
            capture_output=True,
            timeout=seconds,
        )
    except OSError as error:
        raise _not_tried(name, f"{sys.executable!r}: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise UserError(
            f"{name}: damaged, or not made for this: LiteRT has not run it once in {seconds:g} "
            "seconds. Export it again."
        ) from None
    is_started = done.stdout.startswith(_STARTED.encode())
    if is_started and done.returncode < 0:
        raise UserError(
            f"{name}: damaged: LiteRT crashes on it ({signal.Signals(-done.returncode).name}). "
            "Copy it again from where it was exported, or export it again."
        )
    if not is_started or done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        raise _not_tried(name, lines[-1] if lines else f"status {done.returncode}")


def _not_tried(name: str, reason: str) -> UserError:
    return UserError(
        f"{name}: not run. LiteRT may crash on a file that no SHA256SUMS beside it names, and the "
        f"process that was to try it out has failed ({textwrap.shorten(reason, 160)}). Copy the "
        "whole folder of the export, or install this project's packages anew."
    )


class LiteModel:
    """A classifier in a .tflite file, with a signature for each of its lengths.

    Args:
      model: the file's content.
      threads: for LiteRT.
      name: of the file, for messages.
      delegate: whether XNNPACK takes over what it can, as is LiteRT's default; else all
        operators run in LiteRT's own kernels.

    Attributes:
      classes: how many logits an answer has.

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


def pieces(model: bytes, threads: int = DEFAULT_THREADS) -> int:
    """Into how many delegated pieces LiteRT cuts the graph of a file with one signature.

    Between two pieces the data leaves XNNPACK, and what lies there runs in slower kernels.
    """
    interpreter = Interpreter(model_content=model, num_threads=threads)
    with quiet.native_output():
        interpreter.allocate_tensors()
    details = interpreter._get_ops_details()  # LiteRT has no public way to ask.
    return sum(operator["op_name"] == "DELEGATE" for operator in details)
