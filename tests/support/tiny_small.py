"""Small networks for tests, and their computation in NumPy alone."""

from __future__ import annotations

import dataclasses

import numpy as np

from bert_glue_tf.data import tasks
from bert_glue_tf.data.arrays import VALUES, ArrayExamples, Arrays
from bert_glue_tf.data.layouts import Padded
from bert_glue_tf.data.tasks import TaskSpec
from bert_glue_tf.models import encoders, loading
from bert_glue_tf.models.backbone import Backbone
from bert_glue_tf.models.small.architecture import DEVIATION, MEAN, Architecture, weight_of
from bert_glue_tf.models.small.designs import INPUT, WHOLE

SHAPE = (12, 12, 1)  # Of pictures, the smallest that LeNet-5 reads.


def task(shape: tuple[int, ...] = SHAPE, classes: int = 3) -> TaskSpec:
    """Return a task of pictures with so many classes."""
    names = [f"class_{number}" for number in range(classes)]
    images = tasks.get("images")
    values = {"classes": names, "shape": shape, "has_test": False, "split_off": None}
    return dataclasses.replace(tasks.described(images.name, values))


def examples(
    count: int = 30, shape: tuple[int, ...] = SHAPE, classes: int = 3, seed: int = 0
) -> ArrayExamples:
    """Return pictures whose class is the third of their rows that is bright."""
    random = np.random.default_rng(seed)
    labels = (np.arange(count) % classes).astype(np.int32)
    values = random.integers(0, 60, (count, *shape)).astype(np.uint8)
    height = shape[0] // classes
    for value, label in zip(values, labels, strict=True):
        value[label * height : (label + 1) * height] += 150
    provenance = {
        "name": "npz", "split": "train", "version": None, "sha256": str(seed), "path": None,
        "examples": count, "split_examples": count, "dropped_rows": 0, "shape": list(shape),
        "range": [0.0, 255.0],
    }  # fmt: skip
    return ArrayExamples(texts=(), labels=labels, provenance=provenance, values=values)


def backbone(name: str = "lenet5", count: int = 30, shape=SHAPE, seed: int = 3) -> Backbone:
    """Return a network that is fitted to `examples`, with first weights."""
    begun = loading.load(encoders.resolve(name))
    return begun.fitted(examples(count, shape)).with_first_weights(seed)


def layout(shape: tuple[int, ...] = SHAPE) -> Padded:
    """Return the layout of arrays of a shape."""
    return Padded(lengths=(1,), modality=Arrays(shape=shape))


def batch(count: int = 3, shape: tuple[int, ...] = SHAPE, seed: int = 1) -> dict[str, np.ndarray]:
    """Return float32 features of some pictures."""
    return {VALUES: examples(count, shape, seed=seed).values.astype(np.float32)}


def forward(shapes: Architecture, weights: dict[str, np.ndarray], values: np.ndarray) -> np.ndarray:
    """Compute the features behind the last layer in NumPy, float64, window by window."""
    x = (values.astype(np.float64) - weights[MEAN]) / weights[DEVIATION]
    maps = {INPUT: x.reshape(len(values), *shapes.map_shape)}
    for layer in shapes.layers:
        below = maps[layer.reads]
        kernel = weights[weight_of(layer.name, "kernel")].astype(np.float64)
        assert layer.size in (WHOLE, kernel.shape[:2])
        made = _windows(below, kernel.shape[:2], layer.stride, layer.padding)
        y = np.einsum("bhwijc,ijco->bhwo", made, kernel)
        if layer.norm:
            scale, mean, variance = (
                weights[weight_of(layer.name, leaf)] for leaf in ("scale", "mean", "variance")
            )
            y = (y - mean) / np.sqrt(variance + 1e-3) * scale
        y = y + weights[weight_of(layer.name, "bias")]
        if layer.adds:
            y = y + maps[layer.adds]
        y = np.maximum(y, 0.0) if layer.relu else y
        if layer.pool != (1, 1):
            step = tuple(s or p for s, p in zip(layer.pool_stride, layer.pool, strict=True))
            y = _windows(y, layer.pool, step, "SAME", -np.inf).max(axis=(3, 4))
        maps[layer.name] = y
    return maps[shapes.layers[-1].name].mean(axis=(1, 2))


def _windows(x, size, step, padding, filling=0.0):
    """Return [batch, rows, columns, *size, channels] as TensorFlow lays them."""
    pads = [(0, 0)]
    for side, own, by in zip(x.shape[1:3], size, step, strict=True):
        wanted = max((-(-side // by) - 1) * by + own - side, 0) if padding == "SAME" else 0
        pads.append((wanted // 2, wanted - wanted // 2))
    x = np.pad(x, [*pads, (0, 0)], constant_values=filling)
    rows = range(0, x.shape[1] - size[0] + 1, step[0])
    columns = range(0, x.shape[2] - size[1] + 1, step[1])
    return np.stack(
        [np.stack([x[:, r : r + size[0], c : c + size[1]] for c in columns], axis=1) for r in rows],
        axis=1,
    )
