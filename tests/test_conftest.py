"""Check that the files which conftest.py names are there."""

from __future__ import annotations

import pathlib

import pytest

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
