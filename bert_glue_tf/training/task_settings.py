"""Settings that not every problem has a use for: weights of classes, thresholds, examples held out.

Nothing here needs TensorFlow, so that a wrong one is answered before a folder is claimed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.settings import DataSettings
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.models import encoders
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED
from bert_glue_tf.models.word_heads.names import CRF, PLAIN
from bert_glue_tf.runs.config import ExperimentConfig

if TYPE_CHECKING:
    from bert_glue_tf.data.examples import Examples

HELD_OUT = 0.1  # Of the training examples for a threshold, where the user gives no number.


def check(settings: ExperimentConfig, task: TaskSpec) -> None:
    """Refuse what the task's problem does not have.

    Args:
      settings: of the run.
      task: of the run.

    Raises:
      UserError: weights of classes where there are none, precision and recall of a problem that
        has no positive answers, or the inside of a teacher where words are tagged.
    """
    task.modality.check_settings(settings.given(), task.name)
    encoders.check_examples(
        encoders.resolve(settings.encoder, settings.preprocessing), task.modality
    )
    if settings.class_weights != "none" and not task.problem.is_right_or_wrong:
        raise UserError(
            f"--class_weights={settings.class_weights}: {task.name} has {task.problem.title}, and "
            "weights are for classes. Good: --class_weights=none."
        )
    if task.problem.tags_words:
        _check_head(settings)
    for name in ("distill_layers", "distill_attention"):
        if getattr(settings, name) and task.problem.tags_words:
            raise UserError(
                f"--{name}={getattr(settings, name)}: {task.name} tags words, of which a teacher's "
                "answers are learned, and not the inside of its encoder. Good: leave the flag out."
            )
    for name in ("at_recall", "at_precision"):
        if getattr(settings, name) and not task.problem.has_positives:
            raise UserError(
                f"--{name}={getattr(settings, name)}: {task.name} has {task.problem.title}, and "
                "none of them is the positive one. Good: a problem of two classes or of several "
                "labels."
            )


def _check_head(settings: ExperimentConfig) -> None:
    """Refuse what a head of words cannot be trained with.

    Raises:
      UserError: pieces of words in a chain of words, or the rounding of a quantized file, which a
        head with weights of its own does not learn.
    """
    head = f"--tagging_head={settings.tagging_head}"
    if settings.tagging_head == CRF and settings.tagged_pieces != "first":
        raise UserError(
            f"{head} --tagged_pieces={settings.tagged_pieces}: its chain goes over words, and so "
            "over the first piece of each. Good: --tagged_pieces=first, or another head."
        )
    if settings.tagging_head not in PLAIN and settings.quantize_aware != NOT_QUANTIZED:
        raise UserError(
            f"{head} --quantize_aware={settings.quantize_aware}: the training would not round the "
            f"head's own weights, as the file does. Good: --tagging_head={' or '.join(PLAIN)}, or "
            "a file of a recipe without that training."
        )


def check_held_out(settings: ExperimentConfig, task: TaskSpec, held_out: Examples | None) -> None:
    """Refuse held-out examples on which no threshold can be chosen.

    Args:
      settings: of the run.
      task: of the run.
      held_out: None for none.

    Raises:
      UserError: a threshold is needed, and all of them are positive, or none.
    """
    if held_out is None or held_out.labels is None or not needs_threshold(settings, task):
        return
    import numpy as np  # Here, since a wrong flag is answered without it.

    problem = task.problem
    truths, _ = problem.positives(held_out.labels, np.zeros((len(held_out), problem.width)))
    if truths.all() or not truths.any():
        found = "all" if truths.any() else "none"
        raise UserError(
            f"--held_out={len(held_out)}: {found} of these training examples, on which a threshold "
            "is chosen, have a positive label. Good: a larger number."
        )


def needs_threshold(settings: DataSettings, task: TaskSpec) -> bool:
    """Tell whether a run chooses a threshold on held-out training examples."""
    return bool(settings.at_recall or settings.at_precision or task.problem.fits_threshold)


def held_out_of(settings: ExperimentConfig, task: TaskSpec, examples: int) -> int:
    """Return how many training examples are kept apart: what --held_out says, or a tenth.

    Args:
      settings: of the run.
      task: of the run.
      examples: of the training split.
    """
    if settings.held_out or not needs_threshold(settings, task):
        return settings.held_out
    return max(1, round(HELD_OUT * examples))
