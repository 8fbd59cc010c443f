"""The rules of a recipe applied to a float32 file, by `ai-edge-quantizer`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bert_glue_tf.core import quiet
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import flatbuffer
from bert_glue_tf.models.quantization.recipes import Rule

# The smallest and the largest value of a tensor, or of each group of weights that shares a step.
Range = tuple[float | np.ndarray, float | np.ndarray]


def quantize(
    model: bytes,
    rules: Sequence[Rule],
    ranges: Mapping[str, Range] | None = None,
) -> bytes:
    """Apply rules to a float32 file.

    Args:
      model: from `convert`.
      rules: in their order.
      ranges: name of a tensor -> its smallest and largest value: of activations for rules with
        activation bits, and of weights whose grid is not to reach to their largest value.

    Raises:
      UserError: `ai-edge-quantizer` cannot do what the rules say.
    """
    if not rules:
        return model
    with quiet.tools():
        from ai_edge_quantizer import quantizer, recipe_manager

        widths = flatbuffer.dense_input_widths(flatbuffer.read(model))
        recipes = recipe_manager.RecipeManager()
        for rule in rules:
            _add(recipes, rule, rule.grid(widths).block)
        # The quantizer writes into it, and holds it.
        content = bytearray(model)
        del model
        tool = quantizer.Quantizer(content, recipes.get_quantization_recipe())
        calibration = (
            None
            if ranges is None
            else {
                name: {
                    "min": np.atleast_2d(np.asarray(low, np.float32)),
                    "max": np.atleast_2d(np.asarray(high, np.float32)),
                }
                for name, (low, high) in ranges.items()
            }
        )
        try:
            result = tool.quantize(calibration)
        except (ValueError, RuntimeError) as error:
            raise UserError(f"ai-edge-quantizer refuses the recipe: {error}") from error
    assert result.quantized_model is not None
    quantized = bytes(result.quantized_model)
    found = flatbuffer.read(quantized)
    return flatbuffer.write(found) if flatbuffer.replace_zero_scales(found) else quantized


def _add(recipes: Any, rule: Rule, block: int) -> None:
    from ai_edge_quantizer import qtyping

    operation = qtyping.TFLOperationName(rule.operation)
    if rule.weight_bits == 16:
        recipes.add_quantization_config(
            regex=rule.scope,
            operation_name=operation,
            op_config=qtyping.OpQuantizationConfig(
                weight_tensor_config=qtyping.TensorQuantizationConfig(
                    num_bits=16, dtype=qtyping.TensorDataType.FLOAT
                ),
                compute_precision=qtyping.ComputePrecision.FLOAT,
                explicit_dequantize=True,
            ),
            algorithm_key="float_casting",
        )
    elif rule.activation_bits:
        recipes.add_static_config(
            regex=rule.scope,
            operation_name=operation,
            activation_num_bits=rule.activation_bits,
            weight_num_bits=rule.weight_bits,
            algorithm_key=rule.algorithm,
        )
    else:
        granularity = f"BLOCKWISE_{block}" if block else "CHANNELWISE"
        recipes.add_dynamic_config(
            regex=rule.scope,
            operation_name=operation,
            num_bits=rule.weight_bits,
            granularity=qtyping.QuantGranularity(granularity),
            algorithm_key=rule.algorithm,
        )


def scope_of(name: str) -> str:
    """Return the regular expression that matches the operator whose output has this name, alone."""
    return f"^{re.escape(name)};?$"
