"""Settings that not every problem has a use for: weights of classes, thresholds, examples held out.

Nothing here needs TensorFlow, so that a wrong one is answered before a folder is claimed.
"""

from __future__ import annotations

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.runs.config import ExperimentConfig

HELD_OUT = 0.1  # Of the training examples for a threshold, where the user gives no number.


def check(settings: ExperimentConfig, task: TaskSpec) -> None:
    """Refuse what the task's problem does not have.

    Args:
      settings: of the run.
      task: of the run.

    Raises:
      UserError: weights of classes where there are none, or precision and recall of a problem that
        has no positive answers.
    """
    if settings.class_weights != "none" and not task.problem.is_right_or_wrong:
        raise UserError(
            f"--class_weights={settings.class_weights}: {task.name} has {task.problem.title}, and "
            "weights are for classes. Good: --class_weights=none."
        )
    for name in ("at_recall", "at_precision"):
        if getattr(settings, name) and not task.problem.has_positives:
            raise UserError(
                f"--{name}={getattr(settings, name)}: {task.name} has {task.problem.title}, and "
                "none of them is the positive one. Good: a problem of two classes or of several "
                "labels."
            )


def held_out_of(settings: ExperimentConfig, task: TaskSpec, examples: int) -> int:
    """Return how many training examples are kept apart: what --held_out says, or a tenth.

    Args:
      settings: of the run.
      task: of the run.
      examples: of the training split.
    """
    needs_some = settings.at_recall or settings.at_precision or task.problem.fits_threshold
    if settings.held_out or not needs_some:
        return settings.held_out
    return max(1, round(HELD_OUT * examples))
