"""Step 3 of a run: the encoder, the head on it, and what the pruning method does to both."""

from __future__ import annotations

import dataclasses
from typing import Any

import tf_keras
from absl import logging

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.start import Start
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data.examples import Examples
from bert_glue_tf.models import classifiers, encoders, loading, probing
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.models.quantization import imitation
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED
from bert_glue_tf.models.settings import PRODUCTS
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.inputs import deciding
from bert_glue_tf.runs.run_folder import RunFolder
from bert_glue_tf.runs.settings import START
from bert_glue_tf.training import (
    devices,
    laying_out,
    questions,
    starting_point,
    teachers,
    teaching,
)
from bert_glue_tf.training import plan as planning
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.job import Job
from bert_glue_tf.training.plan import Plan
from bert_glue_tf.training.teaching import Lesson


@dataclasses.dataclass(frozen=True)
class Network:
    """A classifier that is ready to be trained.

    Attributes:
      backbone: its encoder, with the preprocessing and the provenance.
      model: encoder and head, prepared by the pruning method.
      policy: name of the dtype policy that it computes in, of `precision.policy_of`.
      description: what the record tells of the encoder and of the run that it starts from.
      widths: of the encoder as it was loaded, as `Backbone.widths` counts them.
      whole: number of weights that the classifier has where nothing is cut out of its encoder.
      lesson: what its teacher has answered; None without a teacher.
    """

    backbone: Backbone
    model: tf_keras.Model
    policy: str
    description: dict[str, Any]
    widths: list[dict[str, int]]
    whole: int
    lesson: Lesson | None = None


def build(job: Job, inputs: Inputs, plan: Plan, start_run: RunFolder | None) -> Network:
    """Build the run's classifier; its teacher, if it has one, answers before.

    Args:
      job: the run.
      inputs: its examples.
      plan: its steps.
      start_run: the finished run to start from; None to start from pre-training.

    Raises:
      UserError: the encoder or the teacher cannot be used, or is not what the run was begun with.
    """
    teacher = teachers.find(job.config, inputs.task, start_run)
    backbone = load_encoder(job.config, plan.method, inputs.train)
    widths = backbone.widths()
    policy = _policy(job, backbone)
    provenance = {**inputs.provenance, "encoder": backbone.provenance}
    if start_run is None and (head := backbone.provenance.get("unused_head")):
        logging.info("%s: %s", backbone.provenance["name"], head)
    begun_with = {**provenance, **(teacher.provenance if teacher else {})}
    job.folder.require_same_inputs(begun_with)
    # A teacher that the workers have fine-tuned themselves is the same one, in files of their own.
    is_own = job.config.teacher == START and bool(job.config.finetune_epochs)
    agreed = provenance if is_own else begun_with
    job.require_agreement("data and encoder", deciding(agreed))
    starting_point.require_fitting(job, start_run, inputs, backbone.provenance)
    start = _start(job.config, backbone, inputs, decide=job.decide)
    if start_run is not None:
        start = starting_point.fine_tuned(start, start_run.model)
        del backbone  # Its weights are replaced.
        probing.collect(start.backbone.layer.variables)
    else:
        del backbone  # It stands in `start`.
    before = classifiers.count_weights(start.backbone.layer.variables)
    start = plan.method.reshape(start)
    cut = before - classifiers.count_weights(start.backbone.layer.variables)
    # Before the network is built, whose training takes more memory than the teacher's answers.
    lesson = teaching.ask(job, inputs, teacher, start.backbone) if teacher else None
    probing.collect(start.backbone.layer.variables)
    # Here, so that what was drawn while loading leaves the run as it is.
    tf_keras.utils.set_random_seed(job.config.seed)
    tf_keras.backend.reset_uids()  # The names of layers, which the saved model holds.
    logging.info("training on %d replica(s) in %s", job.strategy.num_replicas_in_sync, policy)
    with devices.building(job.strategy, policy), classifiers.restorable_dropout():
        backbone, model = _build(job.config, start)
        whole = classifiers.count_weights(model.variables) + cut
        model = plan.method.prepare(model, plan.context)
    del start  # Of which the backbone was built anew.
    probing.collect(backbone.layer.variables)
    description = starting_point.describe(start_run, backbone.record())
    return Network(backbone, model, policy, description, widths, whole, lesson)


def rehearse(job: Job, inputs: Inputs, plan: Plan) -> None:
    """Prepare the pruning with the weights of pre-training, before there are fine-tuned ones.

    What the method cannot do it refuses here, and not after the hours of a fine-tuning.

    Raises:
      UserError: as `build`.
    """
    logging.info("checking, before the fine-tuning, that what follows can be done")
    method = planning.build_method(job)  # Its own, since a method keeps what it has prepared.
    backbone = load_encoder(job.config, method, inputs.train)
    start = method.reshape(_start(job.config, backbone, inputs, is_rehearsal=True))
    if questions.flag_of(job.config):
        teaching.rehearse(job.config, inputs, backbone, start.backbone)
    with devices.building(job.strategy, _policy(job, backbone)):
        _, model = _build(job.config, start)
        method.prepare(model, plan.context)


def finalize(job: Job, plan: Plan, network: Network) -> tf_keras.Model:
    """Return the trained classifier as it is saved: plain layers, zeros in place, in float32.

    Of a training for a quantized file the weights stand on the file's grid.
    """
    with job.strategy.scope():
        imitation.settle(network.model)
        model = plan.method.finalize(network.model)
        if network.policy != "float32":
            # Scored as it is saved and exported.
            model = network.backbone.in_float32(model)
    return model


def load_encoder(
    config: ExperimentConfig, method: PruningMethod, train: Examples | None = None
) -> Backbone:
    """Load the encoder, outside of the strategy's scope, where `loading.load` can probe it.

    Args:
      config: the run's settings.
      method: that prunes it.
      train: the training examples, which a network that begins untrained is fitted to.

    Raises:
      UserError: the encoder cannot be loaded, or cannot carry the method.
    """
    source = encoders.resolve(config.encoder, config.preprocessing)
    with doing(f"loading the encoder {source.name}"):
        backbone = loading.load(source, seq_length=config.seq_length)
        if train is not None:
            backbone = backbone.fitted(train)
        backbone = backbone.with_first_weights(config.seed)
    good = ", ".join(registry.names_for(backbone)) if method.needs else ""
    for capability in method.needs:
        backbone.require(
            capability,
            f"--pruning_method={config.pruning_method}",
            f"It can be pruned by {good}; or {backbone.instead_for(capability)}.",
        )
    laying_out.require(config, backbone)
    if flag := questions.flag_of(config):
        backbone.require("states", flag, f"Leave the flag out, or {backbone.instead}.")
    if config.quantize_aware != NOT_QUANTIZED:
        backbone.require(
            "quantization",
            f"--quantize_aware={config.quantize_aware}",
            "Leave the flag out: what is trained without it can be quantized after the training "
            f"(python -m bert_glue_tf.export_tflite); or {backbone.instead}.",
        )
    if config.mixed_precision not in ("auto", "none"):
        needed = "products" if config.mixed_precision == PRODUCTS else "mixed_precision"
        backbone.require(
            needed,
            f"--mixed_precision={config.mixed_precision}",
            f"Leave the flag out, or {backbone.instead_for(needed)}.",
        )
    return backbone


def _policy(job: Job, backbone: Backbone) -> str:
    """Return the dtype policy's name to train with, as far as the encoder can choose."""
    if backbone.why_not("mixed_precision"):
        return "float32"
    is_for_file = job.config.quantize_aware != NOT_QUANTIZED
    if is_for_file and job.config.mixed_precision == PRODUCTS:
        # The factors are the file's whole numbers, whose sums are exact in float32 alone.
        return "float32"
    return devices.policy(job.config.mixed_precision, job.strategy)


def _start(config: ExperimentConfig, backbone: Backbone, inputs: Inputs, **more: Any) -> Start:
    """Return what the run begins with, from pre-training; `more` is `Start`'s."""
    return Start(
        backbone=backbone,
        classifier=None,
        task=inputs.task,
        train=inputs.train,
        validation=inputs.validation,
        held_out=inputs.held_out,
        sparsity=config.final_sparsity,
        seq_length=config.seq_length,
        truncation=config.truncation,
        tagging_head=config.tagging_head,
        seed=config.seed,
        **more,
    )


def _build(config: ExperimentConfig, start: Start) -> tuple[Backbone, tf_keras.Model]:
    """Build the encoder under the strategy of the scope, and the classifier on it."""
    dropout = None if config.encoder_dropout < 0 else config.encoder_dropout
    backbone = start.backbone.build(dropout, config.quantize_aware)
    model = start.with_backbone(backbone).classify(config.dropout)
    return backbone, model
