"""A classifier of ours in the form in which another program loads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


@dataclasses.dataclass(frozen=True)
class ForeignClassifier:
    """A classifier as Hugging Face's transformers loads it.

    Attributes:
      model: the class there, as BertForSequenceClassification.
      config: config.json without what the task says (labels, kind of problem).
      tensors: the weights by their names there, float32.
      notes: sentences on what is said in another way there, for a reader.
    """

    model: str
    config: Mapping[str, Any]
    tensors: Mapping[str, np.ndarray]
    notes: tuple[str, ...] = ()
