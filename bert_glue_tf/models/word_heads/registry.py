"""Finds a head by its name."""

from __future__ import annotations

import importlib
from typing import Any

from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models.word_heads.names import names
from bert_glue_tf.models.word_heads.sequences import WordHead


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
