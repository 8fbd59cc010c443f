"""The file of a training that knew of its quantization, with the grids that were trained.

The weights of such a run stand on their grid when they are saved, so that quantizing them again by
the same computation gives the whole numbers that the training had; where a grid does not reach to
the largest weight (`OCTAV`), the bound that was trained is handed over. `ai-edge-quantizer` could
also recover a grid from the weights alone, as the smallest difference of two of them
(`dequantized_weight_recovery`). With gamma folded into the weights that fails: two weights of one
whole number then differ by a rounding of float32, and that difference is taken for the step.
"""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np

from bert_glue_tf.export import flatbuffer
from bert_glue_tf.export.quantize import Range
from bert_glue_tf.export.record import TRAINED
from bert_glue_tf.models.quantization import grids, recipes
from bert_glue_tf.models.quantization.grids import MIN_MAX
from bert_glue_tf.models.quantization.imitation import Trained, range_of
from bert_glue_tf.models.quantization.recipes import Rule

_LARGEST_BIAS = 2.0**30  # Half of what int32 holds: the product is added to it.
# The name of a product, as a training has it, in the name of its operator's output.
_PRODUCT = re.compile(
    r"layer_\d+/(?:self_attention/(?:query|key|value|attention_output)|intermediate|output)(?=/)"
)


def rules_and_ranges(
    model: bytes, trained: Trained
) -> tuple[tuple[Rule, ...], dict[str, Range], dict[str, Any]]:
    """Return what `quantize.quantize` needs for a file on trained grids, and its description.

    Args:
      model: float32 file, of the run's own saved model.
      trained: the grids of that model.

    Returns:
      The rules; the ranges by the names of the file's tensors; what the record says of them.

    Raises:
      ValueError: the file lacks a product that was trained.
    """
    rules = tuple(
        # The bounds are handed over.
        dataclasses.replace(rule, algorithm=MIN_MAX)
        for rule in recipes.get(trained.recipe).imitated
    )
    content = flatbuffer.read(model)
    found: dict[str, Range] = {}
    used: set[str] = set()
    for graph, names in zip(content.subgraphs, flatbuffer.operators(content), strict=True):
        for place, operation in enumerate(names):
            product = _PRODUCT.search(flatbuffer.output_name(graph, place))
            if operation != recipes.PRODUCT or not product:
                continue
            operator, name = graph.operators[place], product[0]
            sides = {"input": operator.inputs[0], "output": operator.outputs[0]}
            for side, index in sides.items():
                point = range_of(f"{name}:{side}")
                if point in trained.ranges:
                    found[graph.tensors[index].name.decode()] = trained.ranges[point]
                    used.add(point)
            weights, *bias = (graph.tensors[index] for index in operator.inputs[1:] if index >= 0)
            matrix = _values(content, weights)
            shift = _values(content, bias[0]) if bias else np.zeros(len(matrix), np.float32)
            bound = None
            if name in trained.clips:
                bound = _bounds(matrix, trained.clips[name])
                used.add(name)
            elif range_of(f"{name}:input") in trained.ranges:
                bound = _wide_enough(matrix, shift, trained.ranges[range_of(f"{name}:input")])
            if bound is not None:
                found[weights.name.decode()] = -bound, bound
    lacking = sorted({*trained.ranges, *trained.clips} - used)
    if lacking:
        raise ValueError(f"the file has no product for {lacking[0]}")
    widths = flatbuffer.dense_input_widths(content)
    block = max(rule.grid(widths).block for rule in rules)
    told = {
        "ranges": TRAINED,
        "block": block,
        "points": len(trained.ranges),
        "clips": len(trained.clips),
    }
    return rules, found, told


def _values(content: Any, tensor: Any) -> np.ndarray:
    """Return a float32 constant of a file."""
    return np.frombuffer(content.buffers[tensor.buffer].data, np.float32).reshape(tensor.shape)


def _wide_enough(
    weights: np.ndarray, bias: np.ndarray, limits: tuple[float, float]
) -> np.ndarray | None:
    """Return how far the grids of int8 weights reach: float32 [out, 1].

    The step of a bias in int32 is that of the input times that of the weights. An output without
    weights would have so small a step that its bias is no int32.

    Args:
      weights: float32 [out, in].
      bias: float32 [out].
      limits: range of the input.

    Returns:
      None where each grid reaches to its largest weight.
    """
    largest = np.abs(weights).max(axis=1, keepdims=True)
    needed = 127 * np.abs(bias[:, None]) / (_LARGEST_BIAS * float(grids.range_step(*limits)))
    if (needed <= largest).all():
        return None
    return np.maximum(largest, needed).astype(np.float32)


def _bounds(weights: np.ndarray, clip: np.ndarray) -> np.ndarray:
    """Return how far the grid of each group reaches: float32 [out, groups].

    Args:
      weights: float32 [out, in].
      clip: float32 [groups, out].
    """
    largest = np.abs(weights.reshape(len(weights), len(clip), -1)).max(axis=2)
    return np.minimum(np.maximum(largest, np.float32(1e-9)), clip.T)
