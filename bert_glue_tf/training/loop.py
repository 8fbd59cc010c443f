"""Step 4 of a run: the training, from the last state that was saved to the last step."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tf_keras
from absl import logging

from bert_glue_tf.compression.removed import Removed
from bert_glue_tf.compression.schedule import UPDATES
from bert_glue_tf.core.progress import doing
from bert_glue_tf.data import batching
from bert_glue_tf.data.batching import Split
from bert_glue_tf.evaluation.evaluator import PredictFn
from bert_glue_tf.models import classifiers, heads
from bert_glue_tf.runs.settings import BEST
from bert_glue_tf.training import callbacks, devices, laying_out, sandwich, thresholds
from bert_glue_tf.training import network as networks
from bert_glue_tf.training import objective as objectives
from bert_glue_tf.training.best import BestEpoch, first_whole_epoch
from bert_glue_tf.training.checkpoints import Checkpoints, RunningSums
from bert_glue_tf.training.gradients import TrainingGradients
from bert_glue_tf.training.inputs import Inputs
from bert_glue_tf.training.job import Job
from bert_glue_tf.training.laying_out import Layouts
from bert_glue_tf.training.network import Network
from bert_glue_tf.training.objective import Objective, Trainee
from bert_glue_tf.training.optimizer import build_optimizer
from bert_glue_tf.training.plan import Plan
from bert_glue_tf.training.plateau import WatchLoss
from bert_glue_tf.training.scoring import Scoring
from bert_glue_tf.training.statistics import Batches
from bert_glue_tf.training.throughput import Throughput
from bert_glue_tf.training.usage import Usage


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained classifier, not yet scored or saved.

    Attributes:
      model: of plain layers, in float32.
      predict_fn: the same as a function of features to logits.
      removed: what the method has pruned.
      scoring: the validation splits.
      timing: what the run has taken over all its processes.
      throughput: the training examples a second of this process.
      epoch: whose weights these are, from 1; 0 where nothing was trained.
      positions_used: the share of the training's positions that hold a word piece; NaN where
        nothing was trained.
      batches: of its training examples, for statistics of smaller networks; None where nothing was
        trained.
      size: name of the network, where the run's weights hold several.
      sizes: as `ExperimentResult.sizes`.
    """

    model: tf_keras.Model
    predict_fn: PredictFn
    removed: Removed
    scoring: Scoring
    timing: callbacks.Timing
    throughput: Throughput
    positions_used: float
    epoch: int = 0
    batches: Batches | None = None
    size: str = ""
    sizes: Mapping[str, Any] = dataclasses.field(default_factory=dict)


class _Position:
    """Tells Keras at which step to begin, as what its BackupAndRestore sets does.

    Attributes:
      epoch: from 0.
      step: of the epoch, from 0.
    """

    def __init__(self, epoch: int, step: int) -> None:
        self.epoch = epoch
        self.step = step

    def maybe_load_initial_counters_from_ckpt(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        """Return epoch and step, where Keras asks for them."""
        del args, kwargs
        return self.epoch, self.step


def train(job: Job, inputs: Inputs, plan: Plan, network: Network, start_time: float) -> Trained:
    """Train the classifier to its last step, from the last saved state if there is one.

    Args:
      job: the run.
      inputs: its examples.
      plan: its steps.
      network: what to train.
      start_time: when this process began with the run, by `time.perf_counter`.

    Raises:
      UserError: a saved state is of another training, or the run's folder has vanished.
      KeyboardInterrupt: the training was interrupted, and has been saved.
    """
    rows = job.folder.read_history()
    states = Checkpoints(job.folder.checkpoints, len(rows))
    timing = callbacks.Timing(rows[: states.step // plan.steps_per_epoch], start_time)
    split, validation = inputs.tokenize(network.backbone.preprocessing)
    held_out = thresholds.held_out(job.config, inputs, network.backbone.preprocessing)
    to_score = validation if held_out is None else {**validation, held_out.name: held_out}
    layouts = laying_out.choose(job, plan, network.backbone, split, to_score, inputs.task.modality)
    usage = _usage(job, plan, network, layouts, split, timing)
    trainee = _compile(job, inputs, plan, network, layouts, split)
    scoring = Scoring(inputs.task, validation, layouts.scoring, held_out)
    predict_fn = scoring.predict_fn(network.model)
    state = _state(network, trainee, plan, sums := RunningSums())
    position = _restore(states, state, plan)
    throughput = _throughput(plan, split, position, start_time)
    best = _best(job, inputs, plan, network, timing, states)
    watch = _watch(job, inputs, plan, timing.rows, position.epoch)
    if position.epoch < plan.epochs and not watch.is_over:
        # Of several workers one that is interrupted ends at once, and the others notice.
        interruption = callbacks.Interruption(is_held=not devices.is_multi_worker(job.strategy))
        progress = callbacks.Progress(inputs.task, plan.epochs, plan.steps_per_epoch)
        with progress, interruption:
            _fit(
                trainee,
                plan,
                position,
                _dataset(job, plan, layouts, split, position, trainee.objective),
                [
                    throughput,
                    usage,
                    *plan.method.callbacks(),
                    callbacks.Validate(scoring.while_training(predict_fn, network.model)),
                    *best,
                    watch,
                    progress,
                    *_reports(job, plan, timing, throughput),
                    callbacks.Checkpoint(job.folder, states, state, sums, interruption),
                ],
            )
        if interruption.came:  # After the last epoch had been saved.
            raise KeyboardInterrupt
    with doing("taking the trained model out of its training", is_logged=False):
        epoch = next((one.epoch for one in best if one.restore()), watch.epochs)
        removed, model = plan.method.measure(network.model), networks.finalize(job, plan, network)
    own = predict_fn if model is network.model else scoring.predict_fn(model)  # The same graph.
    batches = functools.partial(_batches, plan, layouts, split)
    return Trained(model, own, removed, scoring, timing, throughput, usage.mean(), epoch, batches)


def _best(
    job: Job,
    inputs: Inputs,
    plan: Plan,
    network: Network,
    timing: callbacks.Timing,
    states: Checkpoints,
) -> list[BestEpoch]:
    """Return the callback that keeps the best epoch, where one is to be kept."""
    if job.config.keep != BEST:
        return []
    return [BestEpoch(job, inputs, plan, network, timing.rows, states.step)]


def _watch(
    job: Job, inputs: Inputs, plan: Plan, rows: Sequence[Mapping[str, str]], done: int
) -> WatchLoss:
    """Return the callback that learns from the validation loss.

    Args:
      job, inputs, plan: of the run.
      rows: its history so far.
      done: number of the epochs so far.
    """
    names = [f"val_loss{end}" for end in inputs.task.validation_splits]
    return WatchLoss(job.config, names, rows, done, first_whole_epoch(job, plan))


def _usage(
    job: Job,
    plan: Plan,
    network: Network,
    layouts: Layouts,
    split: Split,
    timing: callbacks.Timing,
) -> Usage:
    """Return the counter of the positions that are used, and say in the log how the texts lie."""
    usage = Usage(job, plan, layouts, split, timing.rows)
    laying_out.tell(job, plan, network.backbone, split, layouts.training, usage.share(0))
    return usage


def _state(
    network: Network, trainee: Trainee, plan: Plan, sums: RunningSums
) -> tf.train.Checkpoint:
    """Return what a training needs to go on bit for bit, as what a checkpoint holds."""
    return tf.train.Checkpoint(
        model=network.model,
        optimizer=trainee.optimizer,
        pruning=plan.method.state(),
        dropout=classifiers.dropout_states(network.model),
        sums=sums,
        **trainee.own_state,
    )


def _restore(states: Checkpoints, state: tf.train.Checkpoint, plan: Plan) -> _Position:
    """Fill the training's state with the last saved one, if any, and return where it goes on."""
    states.restore(state)
    if states.step:
        logging.info("going on after step %d of %d", states.step, plan.total_steps)
    return _Position(*divmod(states.step, plan.steps_per_epoch))


def _reports(
    job: Job, plan: Plan, timing: callbacks.Timing, throughput: Throughput
) -> list[tf_keras.callbacks.Callback]:
    """Return the callbacks that write what is read after the training: history and curves."""
    return [
        callbacks.History(job.folder, plan.method, timing, throughput),
        tf_keras.callbacks.TensorBoard(str(job.folder.tensorboard), write_graph=False),
        callbacks.Curves(job.folder, plan.method, max(1, plan.total_steps // UPDATES)),
    ]


def _compile(
    job: Job, inputs: Inputs, plan: Plan, network: Network, layouts: Layouts, split: Split
) -> Trainee:
    """Return the classifier with its optimizer, its objective and what is reported of both.

    The pruning method is given the gradients of its training, those of `split`.
    """
    with devices.building(job.strategy, network.policy):
        objective = _objective(job, inputs, network)
        step = sandwich.step_of(plan.method, inputs.task.problem, job.config.seed)
        trainee = objectives.trainee(
            network.model, layouts.training.inputs, objective, job.config.seed, step
        )
        trainee.compile(
            optimizer=plan.method.wrap_optimizer(
                build_optimizer(job.config, plan.cycle_steps, network.backbone.no_decay)
            ),
            # Weighted: what fills up a batch for the replicas has weight 0.
            weighted_metrics=inputs.task.problem.keras_metrics(job.is_filled_up),
            is_filled_up=job.is_filled_up,
        )
    sizes = list(map(len, plan.batching.epoch(split, 0)))
    dataset = functools.partial(
        _dataset, job, plan, layouts, split, _Position(0, 0), trainee.objective
    )
    plan.method.learn_from(TrainingGradients(job.strategy, trainee, sizes, dataset))
    return trainee


def _objective(job: Job, inputs: Inputs, network: Network) -> Objective:
    lesson, head = network.lesson, heads.word_head_of(network.model)
    of_head = head.losses if head is not None else None
    if lesson is None:
        return objectives.build(job.config, inputs.task, of_head=of_head)
    return objectives.build(job.config, inputs.task, lesson.answers, lesson.hints, of_head)


def _throughput(plan: Plan, split: Split, position: _Position, start_time: float) -> Throughput:
    """Return the counter of the examples that this process trains on."""
    trained = plan.batching.epoch(split, position.epoch)[: position.step]
    return Throughput(len(split), plan.batching.size, sum(map(len, trained)), start_time)


def _dataset(
    job: Job,
    plan: Plan,
    layouts: Layouts,
    split: Split,
    position: _Position,
    objective: Objective,
) -> Any:
    """Return all batches from a position to the end, for the devices of the run."""
    epochs = range(position.epoch, plan.epochs)
    targets = objective.targets(split)
    if not job.is_filled_up:
        return batching.training_dataset(
            split,
            plan.batching,
            layouts.training,
            epochs=epochs,
            first_step=position.step,
            targets=targets,
        )
    return job.strategy.distribute_datasets_from_function(
        lambda context: batching.replicas_dataset(
            split,
            plan.batching,
            layouts.training,
            context,
            epochs=epochs,
            first_step=position.step,
            targets=targets,
        )
    )


def _batches(
    plan: Plan, layouts: Layouts, split: Split, count: int
) -> Iterator[Mapping[str, tf.Tensor]]:
    """Yield so many whole batches of training examples, one epoch after the other.

    The last one of an epoch, which may hold few examples, is left out where there are others.
    """
    whole = max(1, len(split) // plan.batching.size)
    for epoch in itertools.count():
        dataset = batching.training_dataset(
            split, plan.batching, layouts.training, epochs=range(epoch, epoch + 1)
        )
        for features, _ in dataset.take(min(whole, count)):
            yield features
        count -= whole
        if count <= 0:
            return


def _fit(
    trainee: Trainee,
    plan: Plan,
    position: _Position,
    dataset: Any,
    all_callbacks: Sequence[tf_keras.callbacks.Callback],
) -> None:
    """Let Keras train from a position to the end."""
    if position.step:
        trainee._training_state = position
    logging.info("tracing the training step")
    trainee.fit(
        dataset,
        initial_epoch=position.epoch,
        epochs=plan.epochs,
        steps_per_epoch=plan.steps_per_epoch,
        verbose=0,
        callbacks=list(all_callbacks),
    )
    trainee._training_state = None
