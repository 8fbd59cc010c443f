"""The snippets for clients are short, and each names the file that it takes."""

from __future__ import annotations

import re

import pages
import pytest

SHOWN = ("kotlin", "swift", "javascript", "python")
FOUND = [
    block
    for path in sorted((pages.ROOT / "docs" / "clients").rglob("*.md"))
    if "node_modules" not in path.parts
    for block in pages.blocks(path)
    if block.language in SHOWN
]


def test_there_is_one_for_each_client():
    assert {block.language for block in FOUND} == set(SHOWN)


@pytest.mark.parametrize("block", FOUND, ids=lambda block: f"{block.page}:{block.line}")
def test_a_snippet_is_short_and_names_its_file(block):
    lines = [line for line in block.code.splitlines() if line.strip()]
    body = [line for line in lines if not re.match(r"import |from ", line)]
    assert len(body) <= 10
    assert re.search(r"dynamic_int8|runs/demo|_mediapipe", block.code)
