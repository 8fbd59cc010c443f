"""Classifiers: built on an encoder, the state of their dropout, and their answers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import tensorflow as tf
import tf_keras

from bert_glue_tf.data.layouts import Layout, Packed
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.evaluation.evaluator import PredictFn
from bert_glue_tf.models import heads
from bert_glue_tf.models.quantization.imitation import is_weight
from bert_glue_tf.models.word_heads.names import DEFAULT, NO_WORDS

PACKED_FEATURES = Packed().signature()


def build_classifier(
    encoder: tf_keras.layers.Layer,
    task: TaskSpec,
    *,
    dropout: float,
    seed: int,
    tagging_head: str = DEFAULT,
) -> tf_keras.Model:
    """Build a classifier: an encoder, dropout on its pooled output, a dense layer.

    Of a task that tags words it is the last layer's output, and the head of words before the dense
    layer.

    Args:
      encoder: dict of int32 [batch, length] in, dict with float32 pooled_output
        [batch, hidden] out.
      task: gives the number of classes (1 for regression).
      dropout: rate before the classifier.
      seed: of the classifier's first weights and its dropout.
      tagging_head: name of the head, where words are tagged.

    Returns:
      A functional model, dict of int32 [batch, length] in, float32 [batch, classes] logits out, or
      [batch, length, tags].
    """
    word_head = tagging_head if task.problem.tags_words else NO_WORDS
    return heads.attach(encoder, task.problem.width, dropout, seed, word_head, task.modality)


@contextlib.contextmanager
def restorable_dropout() -> Iterator[None]:
    """Let layers made inside of the block keep the state of their dropout in `dropout_states`.

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
    """Return the generators that a model's dropout is drawn from, in the order of its layers.

    Empty for an encoder held as a SavedModel, whose dropout is part of its graphs. Keras itself
    leaves these generators out of checkpoints.
    """
    layers = (
        module
        for module in model.submodules
        if isinstance(module, tf_keras.__internal__.layers.BaseRandomLayer)
    )
    generators = (layer._random_generator._generator for layer in layers)
    return [generator for generator in generators if generator is not None]


def predict_fn(model: tf_keras.Model, layout: Layout) -> PredictFn:
    """Return the model in inference mode as a function of features to logits, traced once.

    Where the model's variables are those of several replicas, each computes its part of a batch,
    and all of them have to call the function in step; an encoder held as a SavedModel could not be
    called otherwise, since one that was loaded for replicas works within `strategy.run` only.
    `model.predict_on_batch` does the same as this function and builds a data set for each batch.

    Args:
      model: from `build_classifier`.
      layout: of the features, with a part for each replica.
    """
    strategy = model.distribute_strategy
    replicas = strategy.num_replicas_in_sync
    network = heads.over(model, layout.inputs)
    signature = layout.signature()
    if replicas == 1 and not layout.is_static:

        @tf.function(input_signature=[signature])
        def forward(features: Mapping[str, tf.Tensor]) -> tf.Tensor:
            return network(features, training=False)

        return lambda features: forward(features).numpy()

    @tf.function(input_signature=[signature])
    def forward_parts(features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        def one(features: Mapping[str, tf.Tensor]) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            number = context.replica_id_in_sync_group
            own = {name: _part(value, replicas, number) for name, value in features.items()}
            return context.all_gather(network(own, training=False), axis=0)

        return strategy.experimental_local_results(strategy.run(one, (features,)))[0]

    return lambda features: forward_parts(features).numpy()


def _part(values: tf.Tensor, parts: int, number: tf.Tensor) -> tf.Tensor:
    """Return one of the equal parts of an array [n, ...]; its shape is static where n is."""
    sides = [own or tf.shape(values)[axis] for axis, own in enumerate(values.shape)]
    size = sides[0] // parts
    return tf.slice(values, [number * size, *(0 for _ in sides[1:])], [size, *sides[1:]])


def count_weights(variables: Iterable[tf.Variable]) -> int:
    """Count the elements of the weights among variables."""
    return sum(math.prod(variable.shape) for variable in variables if is_weight(variable))


def count_parameters(model: tf_keras.Model) -> dict[str, int]:
    """Count the weights of a model, and those that are not exactly zero."""
    weights = [variable for variable in model.weights if is_weight(variable)]
    return {
        "total": count_weights(model.weights),
        # One at a time and without a copy: half of a large vocabulary's model is one table.
        "nonzero": sum(int(np.count_nonzero(weight.read_value())) for weight in weights),
    }
