"""The one orchestrator: configuration in, trained and measured model and record out."""

from __future__ import annotations

import dataclasses
import gc
import json
import math
import pathlib
import shutil
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from absl import logging

from bert_glue_tf.compression import registry
from bert_glue_tf.compression.method import PruningMethod
from bert_glue_tf.compression.schedule import UPDATES, PruningContext
from bert_glue_tf.compression.start import Start
from bert_glue_tf.core import strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import batching, preprocessing, problems, readers, tasks
from bert_glue_tf.data.batching import Split
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation import collapse, cost, evaluator, metrics, predictions
from bert_glue_tf.evaluation.evaluator import Evaluation, PredictFn
from bert_glue_tf.models import classifiers, encoders, heads, loading, saving
from bert_glue_tf.models.bert.architecture import by_canonical_name
from bert_glue_tf.models.bert.classifier_weights import in_float32, read_weights
from bert_glue_tf.models.loading import Encoder
from bert_glue_tf.runs import results
from bert_glue_tf.runs.config import ExperimentConfig
from bert_glue_tf.runs.results import ExperimentResult
from bert_glue_tf.runs.run_folder import BusyError, RunFolder, deciding
from bert_glue_tf.training import callbacks, devices
from bert_glue_tf.training.checkpoints import Checkpoints, RunningSums, newest
from bert_glue_tf.training.optimizer import build_optimizer

# Evaluation keeps no activations for a gradient, so a batch can be larger than in training.
EVALUATION_BATCH = 64
_FINISHED, _BUSY = "finished", "busy"
# Between two looks at the run of another process, in seconds.
_LOOK = 1.0


def train_and_evaluate(
    config: ExperimentConfig,
    folder: RunFolder,
    examples: Mapping[str, readers.Examples] | None = None,
    tpu: str = devices.LOCAL_TPU,
) -> ExperimentResult:
    """Runs the experiment, or what is left of it, in its folder.

    A finished run is not run again: its record is returned. A run that was interrupted goes
    on from the last state that was saved, and ends as if it had not been.

    Args:
      config: the settings.
      folder: the run's folder, claimed for `config`.
      examples: what `data.load_for_training` gave, if the caller has read it already.
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
    method = _method(config, strategy)
    with devices.noticing_lost_workers(strategy):
        return _run(config, folder, examples, method, strategy, tpu)


def _run(
    config: ExperimentConfig,
    folder: RunFolder,
    examples: Mapping[str, readers.Examples] | None,
    method: PruningMethod,
    strategy: tf.distribute.Strategy,
    tpu: str,
) -> ExperimentResult:
    """`train_and_evaluate` of a run that is not finished."""
    devices.require_agreement(strategy, "settings", config.without_places())
    devices.require_agreement(strategy, "state of the run", _state(folder))
    task = tasks.get(config.task)
    if examples is None:
        examples = readers.load_for_training(task, config.data, config.train_examples)
    starting_model = _starting_model(config, folder, examples, strategy, tpu)
    if config.data == "sample":
        logging.warning("data=sample: generated sentences; its scores say nothing about GLUE")
    start_time = time.perf_counter()
    examples, held_out, context = _plan(config, method, examples)
    total_steps = context.total_steps
    steps_per_epoch = total_steps // config.epochs
    rows = folder.read_history()
    states = Checkpoints(folder.checkpoints, steps_per_epoch, len(rows))
    timing = callbacks.Timing(rows[: states.step // steps_per_epoch], start_time)
    encoder = _load_encoder(config, method)
    policy = _policy(config, encoder, strategy)
    is_static = devices.is_tpu(strategy)
    if is_static and config.group_by_length:
        raise UserError(
            "--group_by_length: on a TPU every batch is padded to --seq_length, so that it would "
            "do nothing. Leave it out."
        )
    buckets = batching.bucket_lengths(config.seq_length, config.length_buckets and not is_static)
    inputs = {f"{split} data": read.provenance for split, read in examples.items()}
    inputs |= {"encoder": encoder.provenance}
    folder.require_same_inputs(inputs)
    devices.require_agreement(strategy, "data and encoder", deciding(inputs))
    started_from = _describe_start(config, starting_model, inputs)
    start = _start(
        config,
        encoder,
        examples,
        held_out,
        decide=lambda name, make: strict_json.loads(
            devices.decided_by_chief(strategy, lambda: json.dumps(folder.decide(name, make)))
        ),
    )
    if starting_model is not None and encoder.is_native:
        start = _fine_tuned(start, starting_model)
    start = method.reshape(start)
    # Here, so that what was drawn while loading leaves the run as it is.
    tf_keras.utils.set_random_seed(config.seed)
    tf_keras.backend.reset_uids()  # The names of layers, which the saved model holds.
    logging.info("training on %d replica(s) in %s", strategy.num_replicas_in_sync, policy)
    with devices.building(strategy, policy), classifiers.restorable_dropout():
        encoder, model = _build(config, start)
        if start.classifier is None and starting_model is not None:
            _start_opaque(model, starting_model)
        model = method.prepare(model, context)
        model.compile(
            optimizer=method.wrap_optimizer(build_optimizer(config, total_steps // method.cycles)),
            loss=task.problem.keras_loss(),
            # Weighted: what fills up a batch for the replicas has weight 0.
            weighted_metrics=task.problem.keras_metrics(
                is_filled_up=is_static or strategy.num_replicas_in_sync > 1
            ),
        )

    logging.info(
        "tokenizing %s %s",
        " + ".join(f"{len(read):,}" for read in examples.values()),
        "sentences" if len(task.text_fields) == 1 else "pairs of sentences",
    )
    preprocessor = preprocessing.build(encoder.preprocessing, task.text_fields, config.seq_length)
    train = tokenize(preprocessor, "train", examples["train"])
    validation = {
        suffix: tokenize(preprocessor, split, examples[split])
        for suffix, split in task.validation_splits.items()
    }

    def evaluate(predict_fn: PredictFn) -> dict[str, Evaluation]:
        return {
            suffix: evaluator.evaluate(
                predict_fn,
                split,
                task,
                batch_size=EVALUATION_BATCH,
                buckets=buckets,
            )
            for suffix, split in validation.items()
        }

    static_shape = (EVALUATION_BATCH, config.seq_length) if is_static else None
    predict_in_training = classifiers.predict_fn(model, static_shape)
    throughput = _fit(
        model,
        method,
        folder,
        states,
        timing,
        context,
        train,
        buckets,
        is_static,
        lambda: flatten(evaluate(predict_in_training)),
    )

    removed = method.measure(model)
    with strategy.scope():
        model = method.finalize(model)
        if policy != "float32":
            # Scored as it is saved and exported.
            assert encoder.architecture is not None
            model = in_float32(model, encoder.architecture)
    folder.require_present()
    logging.info("evaluating and saving")
    evaluations = evaluate(classifiers.predict_fn(model, static_shape))
    warnings = []
    for suffix, done in evaluations.items():
        split = validation[suffix]
        predictions.write(folder.predictions_file(split.name), task, split.labels, done.logits)
        verdict = collapse.judge(task, split.labels, done.logits)
        if verdict:
            warning = collapse.warning(split.name, verdict)
            logging.warning("%s", warning)
            warnings.append(warning)
    saving.save(model, encoder, task, folder.model)
    result = ExperimentResult(
        config=config.to_json(),
        data={split: dict(read.provenance) for split, read in examples.items()},
        encoder={
            **encoder.provenance,
            "native": encoder.is_native,
            "why_opaque": encoder.why_opaque,
            **started_from,
        },
        pruning={} if config.pruning_method == registry.NO_PRUNING else context.to_json(),
        metrics=flatten(evaluations),
        intervals=intervals(task, validation, evaluations),
        sparsity=removed.sparsities,
        parameters={
            **classifiers.count_parameters(model),
            "pruned": removed.pruned,
            "prunable": removed.prunable,
        },
        bytes=cost.size_on_disk(folder.model),
        speed={
            "train_examples_per_second": timing.examples_per_second(throughput),
            "evaluation_examples_per_second": float(
                np.mean([done.examples_per_second for done in evaluations.values()])
            ),
            "seconds": timing.run_seconds(),
        },
        peak_memory_bytes=cost.peak_memory_bytes(),
        environment=results.environment(
            [device.name for device in tf.config.list_logical_devices()]
        )
        | {"replicas": strategy.num_replicas_in_sync, "precision": policy},
        warnings=tuple(warnings),
    )
    results.append(folder.results_file, result)
    # A finished run never goes on, and the optimizer's state is twice as large as the model.
    shutil.rmtree(folder.checkpoints, ignore_errors=True)
    return result


def _method(config: ExperimentConfig, strategy: tf.distribute.Strategy) -> PruningMethod:
    method = registry.build(config)
    is_alone = strategy.num_replicas_in_sync == 1 and not devices.is_tpu(strategy)
    return method if is_alone else method.on_replicas()


def _plan(
    config: ExperimentConfig, method: PruningMethod, examples: Mapping[str, readers.Examples]
) -> tuple[dict[str, readers.Examples], readers.Examples | None, PruningContext]:
    """The examples without those that are held out, these, and when the method prunes."""
    train, held_out = examples["train"].hold_out(config.held_out)
    steps = math.ceil(len(train) / config.batch_size) * config.epochs
    context = PruningContext.from_config(config, steps, method.waits)
    return {**examples, "train": train}, held_out, context


def _load_encoder(config: ExperimentConfig, method: PruningMethod) -> Encoder:
    """The encoder, outside of the strategy's scope, under which `loading.load` cannot probe it.

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
                "only can prune it, as irregular, random, gradient and movement; or give a "
                "standard BERT."
            )
        if config.mixed_precision not in ("auto", "none"):
            raise UserError(
                f"--mixed_precision={config.mixed_precision}: the encoder {source.name} is opaque "
                f"({encoder.why_opaque}), and computes as it was saved. Leave the flag out, or "
                "give a standard BERT."
            )
    return encoder


def _policy(config: ExperimentConfig, encoder: Encoder, strategy: tf.distribute.Strategy) -> str:
    """Name of the dtype policy to train with; an opaque encoder computes as it was saved."""
    return devices.policy(config.mixed_precision, strategy) if encoder.is_native else "float32"


def _start(
    config: ExperimentConfig,
    encoder: Encoder,
    examples: Mapping[str, readers.Examples],
    held_out: readers.Examples | None,
    **more: Any,
) -> Start:
    """What the run starts from where it starts from pre-training; `more` is `Start`'s."""
    task = tasks.get(config.task)
    return Start(
        encoder=encoder,
        classifier=None,
        task=task,
        train=examples["train"],
        validation={split: examples[split] for split in task.validation_splits.values()},
        held_out=held_out,
        sparsity=config.final_sparsity,
        seq_length=config.seq_length,
        seed=config.seed,
        **more,
    )


def _build(config: ExperimentConfig, start: Start) -> tuple[Encoder, tf_keras.Model]:
    """The encoder under the strategy of the scope, and the classifier on it."""
    encoder = loading.rebuild(
        start.encoder, None if config.encoder_dropout < 0 else config.encoder_dropout
    )
    model = classifiers.build_classifier(
        encoder.layer, start.task, dropout=config.dropout, seed=config.seed
    )
    if start.classifier is not None:
        model.get_layer(heads.CLASSIFIER).set_weights(start.classifier)
    return encoder, model


def _rehearse(
    config: ExperimentConfig,
    examples: Mapping[str, readers.Examples],
    strategy: tf.distribute.Strategy,
) -> None:
    """Prepares the pruning with the weights of pre-training, before there are fine-tuned ones.

    What the method cannot do it refuses here, and not after the hours of a fine-tuning.

    Raises:
      UserError: as `train_and_evaluate`.
    """
    logging.info("before the fine-tuning: whether the pruning can be done")
    method = _method(config, strategy)
    examples, held_out, context = _plan(config, method, examples)
    encoder = _load_encoder(config, method)
    start = _start(config, encoder, examples, held_out, is_rehearsal=True)
    start = method.reshape(start)
    with devices.building(strategy, _policy(config, encoder, strategy)):
        _, model = _build(config, start)
        method.prepare(model, context)


def _make_room() -> None:
    """Lets go of the graphs and variables of a model that has done its work."""
    tf_keras.backend.clear_session()
    gc.collect()


def _state(folder: RunFolder) -> str:
    """How far a run is."""
    return _FINISHED if folder.record() else newest(folder.checkpoints) or "not begun"


def _starting_model(
    config: ExperimentConfig,
    folder: RunFolder,
    examples: Mapping[str, readers.Examples],
    strategy: tf.distribute.Strategy,
    tpu: str,
) -> pathlib.Path | None:
    """The model of the run that this one starts from; None where it starts from pre-training.

    That run lies beside this one. It is run first where it is not finished; where another
    process is running it, this one waits, and takes over if the other dies. Of several workers
    the chief looks and waits, and all do what it has found.

    Raises:
      UserError: as `train_and_evaluate`.
    """
    config_of_start = config.starting_point
    if config_of_start is None:
        return None
    start = folder.beside(config_of_start)
    if devices.decided_by_chief(strategy, lambda: _state(start)) != _FINISHED:
        _rehearse(config, examples, strategy)
        _make_room()
    is_told = False
    # The chief looks, and all of them sleep: no worker waits for another one longer than a look.
    while (state := devices.decided_by_chief(strategy, lambda: _look_at(start))) != _FINISHED:
        if state == _BUSY:
            if not is_told and start.followed is None:
                logging.info("waiting for %s, which another process is running", start.path)
            is_told = True
            time.sleep(_LOOK)
            continue
        if start.followed is not None:
            start.claim()  # What the chief has; it trains when all say that they have it.
        logging.info("fine-tuning first, in %s", start.path)
        train_and_evaluate(config_of_start, start, examples, tpu)
        _make_room()
    if start.record() is None:
        start.claim()  # The chief has found it finished.
    devices.require_agreement(strategy, f"run {start.path.name}", _state(start))
    return start.model


def _look_at(run: RunFolder) -> str:
    """The state of a run; where it is not finished its folder is then this process's, or busy."""
    if _state(run) == _FINISHED:
        return _FINISHED
    try:
        RunFolder.open(run.path, run.config)
    except BusyError:
        return _BUSY
    return _state(run)  # Which has changed if another process has ended just now.


def _describe_start(
    config: ExperimentConfig,
    starting_model: pathlib.Path | None,
    inputs: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """What the record says of the starting point: its run and that run's scores.

    Raises:
      UserError: that run was begun with other data or another encoder than `inputs`.
    """
    if starting_model is None or config.starting_point is None:
        return {}
    start = RunFolder(starting_model.parent, config.starting_point)
    try:
        start.compare_inputs(inputs)
    except UserError as error:
        raise UserError(
            f"--finetune_epochs={config.finetune_epochs}: the run to start from does not fit. "
            f"{error}"
        ) from error
    record = start.record()
    scores = dict(record.metrics) if record else {}
    logging.info("starting from the weights of %s", start.path)
    return {"starting_point": {"run": start.path.name, "metrics": scores}}


def _fine_tuned(start: Start, folder: pathlib.Path) -> Start:
    """`start` with the weights of a saved classifier of the same native encoder and task.

    Raises:
      UserError: the folder holds no model, or one of other weights.
    """
    saved = read_weights(folder)
    own = by_canonical_name(start.encoder.layer.variables)
    shapes = {name: tuple(variable.shape) for name, variable in own.items()}
    classes = (start.task.problem.width,)
    if saved.bias.shape != classes or shapes != {n: v.shape for n, v in saved.encoder.items()}:
        raise _other_variables(folder)
    # The dropout rates are this run's own.
    architecture = start.encoder.architecture
    assert architecture is not None
    return dataclasses.replace(
        start.with_weights(dataclasses.replace(saved, architecture=architecture)),
        classifier=(saved.kernel, saved.bias),
    )


def _start_opaque(model: tf_keras.Model, folder: pathlib.Path) -> None:
    """Assigns the weights of a saved classifier of the same opaque encoder and task.

    Both were built from the same SavedModel, so their variables come in the same order; what
    each is called and its shape are compared.

    Raises:
      UserError: the folder holds no model, or one of other variables.
    """
    saving.read_description(folder)  # Refuses a folder without a model.
    saved = tf.saved_model.load(str(folder)).variables
    if [(v.name, v.shape) for v in saved] != [(v.name, v.shape) for v in model.variables]:
        raise _other_variables(folder)
    for own, variable in zip(model.variables, saved, strict=True):
        own.assign(variable.numpy())


def _other_variables(folder: pathlib.Path) -> UserError:
    return UserError(
        f"{folder}: its variables are not those of this run's model, so it cannot start from "
        "them. Delete that run's folder to fine-tune anew."
    )


def tokenize(preprocessor: Any, name: str, examples: readers.Examples) -> Split:
    """A labelled split in word pieces.

    Raises:
      UserError: it has no labels.
    """
    if examples.labels is None:
        raise UserError(f"the split {name} has no labels, so it can neither train nor score.")
    return Split(name, preprocessing.tokenize(preprocessor, examples.texts), examples.labels)


class _Position:
    """Tells Keras at which step to begin, as what its BackupAndRestore sets does."""

    def __init__(self, epoch: int, step: int) -> None:
        self._position = epoch, step

    def maybe_load_initial_counters_from_ckpt(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        del args, kwargs
        return self._position


def _fit(
    model: tf_keras.Model,
    method: PruningMethod,
    folder: RunFolder,
    states: Checkpoints,
    timing: callbacks.Timing,
    context: PruningContext,
    train: Split,
    buckets: tuple[int, ...],
    is_static: bool,
    evaluate: Callable[[], Mapping[str, float]],
) -> callbacks.Throughput:
    """Trains what is left to train, with everything that happens besides."""
    config = folder.config
    sums = RunningSums()
    state = tf.train.Checkpoint(
        model=model,
        optimizer=model.optimizer,
        pruning=method.state(),
        dropout=classifiers.dropout_states(model),
        sums=sums,
    )
    states.restore(state)
    steps = math.ceil(len(train) / config.batch_size)
    epoch, step = divmod(states.step, steps)
    if states.step:
        logging.info("going on after step %d of %d", states.step, steps * config.epochs)
    batches = batching.Batching(config.batch_size, buckets, config.seed, config.group_by_length)
    trained = batches.epoch(train, epoch)[:step]
    throughput = callbacks.Throughput(
        len(train), config.batch_size, sum(len(batch.indices) for batch in trained)
    )
    if epoch == config.epochs:
        return throughput
    if step:
        model._training_state = _Position(epoch, step)
    epochs = range(epoch, config.epochs)
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1 and not is_static:
        dataset = batching.training_dataset(train, batches, epochs=epochs, first_step=step)
    else:
        dataset = strategy.distribute_datasets_from_function(
            lambda context: batching.replicas_dataset(
                train, batches, context, epochs=epochs, first_step=step, is_static=is_static
            )
        )
    # Of several workers one that is interrupted ends at once, and the others notice.
    interruption = callbacks.Interruption(is_held=not devices.is_multi_worker(strategy))
    with (
        callbacks.Progress(tasks.get(config.task), config.epochs, steps) as progress,
        interruption,
    ):
        model.fit(
            dataset,
            initial_epoch=epoch,
            epochs=config.epochs,
            steps_per_epoch=steps,
            verbose=0,
            callbacks=[
                throughput,
                *method.callbacks(),
                callbacks.Validate(evaluate),
                progress,
                callbacks.History(folder, method, timing, throughput),
                tf_keras.callbacks.TensorBoard(str(folder.tensorboard), write_graph=False),
                callbacks.Curves(folder, method, max(1, context.total_steps // UPDATES)),
                callbacks.Checkpoint(folder, states, state, sums, interruption),
            ],
        )
    model._training_state = None
    if interruption.came:  # After the last epoch had been saved.
        raise KeyboardInterrupt
    return throughput


def flatten(evaluations: Mapping[str, Evaluation]) -> dict[str, float]:
    """Metrics of all validation splits, the split's suffix behind each name."""
    return {
        f"{name}{suffix}": value
        for suffix, done in evaluations.items()
        for name, value in done.metrics.items()
    }


def intervals(
    task: TaskSpec, validation: Mapping[str, Split], evaluations: Mapping[str, Evaluation]
) -> dict[str, tuple[float, float]]:
    """95 % bootstrap interval of each of the task's metrics."""
    intervals = {}
    for suffix, done in evaluations.items():
        if problems.diverged(done.logits):
            continue  # A diverged model: its metrics are NaN, and so has no interval.
        outputs = task.problem.decode(done.logits)
        for name in task.metrics:
            intervals[f"{name}{suffix}"] = metrics.bootstrap_interval(
                task.problem, metrics.METRICS[name], validation[suffix].labels, outputs
            )
    return intervals
