"""The quantization recipes: a new one is one entry of `RECIPES`. Mixed ones are made by their name.

Each is applied to the float32 file by `ai-edge-quantizer` (`export.quantize`), which can be told
what to do operator by operator. A training that knows of the quantization (`--quantize_aware`)
reads the same rules.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.quantization.grids import MIN_MAX, OCTAV, WeightGrid, fitting_block

FLOAT32 = "float32"


NOT_QUANTIZED = "none"  # Of --quantize_aware: the training imitates no recipe.


# LiteRT's names of what reads a matrix of weights: a product, the rows of a table, and a
# convolution.
PRODUCT, TABLE, CONVOLUTION = _MATRICES = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP", "CONV_2D")
EVERYTHING = "*"  # All operators, and what goes into and comes out of the file.
# Those that compute with activations, which a static recipe judges one by one.
PRODUCTS = (PRODUCT, CONVOLUTION)


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
    algorithm: str = MIN_MAX

    def grid(self, widths: Iterable[int]) -> WeightGrid:
        """Return the grid of a matrix of the rule.

        Args:
          widths: of the inputs of all matrix products of the file.
        """
        return WeightGrid(self.weight_bits, fitting_block(widths, self.block), self.algorithm)


@dataclasses.dataclass(frozen=True)
class QuantizationRecipe:
    """A way to quantize a float32 file.

    Attributes:
      name: in flags, file names, records and tables.
      summary: what it does, in one line.
      rules: for `ai-edge-quantizer`; none leaves the file as it is.
      selects: whether `export.selection` chooses the operators by measurement.
      trained_rules: those that a training imitates, where it is not `rules`.
      untrained: why no training imitates it, as the end of a sentence; empty where one can.
      is_whole: whether its files have nothing but integers, their inputs and outputs too, so that
        it takes examples of numbers.
      untested_on_arrays: why it makes no files of such examples; empty where it does.
    """

    name: str
    summary: str
    rules: tuple[Rule, ...] = ()
    selects: bool = False
    trained_rules: tuple[Rule, ...] = ()
    untrained: str = ""
    is_whole: bool = False
    untested_on_arrays: str = ""

    @property
    def needs_calibration(self) -> bool:
        return self.selects or any(rule.activation_bits for rule in self.rules)

    @property
    def imitated(self) -> tuple[Rule, ...]:
        """Return the rules that a training imitates, and the file of that training has."""
        return self.trained_rules or self.rules


# All that LiteRT computes in int16 and the graph of a BERT or a CNN contains. (Not the squared
# difference of a layer norm, and not the rows of an embedding matrix, which are read as int8.)
INT16_OPERATIONS = (
    "ADD",
    "BATCH_MATMUL",
    "CONV_2D",
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


# What a training for `int8` puts into int8 with fixed ranges. Not the second feed-forward product:
# a few channels of its output are so much larger than the others that one step for all leaves those
# nothing (docs/tflite.md; Bondarenko et al. 2021, https://arxiv.org/abs/2109.12948). Not the pooler
# and the classifier, which compute one token, and whose answers are to be told apart.
_STATIC = r"layer_\d+/(?:self_attention/|intermediate)"


_RECIPES = (
    QuantizationRecipe(
        FLOAT32,
        "No quantization: the reference of all others.",
        untrained="it rounds nothing",
    ),
    QuantizationRecipe(
        "float16",
        "Weights in float16, arithmetic in float32.",
        tuple(Rule(operation, weight_bits=16) for operation in _MATRICES),
        untrained="its numbers are float16, which is no grid of whole numbers",
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
        trained_rules=(*DYNAMIC_RULES, Rule(PRODUCT, _STATIC, activation_bits=8)),
    ),
    QuantizationRecipe(
        "int16x8",
        "Weights in int8, activations in int16 with calibrated scales wherever LiteRT has it.",
        (
            Rule("EMBEDDING_LOOKUP"),
            *(Rule(operation, activation_bits=16) for operation in INT16_OPERATIONS),
        ),
        untrained="LiteRT has no fast kernels for it on a CPU, which makes it no file to train for",
        untested_on_arrays="LiteRT pools no int16",
    ),
    QuantizationRecipe(
        "int4",
        "Weights of the encoder's dense layers in int4, embeddings and classifier in int8.",
        # The smallest file, with no more noise than the others: docs/tflite.md.
        (*DYNAMIC_RULES, Rule("FULLY_CONNECTED", _LAYERS, 4, block=128, algorithm=OCTAV)),
        untested_on_arrays="it is for the dense layers of an encoder of texts",
    ),
    QuantizationRecipe(
        "full_int8",
        "Everything in int8, inputs and outputs too, as a microcontroller needs it.",
        (Rule(EVERYTHING, activation_bits=8),),
        untrained="it is for small networks, which lose little without",
        is_whole=True,
    ),
)


RECIPES: Mapping[str, QuantizationRecipe] = {recipe.name: recipe for recipe in _RECIPES}


# A layer's two halves, by the letter that a mixed recipe's name has for them: the word for it, and
# where the products stand whose weights they are.
ATTENTION, FEED_FORWARD = "a", "f"
_HALVES = {
    ATTENTION: ("attention", r"self_attention"),
    FEED_FORWARD: ("feed-forward", r"(?:intermediate|output)"),
}
_MIXED = "int4_but"  # The parts that stay in int8 follow: `int4_but_1f_3a`.
_PARTS = re.compile(rf"{_MIXED}((?:_[1-9]\d{{0,3}}[{''.join(_HALVES)}])+)")

# The number of a layer, from 1, and the letter of one of its halves.
Half = tuple[int, str]


def mixed(halves: Iterable[Half]) -> QuantizationRecipe:
    """Return the recipe that is int4, but for some halves of layers, whose weights are int8.

    Its name says which, as `int4_but_1f_3a`: the feed-forward of layer 1, the attention of layer 3.

    Args:
      halves: in any order; none gives int4.
    """
    chosen = sorted(set(halves))
    int4 = RECIPES["int4"]
    if not chosen:
        return int4
    told = [f"the {_HALVES[half][0]} of layer {layer}" for layer, half in chosen]
    return QuantizationRecipe(
        "_".join([_MIXED, *(f"{layer}{half}" for layer, half in chosen)]),
        f"As int4, but {', '.join(told)} in int8.",
        (
            *int4.rules,
            *(Rule(PRODUCT, rf"layer_{layer - 1}/{_HALVES[half][1]}\b") for layer, half in chosen),
        ),
    )


def halves_of(name: str) -> tuple[Half, ...]:
    """Return the halves of layers that a mixed recipe leaves in int8; none for any other name."""
    found = _PARTS.fullmatch(name)
    parts = found[1].split("_")[1:] if found else []
    return tuple((int(part[:-1]), part[-1]) for part in parts)


def find(name: str) -> QuantizationRecipe | None:
    """Return the recipe called `name`, also a mixed one; None where there is none."""
    if name in RECIPES:
        return RECIPES[name]
    halves = halves_of(name)
    recipe = mixed(halves) if halves else None
    # One file has one name: `int4_but_3a_1f` is none.
    return recipe if recipe and recipe.name == name else None


def get(name: str) -> QuantizationRecipe:
    """Return the recipe called `name`, also a mixed one.

    Raises:
      UserError: there is no such recipe.
    """
    recipe = find(name)
    if recipe is not None:
        return recipe
    if halves := halves_of(name):
        raise UserError(
            f"--recipes={name}: the parts in int8 stand in their order, and each once. Good: "
            f"{mixed(halves).name}."
        )
    raise UserError(f"--recipes={name}: no such recipe. Good values: {', '.join(RECIPES)}.")


# The recipes that a training can know of, besides the mixed ones.
TRAINED = tuple(recipe.name for recipe in _RECIPES if not recipe.untrained)


def rule_of(rules: Sequence[Rule], operation: str, name: str) -> Rule | None:
    """Return the rule of an operator, the last one that matches; None where none does.

    Args:
      rules: of a recipe.
      operation: LiteRT's name of the operator.
      name: of the operator's output.
    """
    matching = [r for r in rules if r.operation == operation and re.search(r.scope, name)]
    return matching[-1] if matching else None
