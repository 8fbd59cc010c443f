"""The mark of fixtures that train or export a model, or start processes: who uses one is slow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

_F = TypeVar("_F", bound=Callable[..., Any])


def slow_to_make(function: _F) -> _F:
    """Mark a fixture; a decorator, below `@pytest.fixture`."""
    function.is_slow_to_make = True  # type: ignore[attr-defined]
    return function


def is_slow(item: pytest.Item) -> bool:
    """Tell whether one of the fixtures that a test uses, by whatever way, is marked."""
    if not isinstance(item, pytest.Function):
        return False
    found = item._fixtureinfo.name2fixturedefs.values()  # The last one of a name is the test's.
    return any(getattr(one[-1].func, "is_slow_to_make", False) for one in found)
