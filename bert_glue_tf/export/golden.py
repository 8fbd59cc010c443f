"""Golden examples: texts with their word pieces and outputs, by which a port checks itself.

A file carries three: a plain text, one of odd characters, and one that is longer than the file
reads. They are texts of this project, so that no file carries a training text of its user.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core import lazy
from bert_glue_tf.data import preprocessing
from bert_glue_tf.models.quantization.recipes import QuantizationRecipe

if TYPE_CHECKING:
    import numpy as np

    from bert_glue_tf.export.litert import LiteModel
else:
    np = lazy.module("numpy")  # The export command imports this module with its flags.

_PLAIN = "The cat sat on the mat.", "A cat is sitting on a mat."
# Accents, quotation marks of no ASCII, a no-break space, characters that are words of their own, a
# soft hyphen, capitals that only Unicode makes small, a ligature, a fraction, and an emoji.
_ODD = (
    "Zoë\u2019s NAÏVE café:\u00a0“12½ €”—is 北京 ﬁne\u00adly far? 👍",
    "STRAẞE, Ĳssel… x² #1! 東京\u3000tower, e\u0301te\u0301",
)
_WORDS = "one two three four five six seven eight nine ten"
# Between two processors, of an output up to 1, and in proportion for larger ones: a float differs
# by its rounding, a whole number by one, which the layers behind it carry on.
FLOAT_TOLERANCE, QUANTIZED_TOLERANCE = 1e-3, 5e-2


def texts(number: int, longest: int) -> list[tuple[str, ...]]:
    """Return the three texts, or pairs.

    Args:
      number: of texts of an example, one or two.
      longest: length of the file; the last text has more words.
    """
    long = " ".join([_WORDS] * math.ceil(longest / len(_WORDS.split())))
    return [_PLAIN[:number], _ODD[:number], (long, *_PLAIN[1:number])]


def tolerance(recipe: QuantizationRecipe) -> float:
    """Return by how much an output up to 1 may differ on another processor."""
    is_float = all(rule.weight_bits == 16 for rule in recipe.rules) and not recipe.selects
    return FLOAT_TOLERANCE if is_float else QUANTIZED_TOLERANCE


def examples(
    preprocessor: Any, number: int, model: LiteModel, lengths: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the golden examples of a file, in JSON types.

    Args:
      preprocessor: from `preprocessing.build`, that cuts texts at the longest of the lengths.
      number: of texts of an example.
      model: the file.
      lengths: of the file, ascending.

    Returns:
      For each: `texts`, `length` (the shortest that holds it), `ids` and `type_ids` without
      padding, and the file's output under its name.
    """
    given = texts(number, lengths[-1])
    tokens = preprocessing.tokenize(preprocessor, tuple(map(list, zip(*given, strict=True))))
    found = []
    for place, text in enumerate(given):
        pieces = slice(*tokens.row_splits[place : place + 2])
        length = next(n for n in lengths if n >= tokens.lengths[place])
        (output,) = model.predict(tokens.batch([place], length))
        found.append(
            {
                "texts": list(text),
                "length": length,
                "ids": tokens.ids[pieces].tolist(),
                "type_ids": tokens.type_ids[pieces].tolist(),
                model.output: np.round(output.astype(np.float64), 7).tolist(),
            }
        )
    return found
