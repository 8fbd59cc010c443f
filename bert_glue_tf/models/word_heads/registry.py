"""Finds a head by its name."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.word_heads.names import names
from bert_glue_tf.models.word_heads.sequences import WordHead

if TYPE_CHECKING:
    import numpy as np


def get(name: str) -> type[WordHead]:
    """Return the class of a head.

    Raises:
      UserError: there is no such head.
    """
    if name not in names():
        raise UserError(f"--tagging_head={name}: no such head. Good values: {', '.join(names())}.")
    module = importlib.import_module(f"{__package__}.{name}")
    (found,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, WordHead)
        and value.__module__ == module.__name__
    )
    return found


def build(name: str, **arguments: Any) -> WordHead:
    """Return a new head; `arguments` are those of `WordHead`.

    Raises:
      UserError: there is no such head.
    """
    return get(name)(**arguments)


def restored(name: str, width: int, size: int, weights: Mapping[str, np.ndarray]) -> WordHead:
    """Return a head with the weights that a saved model has of it.

    Args:
      name: of the head.
      width: number of the tags.
      size: features of a token that it reads.
      weights: name -> value.

    Raises:
      UserError: there is no such head.
    """
    head = build(name, width=width)
    head.build([None, None, size])
    in_order = sorted(head.weights, key=lambda weight: weight.name)
    for weight, (_, value) in zip(in_order, sorted(weights.items()), strict=True):
        weight.assign(value)
    return head
