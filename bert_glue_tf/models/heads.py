"""Heads: what makes a classifier of an encoder."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tf_keras

from bert_glue_tf.data.preprocessing import INPUTS

CLASSIFIER = "classifier"
DROPOUT = "dropout"
INITIALIZER_RANGE = 0.02  # BERT's own (Devlin et al. 2019, and google-research/bert).


def attach(encoder: tf_keras.layers.Layer, num_classes: int, dropout: float, seed: int) -> Any:
    inputs = {name: tf_keras.Input((None,), dtype=tf.int32, name=name) for name in INPUTS}
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
