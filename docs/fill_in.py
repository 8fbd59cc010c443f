"""Program: write the parts of the README that come from records in docs/results.

python docs/fill_in.py           write them anew (`make docs`)
python docs/fill_in.py --check   exit with 1 where the README shows other numbers than the records

A part stands between two comments that name it. The command that made its records stands in the
README beside it.
"""

from __future__ import annotations

import contextlib
import io
import os
import pathlib
import re
import sys
from collections.abc import Callable, Mapping

from bert_glue_tf.core import records
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs import results

ROOT = pathlib.Path(__file__).parents[1]
README = ROOT / "README.md"
RESULTS = ROOT / "docs" / "results"
# Recipes that are for a phone's CPU: int16x8 is for other hardware, float16 is no faster there.
RECIPES = ("float32", "dynamic_int8", "int8", "int4")
LENGTH = "64"
_PART = "<!-- {0}: begin, written by make docs -->\n{1}<!-- {0}: end -->"


def demo() -> str:
    """Return what `make demo` prints of its run, as a block of text."""
    (record,) = results.load(RESULTS / "demo.jsonl")
    printed = io.StringIO()
    os.environ["COLUMNS"] = "100"
    with contextlib.redirect_stdout(printed):
        terminal.print_table(record)
    lines = [line.rstrip() for line in printed.getvalue().splitlines()]
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    return f"```text\n{text}\n```\n"


def files() -> str:
    """Return the table of exported files: score on both tasks, size and speed."""
    found = records.load(RESULTS / "tflite_minilm_l6.jsonl", ExportResult)
    by_task = {
        task: {one.recipe: one for one in found if one.config["task"] == task}
        for task in ("cola", "mrpc")
    }
    lines = ["| | CoLA, Matthews | MRPC, accuracy | MB | speed on CoLA |", "|---|---|---|---|---|"]
    for recipe in RECIPES:
        cola, mrpc = by_task["cola"][recipe], by_task["mrpc"][recipe]
        timed = cola.latency[LENGTH]
        lines.append(
            f"| `{recipe}` | {cola.metrics['matthews']:.4f} | {mrpc.metrics['accuracy']:.4f} "
            f"| {cola.bytes['plain'] / 1e6:.1f} | {timed['float32_p50'] / timed['p50']:.2f}x |"
        )
    return "\n".join(lines) + "\n"


PARTS: Mapping[str, Callable[[], str]] = {"demo": demo, "files": files}


def filled(text: str) -> str:
    """Return the README with its parts made anew.

    Raises:
      ValueError: it has no place for a part.
    """
    for name, made in PARTS.items():
        begin, end = _PART.format(name, "|").split("|")
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        part = _PART.format(name, made()).replace("\\", r"\\")
        text, number = pattern.subn(part, text)
        if number != 1:
            raise ValueError(f"{README.name}: {number} places for the part {name!r}, not one.")
    return text


def main() -> int:
    """Write the parts, or compare them; return the exit status."""
    text = README.read_text(encoding="utf-8")
    new = filled(text)
    if "--check" in sys.argv[1:]:
        if new != text:
            print(f"{README.name}: shows other numbers than the records have. Run: make docs")
            return 1
        return 0
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
