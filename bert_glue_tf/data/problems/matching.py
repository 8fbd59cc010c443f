"""The outputs of one model among those of another, by their names and never by their places."""

from __future__ import annotations

from bert_glue_tf.data.problems.base import Problem, listed


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
    if reason := student.why_not_on_scale(teacher):
        raise ValueError(reason)
    names = teacher.output_names
    if strange := sorted(set(names) ^ set(student.output_names)):
        raise ValueError(f"only one of the two has the label(s) {listed(strange)}")
    return [names.index(name) for name in student.output_names]
