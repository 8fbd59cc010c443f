"""Step 5 of a run: the trained classifier scored, saved, and described in the run's record."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bert_glue_tf.compression import names
from bert_glue_tf.core import records
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import problems, tasks
from bert_glue_tf.evaluation import collapse, cost, predictions
from bert_glue_tf.evaluation.evaluator import Evaluation
from bert_glue_tf.models import classifiers, saving
from bert_glue_tf.runs import versions
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.training import hparams, scoring, thresholds, usage
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.job import Job
from bert_glue_tf.training.loop import Trained
from bert_glue_tf.training.network import Network
from bert_glue_tf.training.plan import Plan


def write(
    job: Job, inputs: Inputs, plan: Plan, network: Network, trained: Trained
) -> ExperimentResult:
    """Score and save the trained classifier, and add the run's record to its folder.

    Raises:
      UserError: the run's folder has vanished.
    """
    folder = job.folder
    folder.require_present()
    scored = trained.scoring.of(trained.model)
    scored, points = thresholds.choose(job.config, scored, trained.predict_fn)
    inputs = dataclasses.replace(inputs, task=scored.task)
    trained = dataclasses.replace(trained, scoring=scored)
    with doing("scoring the trained model"):
        evaluations = scored.evaluate(trained.predict_fn)
        intervals = scoring.intervals(inputs.task, trained.scoring.splits, evaluations)
        warnings, marked = _write_predictions(job, trained, evaluations, intervals)
    with doing("saving the model"):
        reading = saving.Reading(job.config.seq_length, job.config.truncation)
        saving.save(trained.model, network.backbone, inputs.task, folder.model, reading)
    # Half a minute for BERT-base.
    with doing("measuring its size, plain and gzipped"):
        size = cost.size_on_disk(folder.model)
    no_pruning = job.config.pruning_method == names.NO_PRUNING
    result = ExperimentResult(
        config=job.config.to_json(),
        data=_data(inputs, trained),
        encoder=network.description,
        pruning={} if no_pruning else {**plan.context.to_json(), **plan.method.record()},
        metrics=scoring.flatten(evaluations)
        | scoring.at_points(scored.task, scored.splits, points, evaluations),
        thresholds={  # A diverged model has none.
            one.name: one.threshold for one in points if math.isfinite(one.threshold)
        },
        intervals=intervals,
        sparsity=trained.removed.sparsities,
        parameters={
            **classifiers.count_parameters(trained.model),
            "whole": network.whole,
            "pruned": trained.removed.pruned,
            "prunable": trained.removed.prunable,
        },
        bytes=size,
        speed=_speed(trained, evaluations),
        peak_memory_bytes=cost.peak_memory_bytes(),
        environment=_environment(job, network),
        warnings=warnings,
        widths=_widths(network, trained),
        own_task=tasks.describe(inputs.task),
        epoch=trained.epoch,
        teacher=network.lesson.record() if network.lesson else {},
        size=trained.size,
        sizes=trained.sizes,
        **dataclasses.asdict(marked),
    )
    records.append(folder.results_file, result)
    hparams.write(folder, result)
    folder.remove_states()  # The optimizer's is twice as large as the model.
    return result


def _data(inputs: Inputs, trained: Trained) -> dict[str, dict[str, Any]]:
    """Return the provenance of each split; of those that are scored, how many texts were cut."""
    cut = {split.name: {"cut": split.tokens.cut} for split in trained.scoring.splits.values()}
    return {
        split: {**read.provenance, **cut.get(split, {})} for split, read in inputs.examples.items()
    }


def _write_predictions(
    job: Job,
    trained: Trained,
    evaluations: Mapping[str, Evaluation],
    intervals: scoring.Intervals,
) -> tuple[tuple[str, ...], collapse.Marked]:
    """Write the predictions of every validation split, and return what warns of their scores."""
    task, warnings, verdicts = trained.scoring.task, [], []
    for suffix, done in evaluations.items():
        split = trained.scoring.splits[suffix]
        path = job.folder.predictions_file(split.name)
        predictions.write(path, task, split.labels, done.logits)
        if task.own is not None and not problems.diverged(done.logits):
            found = task.problem.per_label(split.labels, task.problem.decode(done.logits))
            predictions.write_labels(job.folder.labels_file(split.name), found)
        known = intervals.get(f"{task.primary_metric}{suffix}")
        verdict = collapse.judge(task, split.labels, done.logits, known)
        verdicts.append(verdict)
        if verdict:
            # Not a line of the log as well: whoever shows the record shows it.
            warnings.append(collapse.warning(split.name, verdict))
    return tuple(warnings), collapse.marked(verdicts)


def _speed(trained: Trained, evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """Return examples a second in training and evaluation, the seconds of the whole run, and the
    share of the training's positions that hold a word piece."""
    return {
        "train_examples_per_second": trained.timing.examples_per_second(trained.throughput),
        "evaluation_examples_per_second": float(
            np.mean([done.examples_per_second for done in evaluations.values()])
        ),
        "seconds": trained.timing.run_seconds(),
        usage.COLUMN: trained.positions_used,
    }


def _widths(network: Network, trained: Trained) -> dict[str, list[dict[str, int]]]:
    """Return the widths of the encoder's layers before and after the run, where it shows them."""
    after = network.backbone.widths(trained.model)
    return {"before": network.widths, "after": after} if after else {}


def _environment(job: Job, network: Network) -> dict[str, Any]:
    """Return where and with what the run was done."""
    devices = [device.name for device in tf.config.list_logical_devices()]
    return {
        **versions.environment(devices),
        "replicas": job.strategy.num_replicas_in_sync,
        "precision": network.policy,
    }
