"""Program: write the parts of the README and of docs/ that come from records in docs/results.

python docs/fill_in.py           write them anew (`make docs`)
python docs/fill_in.py --check   exit with 1 where a page shows other numbers than the records

A part stands between two comments that name it. The command that made its records stands on the
page beside it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import pathlib
import re
import sys
from collections.abc import Callable, Mapping

from bert_glue_tf.budget import tables as compression
from bert_glue_tf.budget.record import Outcome
from bert_glue_tf.core import records
from bert_glue_tf.export.record import ExportResult
from bert_glue_tf.reports import tables, terminal
from bert_glue_tf.runs import results

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"
# Recipes that are for a phone's CPU: int16x8 is for other hardware, float16 is no faster there.
RECIPES = ("float32", "dynamic_int8", "int8", "int4")
LENGTH = "64"
# The metric that the pages show of a task's files.
METRICS = {"cola": "matthews", "mrpc": "accuracy"}
# An operator with less noise than this in int8, in one piece, stands among "the others".
NOISY = 0.005
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


def bought() -> str:
    """Return what the last command of `make demo` has bought: a table, and its first note."""
    (outcome,) = records.load(RESULTS / "demo_compress.jsonl", Outcome)
    kept, *_ = compression.notes(outcome)
    return f"{tables.markdown(compression.bought(outcome))}\n{kept}\n"


def exported(task: str) -> dict[str, ExportResult]:
    """Return the records of the exported files of a task, by recipe."""
    found = records.load(RESULTS / "tflite_minilm_l6.jsonl", ExportResult)
    return {one.recipe: one for one in found if one.config["task"] == task}


def files() -> str:
    """Return the table of exported files: score on both tasks, size and speed."""
    of_cola, of_mrpc = exported("cola"), exported("mrpc")
    lines = ["| | CoLA, Matthews | MRPC, accuracy | MB | speed on CoLA |", "|---|---|---|---|---|"]
    for recipe in RECIPES:
        cola, mrpc = of_cola[recipe], of_mrpc[recipe]
        lines.append(
            f"| `{recipe}` | {cola.metrics['matthews']:.4f} | {mrpc.metrics['accuracy']:.4f} "
            f"| {cola.bytes['plain'] / 1e6:.1f} | {speed(cola, LENGTH)} |"
        )
    return "\n".join(lines) + "\n"


def speed(file: ExportResult, length: str) -> str:
    """Return how many times as fast as the float32 file of its session it is, at a length."""
    return f"{file.latency[length]['float32_p50'] / file.latency[length]['p50']:.2f}x"


def of_task(name: str, task: str) -> str:
    """Return the table of a task's files: score, flips, size, speed at each length, memory."""
    found = exported(task)
    lengths = sorted(next(iter(found.values())).latency, key=int)
    columns = [name, METRICS[task], "flips", "MB", "gzip"]
    columns += [f"speed at {length}" for length in lengths] + ["peak MB"]
    lines = [" | ".join(["", *columns, ""]).strip(), "|---" * len(columns) + "|"]
    for recipe, file in found.items():
        cells = [f"`{recipe}`", f"{file.metrics[METRICS[task]]:.4f}", str(file.flips)]
        cells += [f"{file.bytes[kind] / 1e6:.1f}" for kind in ("plain", "gzip")]
        cells += [speed(file, length) for length in lengths]
        cells += [f"{file.peak_memory_bytes['total'] / 1e6:.0f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def noise() -> str:
    """Return the table of what each operator of the static int8 file adds to the logits' noise."""
    reports = {}
    for task in METRICS:
        with (RESULTS / f"int8_report_{task}.tsv").open(encoding="utf-8") as file:
            reports[task] = {row["what"]: row for row in csv.DictReader(file, delimiter="\t")}
    cola, mrpc = reports["cola"], reports["mrpc"]
    names = sorted(cola.keys() & mrpc.keys(), key=lambda name: -float(cola[name]["noise"]))
    alone = [
        name
        for name in names
        if int(cola[name]["pieces"]) > 1
        or max(float(cola[name]["noise"]), float(mrpc[name]["noise"])) >= NOISY
    ]
    lines = ["| in int8 | noise, CoLA | noise, MRPC | pieces |", "|---|---|---|---|"]
    for name in alone:
        values = " | ".join(f"{float(report[name]['noise']):.4f}" for report in (cola, mrpc))
        lines.append(f"| {name} | {values} | {cola[name]['pieces']} |")
    others = [name for name in names if name not in alone]
    spans = []
    for report in (cola, mrpc):
        noises = [float(report[name]["noise"]) for name in others]
        spans.append(f"{min(noises):.4f} to {max(noises):.4f}")
    lines.append(f"| each of the {len(others)} others | {' | '.join(spans)} | 1 |")
    return "\n".join(lines) + "\n"


def files_of_cola() -> str:
    """Return the table of CoLA's files."""
    return of_task("CoLA", "cola")


def files_of_mrpc() -> str:
    """Return the table of MRPC's files."""
    return of_task("MRPC", "mrpc")


# Page -> name of a part -> what writes it.
PARTS: Mapping[str, Mapping[str, Callable[[], str]]] = {
    "README.md": {"demo": demo, "bought": bought, "files": files},
    "docs/export.md": {"cola": files_of_cola, "mrpc": files_of_mrpc},
    "docs/tflite.md": {"noise": noise, "cola": files_of_cola, "mrpc": files_of_mrpc},
}


def filled(page: str, text: str) -> str:
    """Return the text of a page with its parts made anew.

    Raises:
      ValueError: it has no place for a part.
    """
    for name, made in PARTS[page].items():
        begin, end = _PART.format(name, "|").split("|")
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        part = _PART.format(name, made()).replace("\\", r"\\")
        text, number = pattern.subn(part, text)
        if number != 1:
            raise ValueError(f"{page}: {number} places for the part {name!r}, not one.")
    return text


def main() -> int:
    """Write the parts, or compare them; return the exit status."""
    status = 0
    for page in PARTS:
        path = ROOT / page
        text = path.read_text(encoding="utf-8")
        new = filled(page, text)
        if "--check" not in sys.argv[1:]:
            path.write_text(new, encoding="utf-8")
        elif new != text:
            print(f"{page}: shows other numbers than the records have. Run: make docs")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
