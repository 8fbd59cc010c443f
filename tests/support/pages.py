"""The code blocks of the README and of the pages in docs/.

A block says its language behind the fence: `sh` (commands, run in the page's order), `python` (a
program of its own), `ipython` (cells of a notebook), `javascript`, `kotlin`, `swift`, `text` and
`mermaid` (shown, not run; tests/clients runs the JavaScript). A
comment before a block, `<!-- not run: reason -->`, keeps the tests from running it; readers of the
page do not see it.
"""

from __future__ import annotations

import dataclasses
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
LANGUAGES = ("sh", "python", "ipython", "javascript", "kotlin", "swift", "text", "mermaid")
RUN = ("sh", "python")
_BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+?) -->\n+)?"
    r"^```(?P<language>[^\n]*)\n(?P<code>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)


@dataclasses.dataclass(frozen=True)
class Block:
    """One code block.

    Attributes:
      page: its path below the project.
      line: the number of its first line of code.
      language: as the fence says.
      code: what stands in it.
      reason: why it is not run; empty where it is.
    """

    page: str
    line: int
    language: str
    code: str
    reason: str


def paths() -> list[pathlib.Path]:
    """Return the README, CONTRIBUTING and the pages below docs/."""
    pages = sorted(
        path for path in (ROOT / "docs").rglob("*.md") if "node_modules" not in path.parts
    )
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *pages]


def blocks(path: pathlib.Path) -> list[Block]:
    """Return the code blocks of a page in their order."""
    text = path.read_text(encoding="utf-8")
    return [
        Block(
            page=str(path.relative_to(ROOT)),
            line=text.count("\n", 0, found.start("code")) + 1,
            language=found["language"],
            code=found["code"],
            reason=found["reason"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]
