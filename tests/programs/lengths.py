"""Program: refuse files, functions and docstrings of the package that break its habits.

python tests/programs/lengths.py

A file has at most 400 lines and a function at most 60, since a longer one does more than one
thing. The docstring of a function or class does not begin with What, Whether, How or Why: it says
what is done, not that there is a question.
"""

from __future__ import annotations

import ast
import pathlib
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
FILE_LINES, FUNCTION_LINES = 400, 60
RIDDLES = ("What", "Whether", "How", "Why")
_Documented = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def faults(path: pathlib.Path) -> Iterator[str]:
    """Yield a line for each fault of a file, with the place where it stands."""
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT)
    length = len(text.splitlines())
    if length > FILE_LINES:
        yield f"{name}: {length} lines, more than {FILE_LINES}"
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, _Documented):
            continue
        place = f"{name}:{node.lineno}: {node.name}"
        assert node.end_lineno is not None
        lines = node.end_lineno - node.lineno + 1
        if not isinstance(node, ast.ClassDef) and lines > FUNCTION_LINES:
            yield f"{place} has {lines} lines, more than {FUNCTION_LINES}"
        first = (ast.get_docstring(node) or "").split(" ")[0]
        if first in RIDDLES:
            yield f"{place}: its docstring begins with {first!r}; begin with a verb"


def main() -> int:
    found = [fault for path in sorted(ROOT.glob("bert_glue_tf/**/*.py")) for fault in faults(path)]
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
