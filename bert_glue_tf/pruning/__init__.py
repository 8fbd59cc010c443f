"""Pruning methods, one a file, behind the `PruningMethod` protocol of `base.py`.

A file `<method>.py` in this folder is the method of that name: nothing else has to be
told about it. The names are read from the folder without importing TensorFlow, so that
a wrong `--pruning_method` is answered at once.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from bert_glue_tf.errors import UserError

if TYPE_CHECKING:
    from bert_glue_tf.pruning.base import PruningMethod

NO_PRUNING = "none"
DEFAULT_METHOD = "magnitude"
_BASE = "base"  # Holds the protocol, no method.

_added: dict[str, type[PruningMethod]] = {}


def names() -> list[str]:
    """Names of all methods: `none`, the files of this folder, and what `register` added."""
    files = {module.name for module in pkgutil.iter_modules(__path__)} - {_BASE}
    return [NO_PRUNING, *sorted(files | set(_added))]


def register(method: type[PruningMethod]) -> type[PruningMethod]:
    """Class decorator: adds a method that lives outside this folder (a notebook's cell, say).

    Raises:
      ValueError: the name belongs to a method of this folder.
    """
    files = {module.name for module in pkgutil.iter_modules(__path__)}
    if method.name in files | {NO_PRUNING}:
        raise ValueError(f"pruning method {method.name!r} exists already; choose another name")
    _added[method.name] = method
    return method


def get(name: str) -> type[PruningMethod]:
    """The class of the method called `name`.

    Raises:
      UserError: there is no such method.
      TypeError: the method's file does not define exactly one method of the file's name.
    """
    if name not in names():
        raise UserError(
            f"--pruning_method={name}: no such method. Good values: {', '.join(names())}."
        )
    if name in _added:
        return _added[name]
    from bert_glue_tf.pruning import base

    if name == NO_PRUNING:
        return base.PruningMethod
    module = importlib.import_module(f"{__name__}.{name}")
    methods = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, base.PruningMethod)
        and value.__module__ == module.__name__
        and value.name == name
    ]
    if len(methods) != 1:
        raise TypeError(
            f"{module.__file__} must define one PruningMethod with name = {name!r}; "
            f"it defines {len(methods)}"
        )
    return methods[0]
