"""The BERT encoder as a Keras layer: built, filled with weights, and proved equal to its origin.

Weights are taken over variable by variable under one set of names (see `architecture`), and
the result is proved equal to its origin on a probe batch. TensorFlow is imported inside the
functions that need it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.data.preprocessing import INPUTS
from bert_glue_tf.models.bert.architecture import (
    ACTIVATIONS,
    INITIALIZER_RANGE,
    Architecture,
    NotBertError,
    by_canonical_name,
    read_architecture,
)
from bert_glue_tf.models.probing import collect, difference
from bert_glue_tf.models.quantization.recipes import NOT_QUANTIZED

# Two float32 evaluations of one encoder differ by about 1e-6 to 1e-5 (order of
# summation); a wrong activation shows as 1e-3 and more in a trained BERT.
PROBE_TOLERANCE = 1e-4
Reader = Callable[[str], np.ndarray]
# Bytes of a variable that are assigned at once. For a whole one TensorFlow holds three copies, and
# what it has allocated for them it does not give back to the system.
_PART = 1 << 24


def build_network(network: type, architecture: Architecture) -> Any:
    """Build an encoder of a class of tf-models-official's, with its first weights.

    Args:
        network: the class.
        architecture: with layers of one width.
    """
    from bert_glue_tf.models.bert.layer import NAME, official_arguments

    encoder = network(**official_arguments(architecture), name=NAME)
    _call_once(encoder)
    return encoder


def _call_once(encoder: Any) -> None:
    """Make the variables of an encoder."""
    import tensorflow as tf

    encoder({name: tf.ones((1, 2), tf.int32) for name in INPUTS})


def build_encoder(
    architecture: Architecture,
    read: Reader,
    origin: str = "the weights",
    recipe: str = NOT_QUANTIZED,
) -> Any:
    """Build the layer `BertEncoder` and assign every variable.

    Args:
        architecture: shapes and arithmetic.
        read: canonical name -> float32 array; a dense kernel may come with its heads
            in one dimension ([in, out]).
        origin: where the weights come from, for messages.
        recipe: name of the one whose file the layer imitates, as a `QuantizedEncoder`.

    Raises:
        UserError: a tensor whose size does not fit, naming it and both shapes.
    """
    encoder = _first(architecture, recipe)
    _call_once(encoder)
    for name, variable in by_canonical_name(encoder.variables).items():
        value, expected = read(name), tuple(variable.shape)
        if tuple(value.shape) != expected and not (
            "self_attention/" in name and value.size == np.prod(expected)
        ):
            raise UserError(
                f"{origin}: {name!r} has shape {list(value.shape)}, expected {list(expected)}"
            )
        _assign(variable, value.reshape(expected))
    return encoder


def _first(architecture: Architecture, recipe: str) -> Any:
    """Return an encoder whose weights are assigned later."""
    from bert_glue_tf.models.bert.layer import AssignedLater, BertEncoder
    from bert_glue_tf.models.bert.quantized_layer import QuantizedEncoder

    initializer = AssignedLater(stddev=INITIALIZER_RANGE)
    if recipe == NOT_QUANTIZED:
        return BertEncoder(architecture, initializer=initializer)
    return QuantizedEncoder(architecture, recipe, initializer=initializer)


def value_of(variable: Any) -> np.ndarray:
    """Return a variable's value, to be read only.

    It is no copy, as that of `numpy()` is: whoever changes the variable while it is held makes one.
    """
    return np.asarray(memoryview(variable.value()))


def _assign(variable: Any, value: np.ndarray) -> None:
    """Assign a value, a large one in parts."""
    import tensorflow as tf

    if value.nbytes <= _PART:
        variable.assign(value)
        return
    rows = max(1, _PART // (value.nbytes // len(value)))
    for own in tf.distribute.get_strategy().experimental_local_results(variable):
        for start in range(0, len(value), rows):
            part = value[start : start + rows]
            # The operation behind `own[a:b].assign`, which reads the rows first: whoever reads a
            # variable makes the next one who changes it copy the whole.
            tf.raw_ops.ResourceStridedSliceAssign(
                ref=own.handle, begin=[start], end=[start + len(part)], strides=[1], value=part
            )


def first_weights(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Draw a weight that pre-training has not given: float32, as BERT's authors begin.

    Kernels and tables come from the cut normal distribution of `INITIALIZER_RANGE`, biases are 0.
    """
    if name.endswith("/bias"):
        return np.zeros(shape, np.float32)
    from scipy import stats

    drawn = stats.truncnorm.rvs(-2, 2, scale=INITIALIZER_RANGE, size=shape, random_state=seed)
    return np.asarray(drawn, np.float32)


def take_over(
    layer: Any,
    outputs: Mapping[str, np.ndarray],
    batch: Mapping[str, np.ndarray],
    known: Architecture | None = None,
) -> tuple[Any, Architecture, float]:
    """Build an encoder of ours with the weights of a loaded SavedModel, and prove it equal.

    Args:
        layer: the SavedModel as a `hub.KerasLayer`.
        outputs: its own pooled_output and sequence_output on `batch`.
        batch: a probe batch.
        known: dropout rates and activation where an import recorded them.

    Returns:
        The encoder, its architecture, and the largest difference on the probe batch.

    Raises:
        NotBertError: with the reason in one sentence.
    """
    variables = by_canonical_name(layer.variables)
    found = read_architecture(variables)
    activations = [known.activation] if known else ACTIVATIONS
    tried: dict[str, float] = {}
    for activation in activations:
        candidate = dataclasses.replace(found.told_by(known or found), activation=activation)
        encoder = build_encoder(candidate, lambda name: value_of(variables[name]))
        tried[activation] = difference(encoder(dict(batch)), outputs)
        # As near as this, no other activation can be nearer by more than rounding.
        is_nearest = len(activations) == 1 or tried[activation] < PROBE_TOLERANCE / 100
        if is_nearest and tried[activation] < PROBE_TOLERANCE:
            return encoder, candidate, tried[activation]
        del encoder
        collect(variables.values())
    best = min(tried, key=tried.__getitem__)
    if not tried[best] < PROBE_TOLERANCE:
        raise NotBertError(
            "its outputs differ from a standard BERT's with the same weights by "
            + ", ".join(f"{value:.1e} ({name})" for name, value in tried.items())
        )
    candidate = dataclasses.replace(candidate, activation=best)
    encoder = build_encoder(candidate, lambda name: value_of(variables[name]))
    return encoder, candidate, tried[best]


def encoder_of(model: Any) -> Any:
    """Return the encoder, as `build_encoder` makes it, of a classifier that was built on one."""
    from bert_glue_tf.models.bert.layer import BertEncoder

    return next(layer for layer in model.layers if isinstance(layer, BertEncoder))
