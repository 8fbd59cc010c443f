"""Pruning methods, one a file, behind the `PruningMethod` protocol of `base.py`.

A file `<method>.py` in this folder is the method of that name: nothing else has to be
told about it. The names are read from the folder without importing TensorFlow, so that
a wrong `--pruning_method` is answered at once.
"""

from __future__ import annotations

import ast
import importlib
import pathlib
import pkgutil
from typing import TYPE_CHECKING, Any

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


def check(name: str) -> None:
    """Reads a method's file without running it, since that needs TensorFlow: 10 seconds.

    Raises:
      UserError: the file is no Python, or no class of it has the file's name as its `name`.
    """
    paths = [pathlib.Path(folder) / f"{name}.py" for folder in __path__]
    path = next((path for path in paths if path.is_file()), None)
    if name in _added or path is None:
        return
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise UserError(f"{path}{f':{line}' if line else ''}: no Python ({error}).") from None
    found = [
        item.value
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for item in node.body
        if isinstance(item, (ast.Assign, ast.AnnAssign))
        for target in getattr(item, "targets", None) or [getattr(item, "target", None)]
        if isinstance(target, ast.Name) and target.id == "name"
    ]
    # What is computed there only running it can tell; `get` does.
    written = [value.value for value in found if isinstance(value, ast.Constant)]
    if len(written) == len(found) and name not in written:
        raise _misnamed(path, name, written)


def _misnamed(path: object, name: str, found: list[Any]) -> UserError:
    listed = ", ".join(map(repr, found)) or "no name"
    return UserError(
        f"--pruning_method={name}: {path} must define one PruningMethod with name = {name!r}, as "
        f"the file is called (found: {listed})."
    )


def get(name: str) -> type[PruningMethod]:
    """The class of the method called `name`.

    Raises:
      UserError: there is no such method, or its file does not define exactly one method of the
        file's name.
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
    ]
    named = [method for method in methods if method.name == name]
    if len(named) != 1:
        raise _misnamed(module.__file__, name, [method.name for method in methods])
    return named[0]
