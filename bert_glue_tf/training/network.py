"""Step 3 of a run: the encoder, the head on it, and the method's hands on both."""

from __future__ import annotations

import dataclasses
from typing import Any

import tf_keras
from absl import logging

from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.start import Start
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import classifiers, encoders, heads, loading
from bert_glue_tf.models.bert.classifier_weights import in_float32
from bert_glue_tf.models.loading import Encoder
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.run_folder import RunFolder, deciding
from bert_glue_tf.training import devices, starting_point
from bert_glue_tf.training import plan as planning
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.job import Job
from bert_glue_tf.training.plan import Plan


@dataclasses.dataclass(frozen=True)
class Network:
    """A classifier that is ready to be trained.

    Attributes:
      encoder: its encoder, with the preprocessing and the provenance.
      model: encoder and head, prepared by the pruning method.
      policy: name of Keras's dtype policy that it computes in.
      description: what the record tells of the encoder and of the run that it starts from.
    """

    encoder: Encoder
    model: tf_keras.Model
    policy: str
    description: dict[str, Any]


def build(job: Job, inputs: Inputs, plan: Plan, start_run: RunFolder | None) -> Network:
    """Build the run's classifier.

    Args:
      job: the run.
      inputs: its examples.
      plan: its steps.
      start_run: the finished run to start from; None to start from pre-training.

    Raises:
      UserError: the encoder cannot be used, or is not what the run was begun with.
    """
    encoder = _load_encoder(job.config, plan.method)
    policy = _policy(job, encoder)
    provenance = {**inputs.provenance, "encoder": encoder.provenance}
    job.folder.require_same_inputs(provenance)
    job.require_agreement("data and encoder", deciding(provenance))
    starting_point.require_fitting(job, start_run, provenance)
    start = _start(job.config, encoder, inputs, decide=job.decide)
    if start_run is not None and encoder.is_native:
        start = starting_point.fine_tuned(start, start_run.model)
    start = plan.method.reshape(start)
    # Here, so that what was drawn while loading leaves the run as it is.
    tf_keras.utils.set_random_seed(job.config.seed)
    tf_keras.backend.reset_uids()  # The names of layers, which the saved model holds.
    logging.info("training on %d replica(s) in %s", job.strategy.num_replicas_in_sync, policy)
    with devices.building(job.strategy, policy), classifiers.restorable_dropout():
        encoder, model = _build(job.config, start)
        if start.classifier is None and start_run is not None:
            starting_point.assign_opaque(model, start_run.model)
        model = plan.method.prepare(model, plan.context)
    description = {
        **encoder.record(),
        **starting_point.describe(start_run),
    }
    return Network(encoder, model, policy, description)


def rehearse(job: Job, inputs: Inputs, plan: Plan) -> None:
    """Prepare the pruning with the weights of pre-training, before there are fine-tuned ones.

    What the method cannot do it refuses here, and not after the hours of a fine-tuning.

    Raises:
      UserError: as `build`.
    """
    logging.info("before the fine-tuning: whether the pruning can be done")
    method = planning.build_method(job)  # Its own, since a method keeps what it has prepared.
    encoder = _load_encoder(job.config, method)
    start = method.reshape(_start(job.config, encoder, inputs, is_rehearsal=True))
    with devices.building(job.strategy, _policy(job, encoder)):
        _, model = _build(job.config, start)
        method.prepare(model, plan.context)


def finalize(job: Job, plan: Plan, network: Network) -> tf_keras.Model:
    """Return the trained classifier as it is saved: plain layers, zeros in place, in float32."""
    with job.strategy.scope():
        model = plan.method.finalize(network.model)
        if network.policy != "float32":
            # Scored as it is saved and exported.
            assert network.encoder.architecture is not None
            model = in_float32(model, network.encoder.architecture)
    return model


def _load_encoder(config: ExperimentConfig, method: PruningMethod) -> Encoder:
    """Load the encoder, outside of the strategy's scope, where `loading.load` can probe it.

    Raises:
      UserError: the encoder cannot be loaded, or cannot carry the method.
    """
    source = encoders.resolve(config.encoder, config.preprocessing)
    logging.info("loading the encoder %s", source.name)
    encoder = loading.load(source, seq_length=config.seq_length)
    if not encoder.is_native:
        logging.info("the encoder is opaque (hub.KerasLayer): %s", encoder.why_opaque)
        if method.needs_native:
            raise UserError(
                f"--pruning_method={config.pruning_method}: {method.needs_native}, and the encoder "
                f"{source.name} is opaque ({encoder.why_opaque}). Methods that look at variables "
                "only can prune it, as magnitude, random, gradient and movement; or give a "
                "standard BERT."
            )
        if config.mixed_precision not in ("auto", "none"):
            raise UserError(
                f"--mixed_precision={config.mixed_precision}: the encoder {source.name} is opaque "
                f"({encoder.why_opaque}), and computes as it was saved. Leave the flag out, or "
                "give a standard BERT."
            )
    return encoder


def _policy(job: Job, encoder: Encoder) -> str:
    """Return the dtype policy's name to train with; an opaque encoder computes as it was saved."""
    if not encoder.is_native:
        return "float32"
    return devices.policy(job.config.mixed_precision, job.strategy)


def _start(config: ExperimentConfig, encoder: Encoder, inputs: Inputs, **more: Any) -> Start:
    """Return what the run begins with, from pre-training; `more` is `Start`'s."""
    return Start(
        encoder=encoder,
        classifier=None,
        task=inputs.task,
        train=inputs.train,
        validation=inputs.validation,
        held_out=inputs.held_out,
        sparsity=config.final_sparsity,
        seq_length=config.seq_length,
        seed=config.seed,
        **more,
    )


def _build(config: ExperimentConfig, start: Start) -> tuple[Encoder, tf_keras.Model]:
    """Build the encoder under the strategy of the scope, and the classifier on it."""
    encoder = loading.rebuild(
        start.encoder, None if config.encoder_dropout < 0 else config.encoder_dropout
    )
    model = classifiers.build_classifier(
        encoder.layer, start.task, dropout=config.dropout, seed=config.seed
    )
    if start.classifier is not None:
        model.get_layer(heads.CLASSIFIER).set_weights(start.classifier)
    return encoder, model
