"""The record of a run whose weights hold several networks: a folder for each smaller one.

`sizes/<name>` in the run's folder is a finished run of its own, with its settings, record,
predictions and model, so that whatever reads a run reads a size. Its model has no weights of its
own (`models.sizes`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Mapping
from typing import Any

import numpy as np
import tf_keras
from absl import logging

from bert_glue_tf.compression.sizes import Sizes
from bert_glue_tf.core import quiet
from bert_glue_tf.core.files import write_atomically
from bert_glue_tf.models import sizes as saved
from bert_glue_tf.models.sizes import Masks, Parts, plain_name
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.training import record, statistics
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.job import Job
from bert_glue_tf.training.loop import Trained
from bert_glue_tf.training.network import Network
from bert_glue_tf.training.plan import Plan


def write(
    job: Job, inputs: Inputs, plan: Plan, network: Network, trained: Trained
) -> ExperimentResult:
    """Score and save the trained classifier and its smaller networks, and write their records.

    The run's own record comes last, so that a run without it is not finished.

    Returns:
      The record of the largest network.

    Raises:
      UserError: the run's folder has vanished.
    """
    sizes = plan.method.sizes()
    if sizes is None:
        return record.write(job, inputs, plan, network, trained)
    assert trained.batches is not None  # A method with sizes trains.
    # The statistics of networks that trained together are the largest one's already. One that was
    # cut after its last step has those of before.
    gathered = statistics.gathered(trained.model, trained.batches)
    with contextlib.nullcontext() if sizes.together else gathered:
        return _write(job, inputs, plan, network, trained, sizes)


def _write(
    job: Job, inputs: Inputs, plan: Plan, network: Network, trained: Trained, sizes: Sizes
) -> ExperimentResult:
    """Write the same of a classifier whose statistics are those of its largest network."""
    job.folder.require_present()
    shutil.rmtree(job.folder.sizes, ignore_errors=True)  # Of a process that was killed here.
    model = trained.model
    whole = {plain_name(one.name): one.numpy() for one in model.variables}
    first = {plain_name(name): values for name, values in sizes.first(model).items()}
    masks = Masks(len(sizes.names), first)
    masks.write(job.folder.sizes / saved.MASKS)
    assert trained.batches is not None
    for number, name in enumerate(sizes.names[:-1]):
        logging.info("scoring and saving the size %s", name)
        own = dataclasses.replace(job, folder=_folder(job.folder, name))
        with (
            quiet.retracing(),
            sizes.network(model, number) as smaller,
            statistics.gathered(smaller, trained.batches),
        ):
            one = _trained(trained, smaller, sizes, number)
            record.write(own, inputs, plan, network, one)
        saved.detach(own.folder.model, whole, Parts(number, masks, sizes.sources(number)), name)
    told = {"names": list(sizes.names), "bytes": _bytes(job.folder, masks, whole)}
    done = dataclasses.replace(trained, size=sizes.names[-1], sizes=told)
    return record.write(job, inputs, plan, network, done)


def _folder(run: RunFolder, name: str) -> RunFolder:
    """Return the folder of a size, with the run's settings in it."""
    folder = RunFolder(run.sizes / name, run.config)
    write_atomically(folder.config_file, run.config.to_text())
    return folder


def _trained(trained: Trained, model: tf_keras.Model, sizes: Sizes, number: int) -> Trained:
    """Return a smaller network as what a record is written of."""
    is_same = model is trained.model  # With other weights, and then it is scored by the same graph.
    return dataclasses.replace(
        trained,
        model=model,
        predict_fn=trained.predict_fn if is_same else trained.scoring.predict_fn(model),
        removed=sizes.measure(trained.model, number),
        size=sizes.names[number],
    )


def _bytes(folder: RunFolder, masks: Masks, whole: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Return the bytes of what the networks share: the weights, and the masks' file."""
    return {
        "weights": sum(values.nbytes for values in whole.values()),
        "masks": (folder.sizes / saved.MASKS).stat().st_size if masks.first else 0,
    }
