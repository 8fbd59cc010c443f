"""The one orchestrator: settings in, a trained and measured model and its record out.

A run is five steps, with a small frozen object between each:

    Job (settings, folder, devices) -> Inputs -> Plan -> Network -> Trained -> record
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from bert_glue_tf.compression import registry
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.models import probing
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import (
    devices,
    inputs,
    loop,
    needed,
    network,
    plan,
    sized,
    starting_point,
)
from bert_glue_tf.training.job import Job


def train_and_evaluate(
    config: ExperimentConfig,
    folder: RunFolder,
    examples: Mapping[str, Examples] | None = None,
    tpu: str = devices.LOCAL_TPU,
) -> ExperimentResult:
    """Run the experiment in its folder, from its last saved state if there is one.

    A finished run is not run again: its record is returned. A run that was interrupted goes
    on from the last state that was saved, and ends as if it had not been.

    Args:
      config: the settings.
      folder: the run's folder, claimed for `config`.
      examples: what `readers.load_for_training` gave, if the caller has read it already.
      tpu: value of --tpu, where the strategy is to use one.

    Raises:
      UserError: the data, the encoder or the pruning schedule cannot be used, or another worker
        of the run is lost.
    """
    finished = folder.finished_result()
    if finished:
        return finished
    registry.build(config)  # Refuses what cannot be, before devices are looked for.
    # First of all: workers have to be joined before anything else is done with TensorFlow.
    strategy = devices.build(config.strategy, tpu=tpu)
    with devices.noticing_lost_workers(strategy):
        return _run(Job(config, folder, strategy, tpu), examples)


def _run(job: Job, examples: Mapping[str, Examples] | None) -> ExperimentResult:
    """Run an experiment that is not finished, from top to bottom."""
    job.require_agreement("settings", job.config.without_places())
    job.require_agreement("state of the run", needed.state(job.folder))
    data = inputs.read(job, examples)
    steps = plan.make(job, data)
    finished = needed.finish_all(
        job,
        rehearse=lambda: network.rehearse(job, data, steps),
        train=lambda config, folder: train_and_evaluate(config, folder, data.read, job.tpu),
    )
    start = starting_point.find(job, finished)
    start_time = time.perf_counter()
    classifier = network.build(job, data, steps, start)
    trained = loop.train(job, data, steps, classifier, start_time)
    probing.collect(trained.model.variables)  # The optimizer's moments are twice as large.
    return sized.write(job, data, steps, classifier, trained)
