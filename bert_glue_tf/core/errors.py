"""The one exception that stands for a user's mistake, and the reasons of others in one line."""

from __future__ import annotations

import re

# How lines begin that Keras and TensorFlow put around an exception's own message.
_NO_REASON = (
    "Exception encountered when calling",
    "Graph execution error",
    "Detected at node",
    "<stack traces",
    "[[{{node",
    'File "',
)


class UserError(Exception):
    """A mistake that the user can mend: shown as its message alone, exit status 2.

    The message names the bad value, where it stands (flag, or file and line) and
    what would be good. Commands print it without a traceback; library users see
    an ordinary exception.
    """


def reason_of(error: BaseException) -> str:
    """Return type and cause of an exception of TensorFlow or Keras in at most 200 letters.

    The cause stands between Keras's line on the layer that was called and the list of its
    arguments; a traceback inside the message ends with it.
    """
    text = str(error).split("Call arguments received by layer")[0]
    lines = [re.sub(r"^\{\{.*?\}\} ", "", line.strip()) for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith(_NO_REASON)]
    if not lines:
        return type(error).__name__
    line = lines[-1] if "in user code:" in lines else lines[0]
    name = f"{type(error).__name__}: "
    return ((name if name not in line else "") + line)[:200]
