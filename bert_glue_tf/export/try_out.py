"""A .tflite file of unknown origin, tried out in a process of its own.

As a program (`python -m bert_glue_tf.export.try_out`) it is that process: it reads a file from
standard input, says that it has started, and loads and runs the file.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import litert

# BERT-large at 512 takes some seconds; a file whose graph goes in circles takes for ever.
TRY_OUT_SECONDS = 120.0
_STARTED = "started"


def try_out(model: bytes, name: str, seconds: float = TRY_OUT_SECONDS) -> None:
    """Load and run a file of unknown origin in a process of its own, for LiteRT may crash.

    LiteRT verifies the layout of a file, but not all of its sense: an operator without the input
    that its kernel reads ends the process with a segmentation fault. Faults that LiteRT notices
    are no crash: `LiteModel` tells of them. A file that could not be tried is refused.

    Args:
      model: the file's content.
      name: of the file, for messages.
      seconds: that loading and running it may take.

    Raises:
      UserError: the process could not be started, has failed or crashed, or has not ended in time.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__],
            input=model,
            capture_output=True,
            timeout=seconds,
            env=litert.environment(),
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


def main() -> None:
    """Load and run the file on standard input; the caller looks only for a crash."""
    print(_STARTED, flush=True)
    try:
        litert.LiteModel(sys.stdin.buffer.read())
    except UserError:
        pass  # Noticed, and told of when the caller loads the file itself.


if __name__ == "__main__":
    main()
