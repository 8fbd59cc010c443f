"""MediaPipe's own client, asked in the Python that has it."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import subprocess
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy
from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
else:
    np = lazy.module("numpy")  # Commands import this module with their flags.

# Where `make clients` builds it.
USUAL_PYTHON = pathlib.Path(".venv-clients/bin/python")
_SECONDS = 3600  # For all texts.
_GOOD = (
    "Give a Python that has the package mediapipe, as .venv-clients/bin/python of 'make clients'."
)


@dataclasses.dataclass(frozen=True)
class Answers:
    """The answers of the client.

    Attributes:
      version: of MediaPipe.
      probabilities: float32 [n, classes], of each text.
    """

    version: str
    probabilities: np.ndarray


def python(given: str) -> pathlib.Path | None:
    """Return the Python that has MediaPipe; None where there is none.

    Args:
      given: value of --client_python; empty for the usual one.

    Raises:
      UserError: there is no such program.
    """
    path = pathlib.Path(given or USUAL_PYTHON).expanduser()
    if os.access(path, os.X_OK) and path.is_file():
        return path.absolute()
    if given:
        raise UserError(f"--client_python={given}: no such program. {_GOOD}")
    return None


def ask(
    program: pathlib.Path, file: pathlib.Path, labels: Sequence[str], texts: Sequence[str]
) -> Answers:
    """Let MediaPipe's TextClassifier answer texts.

    Args:
      program: a Python that has MediaPipe.
      file: that it is to load.
      labels: of the file, in their order.
      texts: n texts.

    Raises:
      UserError: the program has no MediaPipe, or it refuses the file.
    """
    written = _output(program, [file], texts)
    try:
        version, *answers = map(json.loads, written.splitlines())
        rows = [[float(answer[label]) for label in labels] for answer in answers]
        probabilities = np.array(rows, np.float32).reshape(len(texts), len(labels))
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{_refused(program)} every text, or not with its labels ({error}). {_GOOD}"
        ) from None
    return Answers(str(version), probabilities)


def require(program: pathlib.Path) -> None:
    """Check that a Python has MediaPipe, which takes the seconds of its import.

    Raises:
      UserError: it has none.
    """
    _output(program, [], [])


def _output(program: pathlib.Path, arguments: Sequence[Any], texts: Sequence[str]) -> str:
    """Return the output of `ask.py` in another Python.

    Raises:
      UserError: it has failed.
    """
    try:
        done = subprocess.run(
            # Apart from this project's modules, and from what PYTHONPATH names.
            [program, "-I", pathlib.Path(__file__).with_name("ask.py"), *arguments],
            input="".join(json.dumps(text) + "\n" for text in texts),
            capture_output=True,
            text=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"{_refused(program)} ({error}). {_GOOD}") from None
    if done.returncode:
        reason = next(iter(reversed(done.stderr.strip().splitlines())), f"{done.returncode}")
        raise UserError(f"{_refused(program)} ({reason[:300]}). {_GOOD}")
    return done.stdout


def _refused(program: pathlib.Path) -> str:
    return f"--client_python={program}: MediaPipe has not answered"
