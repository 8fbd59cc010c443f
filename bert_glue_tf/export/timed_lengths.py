"""The lengths at which files of many runs are timed: times at different ones do not compare."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from bert_glue_tf.core.errors import UserError

_NAMED = 5  # Files in a message; the others are counted.


@dataclasses.dataclass(frozen=True)
class Held:
    """The lengths that a file has.

    Attributes:
      path: of the file, for messages.
      subject: task, source of the data and encoder: within them files are compared.
      lengths: in word pieces, ascending.
    """

    path: str
    subject: tuple[str, ...]
    lengths: Sequence[int]


def choose(asked: Sequence[int], files: Sequence[Held]) -> list[list[int]]:
    """Return the lengths to time each file at.

    Args:
      asked: lengths; none stands for the longest that all files have, or, where there is none, all
        of a subject.
      files: to be timed.

    Raises:
      UserError: a file lacks one of them; the message names it and the lengths that it has.
    """
    common = _common(files)
    for length in asked:
        for file in files:
            if length not in file.lengths:
                raise UserError(
                    f"--at_length={length}: {file.path} runs at {_listed(file.lengths)} only. All "
                    "files run at: "
                    f"{_listed(common) or 'no length together; leave some out (--runs)'}."
                )
    if asked or common:
        return [list(asked) or common[-1:]] * len(files)
    by_subject: dict[tuple[str, ...], list[int]] = {}
    for subject in dict.fromkeys(file.subject for file in files):
        some = [file for file in files if file.subject == subject]
        by_subject[subject] = _common(some)[-1:]
        if not by_subject[subject]:
            raise _without_common(some)
    return [by_subject[file.subject] for file in files]


def _common(files: Sequence[Held]) -> list[int]:
    """Return the lengths that all files have, ascending."""
    return sorted(set.intersection(*(set(file.lengths) for file in files)))


def _without_common(files: Sequence[Held]) -> UserError:
    """Return the error for files that are compared and run at no length together."""
    shown = [f"{file.path} at {_listed(file.lengths)}" for file in files]
    return UserError(
        "--runs: there is no length at which all files run, and times at different ones do "
        f"not compare: {'; '.join(shown[:_NAMED])}{'; ...' if len(shown) > _NAMED else ''}. "
        "Give runs whose files share a length, or export them again with --seq_lengths."
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
