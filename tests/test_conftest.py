"""Check that the files which conftest.py names are there, and that slow fixtures mark tests."""

from __future__ import annotations

import pathlib

import pytest
from slow_fixtures import is_slow, slow_to_make

TESTS = pathlib.Path(__file__).parent


def test_the_files_that_it_names_are_there(pytestconfig: pytest.Config) -> None:
    """A file that was renamed would silently lose its place in the order, and its mark."""
    (shared,) = (
        plugin
        for plugin in pytestconfig.pluginmanager.get_plugins()
        if getattr(plugin, "__file__", None) == str(TESTS / "conftest.py")
    )
    there = {path.stem for path in TESTS.rglob("test_*.py")}
    assert shared.named_files() - there == set()


@pytest.fixture
@slow_to_make
def trained() -> None:
    """Stand in for a model that was trained."""


@pytest.fixture
def exported(trained: None) -> None:
    """Stand in for a file of it; quick by itself, and another one than that of conftest.py."""


def test_who_uses_a_slow_fixture_is_slow(exported: None, request: pytest.FixtureRequest) -> None:
    assert is_slow(request.node)
    assert request.node.get_closest_marker("slow")


def test_who_uses_none_is_not(request: pytest.FixtureRequest) -> None:
    assert not is_slow(request.node)
    assert not request.node.get_closest_marker("slow")
