"""The quantization recipes: a new one is one entry of `RECIPES`.

Each is applied to the float32 file by `ai-edge-quantizer` (`quantize`), which can be told what to
do operator by operator.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from bert_glue_tf.core.errors import UserError

if TYPE_CHECKING:
    pass


FLOAT32 = "float32"


_MATRICES = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")


_LAYERS = r"layer_\d"  # Stands in the names of the operators inside the encoder's layers.


_ANY = ".*"


@dataclasses.dataclass(frozen=True)
class Rule:
    """The treatment of some operators; of several rules that match one, the last counts.

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
    """A way to quantize a float32 file.

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
    """Return the recipe called `name`.

    Raises:
      UserError: there is no such recipe.
    """
    if name not in RECIPES:
        raise UserError(f"--recipes={name}: no such recipe. Good values: {', '.join(RECIPES)}.")
    return RECIPES[name]
