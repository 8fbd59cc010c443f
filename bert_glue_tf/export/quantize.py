"""The rules of a recipe applied to a float32 file, by `ai-edge-quantizer`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_glue_tf.core import quiet
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import flatbuffer

if TYPE_CHECKING:
    pass
from bert_glue_tf.export.recipes import Rule

_BLOCKS = (32, 64, 128, 256)  # For which LiteRT has kernels.


def quantize(
    model: bytes,
    rules: Sequence[Rule],
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> bytes:
    """Apply rules to a float32 file.

    Args:
      model: from `convert`.
      rules: in their order.
      ranges: name of a tensor -> its smallest and largest value; for rules with
        activation bits.

    Raises:
      UserError: `ai-edge-quantizer` cannot do what the rules say.
    """
    if not rules:
        return model
    with quiet.tools():
        from ai_edge_quantizer import quantizer, recipe_manager

        recipes = recipe_manager.RecipeManager()
        for rule in rules:
            _add(recipes, rule, _fitting_block(model, rule.block))
        # The quantizer writes into it, and holds it.
        content = bytearray(model)
        del model
        tool = quantizer.Quantizer(content, recipes.get_quantization_recipe())
        calibration = (
            None
            if ranges is None
            else {
                name: {"min": np.array([[low]], np.float32), "max": np.array([[high]], np.float32)}
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


def _fitting_block(model: bytes, largest: int) -> int:
    """Return the largest block size, at most `largest`, that divides every dense layer's input."""
    if not largest:
        return 0
    width = math.gcd(*flatbuffer.dense_input_widths(flatbuffer.read(model)))
    return max((b for b in _BLOCKS if b <= largest and width % b == 0), default=0)


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
