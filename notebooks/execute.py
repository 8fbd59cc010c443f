"""Program: execute notebooks from top to bottom and keep their outputs.

python notebooks/execute.py notebooks/*.ipynb
"""

from __future__ import annotations

import pathlib
import sys
import tempfile
import time
from collections.abc import Mapping
from typing import Any

import nbclient
import nbformat

SETTINGS = "parameters"  # Tag of the cell with the settings, as papermill has it.
SECONDS = 1800  # For one cell.


def execute(
    path: pathlib.Path, folder: pathlib.Path, settings: Mapping[str, Any] | None = None
) -> nbformat.NotebookNode:
    """The notebook with the outputs of a kernel of this Python; its file stays as it is.

    Args:
      path: of the notebook.
      folder: in which the kernel runs and leaves its runs.
      settings: name -> value, assigned in a cell of their own after the notebook's settings.

    Raises:
      nbclient.exceptions.CellExecutionError: a cell has failed.
    """
    notebook = nbformat.read(path, as_version=4)
    if settings:
        (place,) = (i for i, cell in enumerate(notebook.cells) if SETTINGS in _tags(cell))
        lines = [f"{name} = {value!r}" for name, value in settings.items()]
        notebook.cells.insert(place + 1, nbformat.v4.new_code_cell("\n".join(lines)))
    client = nbclient.NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,  # Would change with every execution, outputs or not.
        coalesce_streams=True,
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    nbformat.validate(notebook)
    return notebook


def _tags(cell: nbformat.NotebookNode) -> list[str]:
    return list(cell.metadata.get("tags", []))


def main() -> None:
    missing = [name for name in sys.argv[1:] if not pathlib.Path(name).is_file()]
    if missing:
        there = ", ".join(sorted(map(str, pathlib.Path("notebooks").glob("*.ipynb"))))
        print(f"error: {', '.join(missing)}: no such notebook. Here are: {there}", file=sys.stderr)
        sys.exit(2)
    for name in sys.argv[1:]:
        start = time.perf_counter()
        # A folder of its own: where a run is finished already it would only be shown.
        with tempfile.TemporaryDirectory() as folder:
            notebook = execute(pathlib.Path(name), pathlib.Path(folder))
        nbformat.write(notebook, name)
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
