"""Saved model -> one .tflite file per quantization recipe.

TensorFlow's converter makes the float32 file; every recipe is applied to that file by
`ai-edge-quantizer`, which can be told what to do operator by operator. A new recipe is one
entry of `RECIPES`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging as std_logging
import math
import pathlib
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_glue_tf.core import quiet
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export import flatbuffer, litert

if TYPE_CHECKING:
    import tensorflow as tf

    from bert_glue_tf.models.backbone import Graph

FLOAT32 = "float32"
_MATRICES = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")
_LAYERS = r"layer_\d"  # Stands in the names of the operators inside the encoder's layers.
_ANY = ".*"
_BLOCKS = (32, 64, 128, 256)  # For which LiteRT has kernels.


@dataclasses.dataclass(frozen=True)
class Rule:
    """What happens to some operators; of several rules that match one, the last counts.

    Attributes:
      operation: LiteRT's name of the operator.
      scope: regular expression that is searched for in the name of the operator's output.
      weight_bits: of the constant weights: 16 (float), 8 or 4 (integer).
      activation_bits: 8 or 16 with scales fixed by calibration ("static"); 0 leaves them
        float in the file, quantized on the fly where the weights are integers.
      block: weights of one row that share a scale, at most; 0: the whole row.
      algorithm: of `ai-edge-quantizer`, for the weights' scales.
    """

    operation: str
    scope: str = _ANY
    weight_bits: int = 8
    activation_bits: int = 0
    block: int = 0
    algorithm: str = "min_max_uniform_quantize"


@dataclasses.dataclass(frozen=True)
class QuantizationRecipe:
    """How a float32 file is quantized.

    Attributes:
      name: in flags, file names, records and tables.
      summary: what it does, in one line.
      rules: for `ai-edge-quantizer`; none leaves the file as it is.
      selects: whether `static_int8.select` chooses the operators by measurement.
    """

    name: str
    summary: str
    rules: tuple[Rule, ...] = ()
    selects: bool = False

    @property
    def needs_calibration(self) -> bool:
        return self.selects or any(rule.activation_bits for rule in self.rules)


# All that LiteRT computes in int16 and BERT's graph contains. (Not the squared difference of
# a layer norm, and not the rows of an embedding matrix, which are read as int8.)
INT16_OPERATIONS = (
    "ADD",
    "BATCH_MATMUL",
    "FULLY_CONNECTED",
    "GELU",
    "MEAN",
    "MUL",
    "RELU",
    "RESHAPE",
    "RSQRT",
    "SOFTMAX",
    "STRIDED_SLICE",
    "SUB",
    "TANH",
    "TRANSPOSE",
)
# Matrices with integer weights and float activations: what static recipes build upon.
DYNAMIC_RULES = tuple(Rule(operation) for operation in _MATRICES)

_RECIPES = (
    QuantizationRecipe(FLOAT32, "No quantization: the reference of all others."),
    QuantizationRecipe(
        "float16",
        "Weights in float16, arithmetic in float32.",
        tuple(Rule(operation, weight_bits=16) for operation in _MATRICES),
    ),
    QuantizationRecipe(
        "dynamic_int8",
        "Weights in int8, activations quantized on the fly.",
        DYNAMIC_RULES,
    ),
    QuantizationRecipe(
        "int8",
        "Weights in int8, activations in int8 with calibrated scales wherever the "
        "per-operator report allows it; the rest as dynamic_int8.",
        selects=True,
    ),
    QuantizationRecipe(
        "int16x8",
        "Weights in int8, activations in int16 with calibrated scales wherever LiteRT has it.",
        (
            Rule("EMBEDDING_LOOKUP"),
            *(Rule(operation, activation_bits=16) for operation in INT16_OPERATIONS),
        ),
    ),
    QuantizationRecipe(
        "int4",
        "Weights of the encoder's dense layers in int4, embeddings and classifier in int8.",
        # The smallest file, with no more noise than the others: docs/tflite.md.
        (*DYNAMIC_RULES, Rule("FULLY_CONNECTED", _LAYERS, 4, block=128, algorithm="OCTAV")),
    ),
)
RECIPES: Mapping[str, QuantizationRecipe] = {recipe.name: recipe for recipe in _RECIPES}


def get(name: str) -> QuantizationRecipe:
    """The recipe called `name`.

    Raises:
      UserError: there is no such recipe.
    """
    if name not in RECIPES:
        raise UserError(f"--recipes={name}: no such recipe. Good values: {', '.join(RECIPES)}.")
    return RECIPES[name]


def convert(model_folder: pathlib.Path, lengths: Sequence[int]) -> bytes:
    """The float32 file of a saved model, one signature (`length_<n>`) for each length.

    The signatures share their weights. Inputs int32 [1, length] by name, output `logits`
    float32 [1, classes].

    Raises:
      UserError: the folder holds no model, a length is above what the encoder's positions
        allow, or the graph needs operators that LiteRT does not have.
    """
    from bert_glue_tf.models import saving

    return convert_module(saving.graph(model_folder), lengths, str(model_folder))


def convert_module(module: Graph, lengths: Sequence[int], what: str, sparse: bool = False) -> bytes:
    """`convert` for a graph in memory.

    Args:
      module: from `saving.graph`.
      lengths: as for `convert`.
      what: names the graph in messages.
      sparse: whether constants with many zeros are stored sparse
        (`tf.lite.Optimize.EXPERIMENTAL_SPARSITY`). No recipe does: docs/results/sparse_tflite.md
        says what comes of it.

    Raises:
      UserError: as `convert`.
    """
    import tensorflow as tf

    from bert_glue_tf.models.bert import arithmetic_export

    optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY] if sparse else []
    model = flatbuffer.read(from_converter(module, lengths, what, optimizations))
    flatbuffer.require_builtin(model, what)
    flatbuffer.use_embedding_lookup(model)
    flatbuffer.clip_constants(model, arithmetic_export.MASKED)
    return flatbuffer.write(model)


def from_converter(
    module: Graph,
    lengths: Sequence[int],
    what: str,
    optimizations: Sequence[tf.lite.Optimize] = (),
    examples: Sequence[Mapping[str, np.ndarray]] = (),
) -> bytes:
    """The file as TensorFlow's converter makes it, with its own optimizations.

    Args:
      module: from `saving.graph`.
      lengths: a signature for each.
      what: names the graph in messages.
      optimizations: of the converter; `DEFAULT` quantizes weights to int8.
      examples: with `DEFAULT`: features, int32 [1, one of `lengths`] each, that calibrate static
        int8 activations; none leaves the activations float.

    Raises:
      UserError: the converter refuses the graph.
    """
    import tensorflow as tf

    functions = {litert.SIGNATURE.format(length): module.function(length) for length in lengths}
    with tempfile.TemporaryDirectory() as folder, _quiet():
        tf.saved_model.save(module, folder, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
        converter.optimizations = list(optimizations)
        if examples:
            keyed = [
                (litert.SIGNATURE.format(features["input_mask"].shape[1]), features)
                for features in examples
            ]
            converter.representative_dataset = lambda: iter(keyed)
        try:
            return bytes(converter.convert())
        except Exception as error:  # MLIR's errors have many types and long texts.
            reason = str(error).strip().splitlines()[0][:200]
            raise UserError(
                f"{what}: TensorFlow's converter to TFLite refuses it ({reason})."
            ) from None


def quantize(
    model: bytes,
    rules: Sequence[Rule],
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> bytes:
    """Applies rules to a float32 file.

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
    with _quiet():
        from ai_edge_quantizer import quantizer, recipe_manager

        recipes = recipe_manager.RecipeManager()
        for rule in rules:
            _add(recipes, rule, _fitting_block(model, rule.block))
        tool = quantizer.Quantizer(bytearray(model), recipes.get_quantization_recipe())
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
    content = flatbuffer.read(quantized)
    return flatbuffer.write(content) if flatbuffer.replace_zero_scales(content) else quantized


def _fitting_block(model: bytes, largest: int) -> int:
    """The largest block size up to `largest` that divides every dense layer's input width."""
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


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the progress bars and notes of the tools below off the user's terminal."""
    with quiet.native_output(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        std_logging.disable(std_logging.WARNING)
        try:
            yield
        finally:
            std_logging.disable(std_logging.NOTSET)


def scope_of(name: str) -> str:
    """The regular expression that matches the operator whose output has this name, alone."""
    return f"^{re.escape(name)};?$"
