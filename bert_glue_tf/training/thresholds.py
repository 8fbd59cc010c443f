"""Thresholds that are chosen on training examples that the training never saw."""

from __future__ import annotations

from typing import Any

from absl import logging

from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import batching
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.settings import DataSettings
from bert_glue_tf.evaluation import operating_point
from bert_glue_tf.evaluation.evaluator import PredictFn
from bert_glue_tf.evaluation.operating_point import OperatingPoint
from bert_glue_tf.training import task_settings
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.scoring import Scoring

HELD_OUT = "held-out"  # The name of the examples, as splits have one.


def held_out(settings: DataSettings, inputs: Inputs, preprocessing: Any) -> Split | None:
    """Return the examples that a threshold is chosen on, in word pieces; None where none is.

    Args:
      settings, inputs: of the run.
      preprocessing: SavedModel of the encoder.
    """
    if not task_settings.needs_threshold(settings, inputs.task):
        return None
    assert inputs.held_out is not None
    preprocessor = inputs.preprocessor(preprocessing)
    modality = inputs.task.modality
    split = batching.tokenize(preprocessor, HELD_OUT, inputs.held_out, modality=modality)
    split.tell_cut(inputs.seq_length)
    return split


def choose(
    settings: DataSettings, scoring: Scoring, predict_fn: PredictFn
) -> tuple[Scoring, tuple[OperatingPoint, ...]]:
    """Return the scoring with its problem's threshold, and the operating points asked for.

    Args:
      settings: of the run.
      scoring: of the run.
      predict_fn: the trained classifier.
    """
    split = scoring.held_out
    if split is None:
        return scoring, ()
    with doing(f"choosing a threshold on {len(split):,} training examples held out"):
        logits = scoring.held_out_logits(predict_fn)
    fitted = scoring.fitted(logits)
    problem = fitted.task.problem
    if len(problem.labels) == 2 and not problem.fits_threshold:
        logging.info("precision and recall are those of the label %s", problem.labels[1])
    points = []
    if settings.at_recall:
        pairs = problem.positives(split.labels, logits)
        points.append(operating_point.at_recall(*pairs, settings.at_recall))
    if settings.at_precision:
        pairs = problem.positives(split.labels, logits)
        points.append(operating_point.at_precision(*pairs, settings.at_precision))
    return fitted, tuple(points)
