"""Modules that are imported when something in them is used for the first time.

TensorFlow takes seconds to import. A module that only some of its functions need TensorFlow for
writes

    if TYPE_CHECKING:
        import tensorflow as tf
    else:
        tf = lazy.module("tensorflow")

and can be imported within milliseconds, while a type checker sees the real module.
"""

from __future__ import annotations

import importlib
import types
from typing import Any


class _Lazy(types.ModuleType):
    """A module that stands for another one, and imports it when an attribute is asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


def module(name: str) -> Any:
    """Return what stands for the module `name`, which is imported on first use."""
    return _Lazy(name)
