"""Thresholds that are chosen when the training is over, on training examples that it never saw."""

from __future__ import annotations

import dataclasses

from absl import logging

from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import batching
from bert_glue_tf.data.settings import DataSettings
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import evaluator, operating_point
from bert_glue_tf.evaluation.evaluator import EVALUATION_BATCH
from bert_glue_tf.evaluation.operating_point import OperatingPoint
from bert_glue_tf.models import classifiers
from bert_glue_tf.training import task_settings
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.loop import Trained
from bert_glue_tf.training.network import Network


def choose(
    settings: DataSettings, inputs: Inputs, network: Network, trained: Trained
) -> tuple[TaskSpec, tuple[OperatingPoint, ...]]:
    """Return the task with its problem's threshold, and the operating points that are asked for.

    Args:
      settings, inputs, network: of the run.
      trained: the classifier.
    """
    task = inputs.task
    if not task_settings.needs_threshold(settings, task):
        return task, ()
    assert inputs.held_out is not None
    with doing(f"choosing a threshold on {len(inputs.held_out):,} training examples held out"):
        split = batching.tokenize(
            inputs.preprocessor(network.backbone.preprocessing), "held out", inputs.held_out
        )
        layout = trained.scoring.layout.holding([split.tokens.lengths], EVALUATION_BATCH)
        predict_fn = classifiers.predict_fn(trained.model, layout)
        logits = evaluator.predict(predict_fn, split.tokens, EVALUATION_BATCH, layout)
    if len(task.problem.labels) == 2 and not task.problem.fits_threshold:
        logging.info("precision and recall are those of the label %s", task.problem.labels[1])
    problem = task.problem.fitted(split.labels, logits)
    points = []
    if settings.at_recall:
        pairs = problem.positives(split.labels, logits)
        points.append(operating_point.at_recall(*pairs, settings.at_recall))
    if settings.at_precision:
        pairs = problem.positives(split.labels, logits)
        points.append(operating_point.at_precision(*pairs, settings.at_precision))
    return dataclasses.replace(task, problem=problem), tuple(points)
