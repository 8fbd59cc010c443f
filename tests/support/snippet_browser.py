"""Blocks of JavaScript of a page, run in a browser as they stand."""

from __future__ import annotations

import pathlib
from typing import Any

import browser
import pages


def blocks(page: pathlib.Path) -> list[str]:
    """Return the code of the blocks of JavaScript of a page."""
    return [block.code for block in pages.blocks(page) if block.language == "javascript"]


def run(chromium: browser.Browser, code: str) -> list[list[Any]]:
    """Run a block, which begins with an import, in the page that is open; return what it logs."""
    first, _, body = code.partition("\n\n")
    # An expression has no import of its own; the rest stands as it is.
    head = first.replace("import {", "const {").replace("} from ", "} = await import(")
    head = head.rstrip(";") + ");"
    log = "const logged = []; const console = {log: (...all) => logged.push(all)};"
    return list(chromium.evaluate(f"(async () => {{ {log}\n{head}\n{body}\nreturn logged; }})()"))
