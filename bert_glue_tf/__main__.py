"""List the commands: python -m bert_glue_tf."""

from __future__ import annotations

import ast
import pathlib
import sys


def commands() -> dict[str, str]:
    """Return the name of each command and the first line of what it says of itself."""
    found = {}
    for file in sorted(pathlib.Path(__file__).parent.glob("*.py")):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        names = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        if {"main", "command"} <= names:
            first = (ast.get_docstring(tree) or "").splitlines()[0]
            found[file.stem] = first.removeprefix("Command: ")
    return found


def main() -> int:
    """Print the commands; return the exit status, 2 where one was asked for in another way."""
    if asked := sys.argv[1:2]:
        message = f"error: {asked[0]}: a command is named behind a dot, as in bert_glue_tf.train:"
        print(message, file=sys.stderr)
    for name, what in commands().items():
        print(f"python -m bert_glue_tf.{name}\n    {what}")
    return 2 if asked else 0


if __name__ == "__main__":
    sys.exit(main())
