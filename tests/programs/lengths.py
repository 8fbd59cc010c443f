"""Program: refuse files, functions and docstrings that break the project's habits.

python tests/programs/lengths.py
python tests/programs/lengths.py --code bert_glue_tf/sweeps

A file of the package has at most 400 lines and a function at most 60, since a longer one does more
than one thing. No docstring, of a module, class or function of the package, the benchmarks, the
notebooks or the tests, begins with What, Whether, How or Why: it says what is done, not that there
is a question. With --code the lines of code in some folders are counted instead, without blank
ones, comments and docstrings.
"""

from __future__ import annotations

import ast
import pathlib
import sys
import tokenize
from collections.abc import Iterator, Sequence

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


def lines_of_code(path: pathlib.Path) -> int:
    """Return the number of a file's lines without blank ones, comments and docstrings."""
    told: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, *_Function)) and ast.get_docstring(node):
            told.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    none = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    code: set[int] = set()
    with path.open("rb") as file:
        for token in tokenize.tokenize(file.readline):
            if token.type not in (*none, tokenize.ENCODING, tokenize.ENDMARKER):
                code.update(range(token.start[0], token.end[0] + 1))
    return len(code - told)


def count(folders: Sequence[str]) -> int:
    """Print the lines of code of each file in some folders, and their sum."""
    paths = [path for folder in folders for path in sorted(pathlib.Path(folder).rglob("*.py"))]
    counts = {path: lines_of_code(path) for path in paths}
    for path, number in counts.items():
        print(f"{number:6} {path}")
    print(f"{sum(counts.values()):6}")
    return 0


def main() -> int:
    if sys.argv[1:2] == ["--code"]:
        return count(sys.argv[2:])
    found: list[str] = []
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
