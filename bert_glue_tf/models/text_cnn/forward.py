"""The computation of the network, which training and export go through."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from bert_glue_tf.data import packing
from bert_glue_tf.models.text_cnn.architecture import Architecture, bias_of, kernel_of, table_of

# Layer from 1, and what it is to read -> what it reads, as after dropout.
Drop = Callable[[int, tf.Tensor], tf.Tensor]
# Features [rows, 1, width, in] and a kernel [size, in, filters] -> [rows, 1, width, filters].
Convolve = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def encode(
    weights: Mapping[str, Any],
    architecture: Architecture,
    features: Mapping[str, tf.Tensor],
    drop: Drop = lambda layer, hidden: hidden,
) -> dict[str, tf.Tensor]:
    """Return the features of each word, and their largest over the words of a text.

    Every layer is a convolution with "same" padding and ReLU, as in Xu et al. 2018
    (https://arxiv.org/abs/1805.04601); the largest over a text is Kim 2014's, "Convolutional neural
    networks for sentence classification" (https://arxiv.org/abs/1408.5882). Padding is zero in
    front of each layer, as beyond the ends of a text, and so are the neighbours of a packed text:
    an answer depends on the text alone.

    Args:
      weights: name -> weight, of the shapes of `Architecture.shapes`.
      architecture: of the network.
      features: int32 [texts, length] of `preprocessing.INPUTS`, or those of packed texts,
        `packing.INPUTS`; without `packing.FIRSTS` nothing is pooled.
      drop: is asked in front of each layer.

    Returns:
      sequence_output [rows, width, hidden] and pooled_output [texts, hidden].
    """
    ids = features[packing.WORD_IDS]
    is_packed = packing.TEXTS in features
    texts = features[packing.TEXTS] if is_packed else features["input_mask"]
    convolve = _within(texts) if is_packed else _convolve
    # In one row per text, since TFLite's convolution has two directions.
    shape = [tf.shape(ids)[0], 1, tf.shape(ids)[1]]
    if ids.shape.is_fully_defined():
        shape = [ids.shape[0], 1, ids.shape[1]]
    flat = tf.reshape(ids, [-1])  # TFLite reads the rows of a table by numbers in one line.
    vectors = [tf.gather(weights[table_of(name)], flat) for name, _ in architecture.tables]
    hidden = tf.concat(vectors, axis=-1) if len(vectors) > 1 else vectors[0]
    hidden = tf.reshape(hidden, [*shape, architecture.inputs_of(1)])
    is_word = tf.reshape(tf.cast(tf.minimum(texts, 1), hidden.dtype), [*shape, 1])
    hidden = hidden * is_word
    for layer, convolutions in enumerate(architecture.layers, 1):
        hidden = drop(layer, hidden)
        made = []
        for _, width in convolutions:
            kernel = kernel_of(layer, width)
            # The name is that of the operator in a file, by which recipes and reports know it.
            with tf.name_scope(kernel.removesuffix("/kernel")):
                product = convolve(hidden, weights[kernel])
                made.append(tf.nn.relu(tf.nn.bias_add(product, weights[bias_of(kernel)])))
        hidden = (tf.concat(made, axis=-1) if len(made) > 1 else made[0]) * is_word
    hidden = tf.squeeze(hidden, 1)
    outputs = {"sequence_output": hidden}
    if not is_packed:
        outputs["pooled_output"] = tf.reduce_max(hidden, axis=1)
    elif packing.FIRSTS in features:
        outputs["pooled_output"] = _largest(hidden, features)
    return outputs


def _convolve(hidden: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return the convolution of rows that hold a text each."""
    return tf.nn.conv2d(hidden, tf.expand_dims(kernel, 0), strides=1, padding="SAME")


def _within(texts: tf.Tensor) -> Convolve:
    """Return a convolution that reads the words of a text alone, where a row holds several.

    It is the product of the kernel with each word and its neighbours side by side, of which those
    of other texts are zero.

    Args:
      texts: int32 [rows, width], number of each position's text within its row; 0 for padding.
    """

    def shifted(values: tf.Tensor, by: int) -> tf.Tensor:
        """Return values [rows, width, ...] whose column i is column i + by; zeros beyond."""
        if by == 0:
            return values
        rest = [[0, 0]] * (len(values.shape) - 2)
        if by > 0:
            return tf.pad(values[:, by:], [[0, 0], [0, by], *rest])
        return tf.pad(values[:, :by], [[0, 0], [-by, 0], *rest])

    def convolve(hidden: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        rows = tf.squeeze(hidden, 1)
        width, inputs, filters = kernel.shape
        around = []
        for by in range(-(width // 2), width // 2 + 1):
            is_own = tf.cast(tf.equal(shifted(texts, by), texts), rows.dtype)
            around.append(shifted(rows, by) * is_own[..., None] if by else rows)
        matrix = tf.reshape(kernel, [width * inputs, filters])
        return tf.expand_dims(tf.matmul(tf.concat(around, axis=-1), matrix), 1)

    return convolve


def _largest(hidden: tf.Tensor, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Return the largest of each feature over the words of each packed text, [texts, hidden]."""
    texts, firsts = features[packing.TEXTS], features[packing.FIRSTS]
    most = tf.shape(texts)[1] + 1  # No row has more texts than positions, and 0 is padding.
    numbers = tf.range(tf.shape(texts)[0])[:, None] * most + texts
    found = tf.math.unsorted_segment_max(hidden, numbers, tf.shape(texts)[0] * most)
    return tf.gather(found, tf.gather_nd(numbers, firsts))
