"""The outputs of one model among those of another, by their names and never by their places."""

from __future__ import annotations

from bert_glue_tf.data.problems.answers import listed
from bert_glue_tf.data.problems.base import Problem

# The smallest and the largest label of two files of one scale may differ by this part of the range.
_ROOM = 0.1


def outputs_of(student: Problem, teacher: Problem) -> list[int]:
    """Return, for each output of a student in its order, the place of the teacher's of that name.

    Args:
      student: the problem of the model that learns.
      teacher: the problem of the model that it learns from.

    Raises:
      ValueError: the teacher's answers are of another kind or scale, or have other labels.
    """
    if type(student) is not type(teacher):
        raise ValueError(f"it answers with {teacher.title}, and {student.title} is asked for")
    _require_same_scale(student, teacher)
    names = teacher.output_names
    if strange := sorted(set(names) ^ set(student.output_names)):
        raise ValueError(f"only one of the two has the label(s) {listed(strange)}")
    return [names.index(name) for name in student.output_names]


def _require_same_scale(student: Problem, teacher: Problem) -> None:
    """Refuse numbers whose smallest or largest differs by a tenth of the wider range.

    Raises:
      ValueError: they do.
    """
    if student.scale is None or teacher.scale is None:
        return
    (low, high), (lowest, highest) = student.scale, teacher.scale
    widest = max(high - low, highest - lowest)
    if max(abs(low - lowest), abs(high - highest)) > _ROOM * widest:
        raise ValueError(
            f"its numbers are from {lowest:g} to {highest:g} in training, and those that are "
            f"asked for from {low:g} to {high:g}"
        )
