"""The lengths that a file can run at."""

from __future__ import annotations

import re

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import encoders


def seq_lengths(values: list[str], longest: int) -> tuple[int, ...]:
    """Return the lengths to export for, ascending; the run's own stands for any above it.

    Args:
      values: of --seq_lengths.
      longest: --seq_length of the run.

    Raises:
      UserError: a value is no length that an encoder can have.
    """
    low, high = encoders.MIN_SEQ_LENGTH, encoders.MAX_SEQ_LENGTH
    for value in values:
        # Four digits at most: Python refuses to read thousands of them.
        if not re.fullmatch("[0-9]{1,4}", value) or not low <= int(value) <= high:
            raise UserError(
                f"--seq_lengths={','.join(values)}: {value!r} is no length. "
                f"Give whole numbers from {low} to {high}, separated by commas."
            )
    # The run has seen no sentence longer than that.
    return tuple(sorted({min(int(value), longest) for value in values})) or (longest,)
