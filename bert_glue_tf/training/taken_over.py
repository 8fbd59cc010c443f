"""A classifier that another program has fine-tuned, as a finished run: nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from absl import logging

from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.data.batching import Batching
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.models import classifiers, heads
from bert_glue_tf.models.backbone import ClassifierWeights
from bert_glue_tf.models.foreign_heads import ForeignHead
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import callbacks, devices, inputs, laying_out, record, thresholds
from bert_glue_tf.training import network as networks
from bert_glue_tf.training import plan as planning
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.job import Job
from bert_glue_tf.training.loop import Trained
from bert_glue_tf.training.network import Network
from bert_glue_tf.training.plan import Plan
from bert_glue_tf.training.scoring import Scoring
from bert_glue_tf.training.throughput import Throughput


def score(
    config: ExperimentConfig,
    folder: RunFolder,
    head: ForeignHead,
    labels: Sequence[str] = (),
    examples: Mapping[str, Examples] | None = None,
) -> ExperimentResult:
    """Score a classifier as it came, and write it as the finished run of a folder.

    Args:
      config: the settings: the classifier's folder as the encoder, and no epochs.
      folder: the run's, claimed for `config`.
      head: of the classifier.
      labels: value of --labels; see `ForeignHead.for_task`.
      examples: what `readers.load_for_training` gave, if the caller has read it already.

    Raises:
      UserError: the folder or the data cannot be used, or the labels are not the task's.
    """
    start_time = time.perf_counter()
    job = Job(config, folder, devices.build("cpu"))
    data = inputs.read(job, examples)
    kernel, bias = head.for_task(data.task, labels)
    steps = _plan(job)
    network = _network(job, data, steps, (kernel, bias))
    network.description["classifier"] = {
        "origin": head.origin,
        "outputs": list(labels or head.names),
    }
    split, validation = data.tokenize(network.backbone.preprocessing)
    scoring = Scoring(
        data.task,
        validation,
        laying_out.for_scoring(config, network.backbone),
        thresholds.held_out(config, data, network.backbone.preprocessing),
    )
    trained = Trained(
        model=network.model,
        predict_fn=scoring.predict_fn(network.model),
        removed=steps.method.measure(network.model),
        scoring=scoring,
        timing=callbacks.Timing([], start_time),
        throughput=Throughput(len(split), config.batch_size),
        positions_used=float("nan"),
    )
    return record.write(job, data, steps, network, trained)


def _plan(job: Job) -> Plan:
    """Return the plan of a run without a step."""
    config = job.config
    method = planning.build_method(job)
    return Plan(
        method=method,
        context=PruningContext.from_config(config, 0, method.waits),
        batching=Batching(config.batch_size, config.seed),
        epochs=0,
    )


def _network(job: Job, data: Inputs, plan: Plan, head: ClassifierWeights) -> Network:
    """Return the classifier: the folder's encoder, and its head on it."""
    backbone = networks.load_encoder(job.config, plan.method)
    job.folder.require_same_inputs({**data.provenance, "encoder": backbone.provenance})
    logging.info("nothing is trained: the classifier is scored as it came")
    model = classifiers.build_classifier(
        backbone.layer, data.task, dropout=job.config.dropout, seed=job.config.seed
    )
    heads.set_weights(model, head)
    description = {key: told for key, told in backbone.record().items() if key != "unused_head"}
    whole = classifiers.count_weights(model.variables)
    return Network(backbone, model, "float32", description, backbone.widths(), whole)
