"""The time that a search takes, estimated from a run's record, without TensorFlow.

The rates are those of 2 cores that nobody else uses; another machine is faster or slower.
"""

from __future__ import annotations

import dataclasses

from bert_glue_tf.runs.finished import Run
from bert_glue_tf.search.defaults import TRIES, Effort

_RATE = 1e11  # Multiplications and additions of products a second.
_LAYERS = 0.6  # Of the weights of a network: those of its layers. The others are tables.
_START = 25.0  # Seconds of TensorFlow, the classifier and the texts.
_LEVELS = 9  # Passes through the whole network that the levels of a layer take, about.
_FILE = 3.0  # Seconds of a small file that is converted, and of quantizing and timing it.
_FILE_OF_RECIPE = 1.0
_TIMED = 25.0


@dataclasses.dataclass(frozen=True)
class Seconds:
    """The seconds of the parts of a search.

    Attributes:
      tables: of costs, where no cache has them.
      levels: of all blocks, where none is known.
      refine: structures that are assembled and judged.
      write: outputs fitted, scored and saved.
    """

    tables: float
    levels: float
    refine: float
    write: float


def of(run: Run, recipes: int, tries: int = TRIES) -> Seconds:
    """Return the seconds that a search in a run's classifier takes, about.

    Args:
      run: a finished one.
      recipes: number of those whose costs are measured.
      tries: structures that are assembled.
    """
    weights = _LAYERS * int(run.result.parameters["total"])
    effort = Effort.for_weights(round(weights))
    layers = len(run.result.widths.get("after", ())) or 1
    judged, fitted = (2 * weights * count for count in (effort.tokens, effort.fitted_tokens))
    files = 16 if layers > 1 else 8
    # A gradient takes twice a pass, and the sums over tokens as long as three.
    return Seconds(
        tables=_START + files * (_FILE + _FILE_OF_RECIPE * recipes) + _TIMED * recipes,
        levels=_START + (6 * fitted + _LEVELS * layers * judged) / _RATE,
        refine=tries * judged / _RATE,
        write=_START + (6 * fitted) / _RATE,
    )
