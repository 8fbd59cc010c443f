"""A structure as a finished run: cut out, its outputs fitted, scored once, and saved."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.removed import Removed
from bert_glue_tf.compression.schedule import PruningContext
from bert_glue_tf.compression.start import Start
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import batching
from bert_glue_tf.data.batching import Batching
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.models.blocks import Cuts, EncoderSizes
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.finished import Run
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.search.find import Candidate
from bert_glue_tf.search.reconstruct import reconstruct
from bert_glue_tf.search.session import Search
from bert_glue_tf.search.structure import Sizes, Structure
from bert_glue_tf.training import (
    callbacks,
    devices,
    inputs,
    laying_out,
    record,
    starting_point,
    thresholds,
)
from bert_glue_tf.training import network as networks
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.job import Job
from bert_glue_tf.training.launch import UNTRAINED
from bert_glue_tf.training.loop import Trained
from bert_glue_tf.training.network import Network
from bert_glue_tf.training.plan import Plan
from bert_glue_tf.training.scoring import Scoring
from bert_glue_tf.training.throughput import Throughput

METHOD = "structure_search"  # What a run's record and tables call it; no training prunes by it.


class Found(PruningMethod):
    """The account of what was removed before the run, for its record.

    Args:
      told: what the record says.
      removed: what went.
    """

    name = METHOD

    def __init__(self, told: Mapping[str, Any], removed: Removed) -> None:
        super().__init__()
        self._told = told
        self._removed = removed

    def measure(self, model: Any) -> Removed:
        del model
        return self._removed

    def record(self) -> dict[str, Any]:
        return {METHOD: dict(self._told)}


def settings_of(run: Run, structure: Structure, removed: Removed) -> ExperimentConfig:
    """Return the settings of the run that holds a structure of another run's classifier.

    Args:
      run: the other one.
      structure: what stays.
      removed: what goes.
    """
    known = run.config.to_json()
    text = json.dumps(structure.to_json(), sort_keys=True)
    digits = hashlib.sha256(text.encode()).hexdigest()[:8]
    return ExperimentConfig(
        **{name: known[name] for name in (*UNTRAINED, "encoder")},
        epochs=0,
        start=str(run.path.resolve()),
        pruning_method=METHOD,
        # Tells two structures of one run apart.
        pruning_options=f"structure={digits}",
        final_sparsity=round(min(removed.pruned / removed.prunable, 0.9999), 4),
    )


def removed_of(before: EncoderSizes, after: Sizes) -> Removed:
    """Return the weights of heads, neurons and word pieces that a structure is without."""
    hidden, width, key = (
        int(before.same[name]) for name in ("hidden_size", "embedding_size", "key_size")
    )
    sparsities: dict[str, float] = {}
    total = gone = 0
    for number, (size, (heads, neurons)) in enumerate(
        zip(before.layers, after.widths, strict=True), start=1
    ):
        of_head = 2 * (hidden + 1) * key + (2 * hidden + 1) * size.head_size
        for name, most, left, weights in (
            ("attention", size.heads, heads, of_head),
            ("feed-forward", size.neurons, neurons, 2 * hidden + 1),
        ):
            sparsities[f"layer {number}, {name}"] = 1 - left / most
            total, gone = total + most * weights, gone + (most - left) * weights
    sparsities["words"] = 1 - after.pieces / before.pieces
    total += before.pieces * width
    gone += (before.pieces - after.pieces) * width
    return Removed(sparsities, gone, total)


def write(search: Search, candidate: Candidate, workdir: pathlib.Path) -> ExperimentResult:
    """Cut a structure out, fit its outputs, score it once, and save it as a finished run.

    A folder that was begun by a process that was killed is begun anew; of a finished one the record
    is returned.

    Args:
      search: in the classifier of the run that it is a structure of.
      candidate: the structure, and what is predicted of it.
      workdir: of the new run.

    Raises:
      UserError: the folder holds something else or cannot be written, or the data has changed.
    """
    run, structure = search.run, candidate.structure
    removed = removed_of(search.blocks.sizes, structure.sizes)
    config = settings_of(run, structure, removed)
    finished = RunFolder(workdir, config).finished_result()
    if finished is not None:
        return finished
    folder, begin = RunFolder.open(workdir, config), time.perf_counter()
    cuts, measured, in_order = fitted(search, structure)
    told = {**_told(search, candidate, measured), "fitted_in_order": in_order}
    return _finish(search, structure, cuts, folder, Found(told, removed), begin)


def fitted(search: Search, structure: Structure) -> tuple[Cuts, float, bool]:
    """Return the cuts of a structure, how far its answers are off, and if it is fitted in order.

    Each block fitted to its own outputs is the better network where little is gone: what the fit of
    a block makes up for the ones before it also holds chance of the texts that it is fitted on.

    Args:
      search: in the run's classifier.
      structure: what stays.
    """
    ways = {False: search.cuts(structure), True: reconstruct(search, structure)}
    rises = {way: search.judge(structure, cuts) for way, cuts in ways.items()}
    in_order = rises[True] < rises[False]
    logging.info(
        "the answers are off by %.3g with outputs fitted layer after layer, and by %.3g with each "
        "block fitted alone: %s",
        rises[True],
        rises[False],
        "the first is written" if in_order else "the second is written",
    )
    return ways[in_order], rises[in_order], in_order


def _told(search: Search, candidate: Candidate, measured: float) -> dict[str, Any]:
    """Return what the record says of a search, in JSON types."""
    sizes, texts = candidate.structure.sizes, search.texts
    kept = np.zeros(search.blocks.sizes.pieces, bool)
    kept[list(candidate.structure.pieces)] = True
    return {
        "run": search.run.path.name,
        "recipe": candidate.recipe,
        "predicted": dataclasses.asdict(candidate.predicted),
        "keeps_budget": candidate.keeps,
        "rise": candidate.rise,
        "assembled_rise": candidate.measured,
        "fitted_rise": measured,
        "texts": len(texts.judged),
        "fitted_texts": len(texts.fitted),
        "held_out": texts.held_out,
        "heads": list(sizes.heads),
        "neurons": list(sizes.neurons),
        "pieces": sizes.pieces,
        # Texts that only these pieces stand in are divided as before.
        "same_pieces": bool(kept[texts.used > 0].all()),
    }


def _finish(
    search: Search,
    structure: Structure,
    cuts: Cuts,
    folder: RunFolder,
    method: Found,
    begin: float,
) -> ExperimentResult:
    """Build the smaller classifier, and write its run."""
    config, run = folder.config, search.run
    job = Job(config, folder, devices.build("cpu"))
    data = inputs.read(job, search.read)
    network = _network(job, data, search, structure, cuts)
    with doing("tokenizing the texts that it is scored on"):
        preprocessor = data.preprocessor(network.backbone.preprocessing)
        splits = {
            suffix: batching.tokenize(preprocessor, split, data.read[split])
            for suffix, split in data.task.scored_splits.items()
        }
    scoring = Scoring(
        data.task,
        splits,
        laying_out.for_scoring(config, network.backbone),
        thresholds.held_out(config, data, network.backbone.preprocessing),
    )
    plan = Plan(
        method=method,
        context=PruningContext.from_config(config.unpruned, 0).with_sparsity(config.final_sparsity),
        batching=Batching(config.batch_size, config.seed),
        epochs=0,
    )
    trained = Trained(
        model=network.model,
        predict_fn=scoring.predict_fn(network.model),
        removed=method.measure(network.model),
        scoring=scoring,
        timing=callbacks.Timing([], begin),
        throughput=Throughput(len(data.train), config.batch_size),
        positions_used=float("nan"),
    )
    logging.info("nothing is trained: the cut classifier of %s is scored", run.path.name)
    return record.write(job, data, plan, network, trained)


def _network(job: Job, data: Inputs, search: Search, structure: Structure, cuts: Cuts) -> Network:
    """Return the smaller classifier, on the encoder that the run itself began with."""
    run = search.run
    backbone = networks.load_encoder(job.config, PruningMethod())
    job.folder.require_same_inputs({**data.provenance, "encoder": backbone.provenance})
    starting_point.require_fitting(job, run.folder, data, backbone.provenance)
    start = Start(
        backbone=backbone,
        classifier=None,
        task=data.task,
        train=data.train,
        validation=data.validation,
        held_out=data.held_out,
        sparsity=job.config.final_sparsity,
        seq_length=job.config.seq_length,
        seed=job.config.seed,
        truncation=job.config.truncation,
    )
    own = starting_point.fine_tuned(start, run.folder.model).backbone
    widths = own.widths()
    if len(structure.pieces) < search.blocks.sizes.pieces:
        own = own.keep_pieces(structure.pieces, search.vocabularies.folder(structure.pieces))
    model = search.blocks.cut(cuts, structure.pieces)
    description = starting_point.describe(run.folder, backbone.record())
    whole = run.result.parameters["total"]
    return Network(own, model, "float32", description, widths, whole)


def read_told(result: ExperimentResult) -> Mapping[str, Any]:
    """Return what a run's record says of the search that it comes from; empty without one."""
    return result.pruning.get(METHOD, {})


def examples_of(run: Run) -> Mapping[str, Examples]:
    """Return the examples of a run's data, as `Search` takes them.

    Raises:
      UserError: they cannot be read.
    """
    from bert_glue_tf.data import readers

    return readers.load_for_training(run.task, run.config.data, run.config.train_examples)
