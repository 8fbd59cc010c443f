"""The classifier on top of an encoder: built, saved with its preprocessing, and loaded."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import pathlib
import shutil
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from bert_glue_tf.core import saved_models, strict_json
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data import batching
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation.evaluator import PredictFn
from bert_glue_tf.models.bert import native
from bert_glue_tf.models.encoders import Encoder

CLASSIFIER = "classifier"
DROPOUT = "dropout"
INITIALIZER_RANGE = 0.02  # BERT's own (Devlin et al. 2019, and google-research/bert).
_ARCHITECTURE = "architecture.json"
_FEATURES = {name: tf.TensorSpec((None, None), tf.int32, name=name) for name in native.INPUTS}


def _head(encoder: tf_keras.layers.Layer, num_classes: int, dropout: float, seed: int) -> Any:
    inputs = {name: tf_keras.Input((None,), dtype=tf.int32, name=name) for name in native.INPUTS}
    pooled = encoder(inputs)["pooled_output"]
    pooled = tf_keras.layers.Dropout(dropout, seed=seed, name=DROPOUT)(pooled)
    logits = tf_keras.layers.Dense(
        num_classes,
        kernel_initializer=tf_keras.initializers.TruncatedNormal(
            stddev=INITIALIZER_RANGE, seed=seed
        ),
        dtype=tf.float32,  # Logits and loss are float32 under mixed precision too.
        name=CLASSIFIER,
    )(pooled)
    return tf_keras.Model(inputs, logits)


def build_classifier(
    encoder: tf_keras.layers.Layer, task: TaskSpec, *, dropout: float, seed: int
) -> tf_keras.Model:
    """Encoder, dropout on its pooled output, a dense classifier.

    Args:
      encoder: dict of int32 [batch, length] in, dict with float32 pooled_output
        [batch, hidden] out.
      task: gives the number of classes (1 for regression).
      dropout: rate before the classifier.
      seed: of the classifier's first weights and its dropout.

    Returns:
      A functional model, dict of int32 [batch, length] in, float32 [batch, classes] logits out.
    """
    return _head(encoder, task.num_classes, dropout, seed)


@contextlib.contextmanager
def restorable_dropout() -> Iterator[None]:
    """Layers made inside of the block keep the state of their dropout in `dropout_states`.

    Keras's default are random operations with a state inside of TensorFlow's runtime: it cannot
    be saved, and a process that goes on with a training would begin it anew. Nor do they know
    which replica they run for: every worker would drop the same.

    Under a strategy, `tf.random.Generator` keeps one state, the same on every replica, and draws
    from it and the replica's number over all workers.
    """
    random = tf_keras.backend.experimental
    was_enabled = random.is_tf_random_generator_enabled()
    random.enable_tf_random_generator()
    try:
        yield
    finally:
        if not was_enabled:
            random.disable_tf_random_generator()


def dropout_states(model: tf_keras.Model) -> list[tf.random.Generator]:
    """What the dropout of a model is drawn from, in the order of its layers.

    Empty for an opaque encoder's own dropout, which is part of its SavedModel's graphs. Keras
    itself leaves these generators out of checkpoints.
    """
    layers = (
        module
        for module in model.submodules
        if isinstance(module, tf_keras.__internal__.layers.BaseRandomLayer)
    )
    generators = (layer._random_generator._generator for layer in layers)
    return [generator for generator in generators if generator is not None]


def build_loss(task: TaskSpec) -> tf_keras.losses.Loss:
    """Sparse categorical cross-entropy on logits; mean squared error for regression."""
    if task.is_regression:
        return tf_keras.losses.MeanSquaredError()
    return tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)


class _MeanOfExamples(tf_keras.metrics.MeanMetricWrapper):
    """Mean over the examples of an epoch, each counted once, and those of weight 0 not at all.

    The weights that `batching.fill_up` gives are right for a batch's gradient, but larger in a
    batch that was filled up; a weighted mean over an epoch would count its examples for more.
    """

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> tf.Operation:
        if sample_weight is not None:
            sample_weight = tf.cast(sample_weight > 0, tf.float32)
        return super().update_state(y_true, y_pred, sample_weight)


def build_metrics(task: TaskSpec, is_filled_up: bool) -> list[tf_keras.metrics.Metric | str]:
    """What Keras is to report of the training besides the loss, as its `weighted_metrics`.

    Where batches are filled up that is the loss as well: Keras's own is a mean over all that the
    replicas were given, and this one of the same name takes its place in the logs.

    Args:
      task: of the run.
      is_filled_up: whether the batches come from `batching.replicas_dataset`; the metrics have
        to be made under the replicas' strategy.
    """
    if not is_filled_up:
        return [] if task.is_regression else ["accuracy"]
    keras = tf_keras.metrics
    if task.is_regression:
        return [_MeanOfExamples(keras.mean_squared_error, name="loss")]
    return [
        _MeanOfExamples(keras.sparse_categorical_accuracy, name="accuracy"),
        _MeanOfExamples(keras.sparse_categorical_crossentropy, name="loss", from_logits=True),
    ]


def predict_fn(model: tf_keras.Model, static_shape: tuple[int, int] | None = None) -> PredictFn:
    """The model in inference mode as a function of features to logits, traced once.

    Where the model's variables are those of several replicas, each computes its part of a batch,
    and all of them have to call the function in step; an opaque encoder could not be called
    otherwise, since a SavedModel that was loaded for replicas works within `strategy.run` only.
    `model.predict_on_batch` does the same as this function and builds a data set for each batch.

    Args:
      model: from `build_classifier`.
      static_shape: batch and length that every batch is filled up to, since a TPU's shapes are
        static; by default the batch is filled up to what the replicas can share, if anything.
    """
    strategy = model.distribute_strategy
    replicas = strategy.num_replicas_in_sync
    if replicas == 1 and static_shape is None:

        @tf.function(input_signature=[_FEATURES])
        def forward(features: Mapping[str, tf.Tensor]) -> tf.Tensor:
            return model(features, training=False)

        return lambda features: forward(features).numpy()

    rows, length = static_shape or (None, None)
    rows = rows and math.ceil(rows / replicas) * replicas
    specs = {name: tf.TensorSpec((rows, length), tf.int32, name=name) for name in native.INPUTS}

    @tf.function(input_signature=[specs])
    def forward_parts(features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        def one(features: Mapping[str, tf.Tensor]) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # Static where the batch is.
            part = (rows or tf.shape(features[native.INPUTS[0]])[0]) // replicas
            start = context.replica_id_in_sync_group * part
            own = {
                name: tf.slice(value, [start, 0], [part, length or tf.shape(value)[1]])
                for name, value in features.items()
            }
            return context.all_gather(model(own, training=False), axis=0)

        return strategy.experimental_local_results(strategy.run(one, (features,)))[0]

    def predict(features: Mapping[str, np.ndarray]) -> np.ndarray:
        count = len(features[native.INPUTS[0]])
        indices, _ = batching.fill_up(np.arange(count), replicas, rows or 0)
        filled = {name: value[indices] for name, value in features.items()}
        return forward_parts(filled).numpy()[:count]

    return predict


def count_parameters(model: tf_keras.Model) -> dict[str, int]:
    """Number of weights of the model, and of those that are not exactly zero."""
    values = [weight.numpy() for weight in model.weights]
    return {
        "total": int(sum(value.size for value in values)),
        "nonzero": int(sum(np.count_nonzero(value) for value in values)),
    }


def save(model: tf_keras.Model, encoder: Encoder, task: TaskSpec, folder: pathlib.Path) -> None:
    """Writes `folder` as a whole: SavedModel, preprocessing, and how to build the model again.

    The architecture that is written is that of the model's own weights, which may be smaller
    than `encoder`'s; the preprocessing is the folder that `encoder` names.

    The SavedModel has one signature, int32 [batch, length] features in, `logits` out.
    Keras's own `model.save` is not used: `BertEncoderV2` creates its weights when first
    called, and loaded that way it comes back with random ones, silently (tf-keras 2.20).
    """
    for leftover in folder.parent.glob(f".{folder.name}.*"):  # Of a process that was killed.
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        _write(model, encoder, task, temporary)
        if folder.exists():  # Left by an attempt that did not come to its result record.
            shutil.rmtree(folder)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write(model: tf_keras.Model, encoder: Encoder, task: TaskSpec, folder: pathlib.Path) -> None:
    archive = _Archive()
    archive.track(model)
    archive.add_endpoint(
        name="serve",
        fn=lambda inputs: {"logits": model(inputs, training=False)},
        input_signature=[_FEATURES],
    )
    with contextlib.redirect_stdout(io.StringIO()):  # It prints each captured variable.
        archive.write_out(str(folder))
    shutil.copytree(encoder.preprocessing_path, folder / "preprocessing")
    saved_models.remove_chance(folder)
    architecture = encoder.architecture and native.describe(
        native.by_canonical_name(model.variables), encoder.architecture
    )
    description = {
        "task": task.name,
        "labels": task.labels,
        "num_classes": task.num_classes,
        # None for an opaque encoder: then only the SavedModel tells how to compute it.
        "encoder": architecture and dataclasses.asdict(architecture),
    }
    (folder / _ARCHITECTURE).write_text(json.dumps(description, indent=2) + "\n")


class _Archive(tf_keras.export.ExportArchive):
    """Keras's archive, with the variables in the order of the model instead of a set's."""

    _all_variables: list[tf.Variable]

    def _filter_and_track_resources(self) -> None:
        super()._filter_and_track_resources()
        order = {id(variable): number for number, variable in enumerate(self.variables)}
        self._all_variables = sorted(
            self._all_variables, key=lambda variable: order.get(id(variable), len(order))
        )


def _saved(folder: pathlib.Path) -> Any:
    if not (folder / "saved_model.pb").is_file():
        raise UserError(f"{folder}: holds no model. Give the model folder of a finished run.")
    return tf.saved_model.load(str(folder))


def load_predict_fn(folder: pathlib.Path) -> PredictFn:
    """The saved model as a function of features to logits; works for every encoder.

    Raises:
      UserError: the folder holds no model.
    """
    saved = _saved(folder)

    def predict(features: Mapping[str, np.ndarray]) -> np.ndarray:
        tensors = {name: tf.constant(value) for name, value in features.items()}
        # `predict` keeps `saved`, and with it the variables, alive.
        return saved.serve(tensors)["logits"].numpy()

    return predict


@dataclasses.dataclass(frozen=True)
class SavedWeights:
    """What a classifier with a native encoder holds, by name.

    Attributes:
      architecture: of the native encoder.
      encoder: canonical name -> float32 weight.
      kernel: float32 [hidden, classes] of the classifier.
      bias: float32 [classes].
    """

    architecture: native.Architecture
    encoder: Mapping[str, np.ndarray]
    kernel: np.ndarray
    bias: np.ndarray


def read_description(folder: pathlib.Path) -> dict[str, Any]:
    """What `save` wrote beside the SavedModel: task, labels, num_classes, encoder (or None).

    Raises:
      UserError: the folder holds no model.
    """
    try:
        return dict(strict_json.loads((folder / _ARCHITECTURE).read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder}: holds no model of this project ({_ARCHITECTURE}: {error}). "
            "Give the model folder of a finished run."
        ) from None


def read_weights(folder: pathlib.Path) -> SavedWeights:
    """The saved model's weights (native encoders only).

    Raises:
      UserError: the folder holds no model, or its encoder is opaque.
    """
    description = read_description(folder)
    if description["encoder"] is None:
        raise UserError(
            f"{folder}: its encoder is opaque (a hub.KerasLayer), so its layers cannot be "
            "built again. Train with a standard BERT encoder for that."
        )
    values: dict[str, np.ndarray] = {}
    head: dict[str, np.ndarray] = {}
    for variable in _saved(folder).variables:
        name = native.canonical_name(variable.name)
        target, key = (
            (values, name) if name else (head, variable.name.split(":")[0].rsplit("/", 1)[-1])
        )
        target[key] = variable.numpy()
    architecture = native.Architecture(**description["encoder"])
    return SavedWeights(architecture, values, head["kernel"], head["bias"])


def weights_of(model: tf_keras.Model, like: native.Architecture) -> SavedWeights:
    """The weights of a live classifier with a native encoder; `from_weights` is the way back.

    Args:
      model: from `build_classifier`, with plain layers.
      like: gives what no weight tells: activation and dropout rates of the encoder.

    Raises:
      NotNativeError: the encoder is not a native one.
    """
    variables = native.by_canonical_name(model.variables)
    architecture = native.describe(variables, like)
    kernel, bias = model.get_layer(CLASSIFIER).get_weights()
    encoder = {name: variable.numpy() for name, variable in variables.items()}
    return SavedWeights(architecture, encoder, kernel, bias)


def in_float32(model: tf_keras.Model, like: native.Architecture) -> tf_keras.Model:
    """A classifier with the same weights that computes in float32, whatever it was trained in.

    Args:
      model: from `build_classifier`, with a native encoder and plain layers.
      like: as for `weights_of`.
    """
    return from_weights(weights_of(model, like))


def from_weights(
    weights: SavedWeights, dropout: float = 0.0, origin: str = "the weights"
) -> tf_keras.Model:
    """A trainable Keras model of plain layers, as `build_classifier` gives it; no custom class.

    Args:
      weights: of the architecture that they name.
      dropout: rate before the classifier.
      origin: where the weights come from, for messages.
    """
    encoder = native.build_native(weights.architecture, weights.encoder.__getitem__, origin)
    model = _head(encoder, len(weights.bias), dropout, seed=0)
    model.get_layer(CLASSIFIER).set_weights([weights.kernel, weights.bias])
    return model


def load_classifier(folder: pathlib.Path, dropout: float = 0.0) -> tf_keras.Model:
    """The saved model as a trainable Keras model of plain layers (native encoders only).

    Raises:
      UserError: the folder holds no model, or its encoder is opaque.
    """
    return from_weights(read_weights(folder), dropout, str(folder))
