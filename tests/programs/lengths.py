"""Program: refuse files, functions and docstrings that break the project's habits.

python tests/programs/lengths.py

A file of the package has at most 400 lines and a function at most 60, since a longer one does more
than one thing. No docstring, of a module, class or function of the package, the benchmarks, the
notebooks or the tests, begins with What, Whether, How or Why: it says what is done, not that there
is a question.
"""

from __future__ import annotations

import ast
import pathlib
import sys
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[2]
FILE_LINES, FUNCTION_LINES = 400, 60
RIDDLES = ("What", "Whether", "How", "Why")
PACKAGE, OTHERS = "bert_glue_tf", ("benchmarks", "notebooks", "tests")
_Function = (ast.FunctionDef, ast.AsyncFunctionDef)


def length_faults(path: pathlib.Path) -> Iterator[str]:
    """Yield a line for a file that is too long, and for each function of it that is."""
    text = path.read_text(encoding="utf-8")
    name = path.relative_to(ROOT)
    length = len(text.splitlines())
    if length > FILE_LINES:
        yield f"{name}: {length} lines, more than {FILE_LINES}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, _Function):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > FUNCTION_LINES:
                place = f"{name}:{node.lineno}: {node.name}"
                yield f"{place} has {lines} lines, more than {FUNCTION_LINES}"


def docstring_faults(path: pathlib.Path) -> Iterator[str]:
    """Yield a line for each docstring of a file that begins like a question."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, (ast.Module, ast.ClassDef, *_Function)):
            continue
        words = (ast.get_docstring(node) or "").split(maxsplit=1)
        if words and words[0] in RIDDLES:
            place = f"{path.relative_to(ROOT)}:{node.body[0].lineno}"
            yield f"{place}: the docstring begins with {words[0]!r}; say what is done"


def main() -> int:
    found = []
    for folder in (PACKAGE, *OTHERS):
        for path in sorted(ROOT.glob(f"{folder}/**/*.py")):
            if folder == PACKAGE:
                found += length_faults(path)
            found += docstring_faults(path)
    for fault in found:
        print(fault)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
