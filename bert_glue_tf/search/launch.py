"""The look at a run before a search, without TensorFlow."""

from __future__ import annotations

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import families
from bert_glue_tf.runs.finished import Run


def check(run: Run) -> None:
    """Refuse a run whose encoder does not show its heads, neurons and word pieces.

    Args:
      run: a finished one.

    Raises:
      UserError: the run tags words, or the encoder is held as a SavedModel, or is of a family
        without such blocks; the message says why, and what works with it.
    """
    if run.task.problem.tags_words:
        raise UserError(
            f"--run={run.path}: tags words, and blocks are searched and cut where a text has one "
            "answer. Good: prune it in its training (--pruning_method), and quantize its file "
            "(python -m bert_glue_tf.export_tflite --recipes=dynamic_int8,int4)."
        )
    encoder = run.result.encoder
    family = str(encoder.get("family"))
    if families.get(family).shows_blocks:
        return
    if told := encoder.get("family_reason"):
        reason = f"held as a SavedModel ({told})"
    else:
        reason = f"of the family {family}, which has none that can be looked into"
    raise UserError(
        f"--run={run.path}: heads, neurons and word pieces cannot be cut out, since the encoder "
        f"{encoder.get('name')} is {reason}. What works with it: files in "
        "fewer bits (python -m bert_glue_tf.export_tflite --recipes=dynamic_int8,int8). Good for a "
        "search: a run of a standard BERT, DistilBERT or ELECTRA."
    )
