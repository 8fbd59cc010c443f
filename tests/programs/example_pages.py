"""Program: write a large comparison of written runs, and pictures of its page to look at.

PYTHONPATH=.:tests/support python tests/programs/example_pages.py FOLDER

Nothing is trained: the answers are drawn so that the scores are those of a real comparison (BERT
of 12 layers on MRPC and STS-B, and the sample). The pictures need Chromium.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import shutil
import sys

import numpy as np
from browser import Browser
from written_runs import write_export, write_run, write_session

from bert_glue_tf.reports import files, reading, verdicts
from bert_glue_tf.reports.groups import group
from bert_glue_tf.runs import results

N = 408
LABELS = np.where(np.arange(N) % 3 == 0, 0, 1)
FULL = [{"heads": 12, "neurons": 3072}] * 12
ONLY = "every prediction is equivalent"


def answers(share: float, seed: int) -> np.ndarray:
    """Logits [N, 2] that are right for this share of the examples, hard ones being the same."""
    random = np.random.default_rng(0)
    hard = random.permutation(N)
    moved = np.random.default_rng(seed).permutation(N)[:12]
    wrong = set(hard[: round((1 - share) * N)].tolist()) ^ set(moved.tolist())
    given = LABELS.copy()
    for place in wrong:
        given[place] = 1 - given[place]
    return np.eye(2, dtype=np.float32)[given] * 3


def curve(end: float, metrics: tuple[str, ...], epochs: int = 4) -> list[dict[str, float]]:
    rows = []
    for epoch in range(1, epochs + 1):
        grown = 1 - 0.5**epoch
        row = {"epoch": epoch, "loss": 0.7 - 0.4 * grown, "val_loss": 0.68 - 0.25 * grown}
        row |= {"accuracy": 0.6 + (end - 0.55) * grown} if "accuracy" in metrics else {}
        rows.append(row | {f"val_{name}": 0.5 + (end - 0.5) * grown for name in metrics})
    return rows


def with_widths(run: pathlib.Path, after: list[dict[str, int]]) -> None:
    """Put the widths of the layers into a run's record."""
    (record,) = results.load(run / results.FILE_NAME)
    whole = dataclasses.replace(record, widths={"before": FULL, "after": after})
    (run / results.FILE_NAME).write_text(whole.to_line() + "\n")


def mrpc(folder: pathlib.Path) -> None:
    """Write runs of MRPC: unpruned and pruned, three seeds, files, one that collapsed."""
    narrow = [{"heads": 12 - i % 5 * 2, "neurons": 3072 - 190 * i} for i in range(12)]
    kinds = [
        ("none", {}, 0.868, 438.0, FULL),
        ("attention_head,neuron", {"final_sparsity": 0.4}, 0.860, 292.4, narrow),
        ("magnitude", {"final_sparsity": 0.5, "pruning_scope": "encoder"}, 0.855, 438.0, FULL),
        ("magnitude", {"final_sparsity": 0.9, "pruning_scope": "encoder"}, 0.78, 438.0, FULL),
        ("layer", {"final_sparsity": 0.5}, 0.815, 268.0, FULL[:6]),
        ("movement", {"final_sparsity": 0.8, "pruning_schedule": "iterative"}, 0.84, 438.0, FULL),
    ]
    for place, (method, settings, score, size, after) in enumerate(kinds):
        for seed in (1, 2, 3):
            given = answers(score, 10 * place + seed)
            run = write_run(
                folder
                / f"mrpc-bert_base_uncased-glue-{method.replace(',', '-')}-{place}-seed{seed}",
                LABELS,
                given,
                megabytes=size,
                seed=seed,
                encoder="bert_base_uncased",
                pruning_method=method,
                history=curve(score, ("accuracy", "f1")),
                **settings,
            )
            with_widths(run, after)
            for recipe, part, loss, time in (
                ("float32", 1.0, 0.0, 96.0),
                ("dynamic_int8", 0.26, 0.004, 41.0),
                ("int8", 0.255, 0.012, 37.0),
            ):
                if seed > 1 and recipe == "int8":
                    continue
                fallen = method == "movement" and recipe == "int8"
                write_export(
                    run,
                    recipe,
                    LABELS,
                    np.eye(2, dtype=np.float32)[np.ones_like(LABELS)]
                    if fallen
                    else answers(score - loss, 10 * place + seed),
                    megabytes=size * part,
                    milliseconds=time * size / 438,
                    collapsed=ONLY if fallen else "",
                )


def stsb(folder: pathlib.Path) -> None:
    """Write runs of a regression."""
    random = np.random.default_rng(1)
    labels = random.uniform(0, 5, N)
    for method, noise in (("none", 0.6), ("row", 0.9)):
        given = (labels + random.normal(0, noise, N))[:, None].astype(np.float32)
        run = write_run(
            folder / f"stsb-{method}",
            labels,
            given,
            task="stsb",
            pruning_method=method,
            history=curve(0.85, ("pearson", "spearman")),
        )
        write_export(run, "float32", labels, given, megabytes=90)
        write_export(run, "dynamic_int8", labels, given, megabytes=24, milliseconds=2.4)


def mnli(folder: pathlib.Path) -> None:
    """Write a run of three classes and two validation splits."""
    random = np.random.default_rng(2)
    labels = {name: random.integers(0, 3, N) for name in ("matched", "mismatched")}
    labels = {f"validation_{name}": values for name, values in labels.items()}
    logits = {
        name: np.eye(3, dtype=np.float32)[np.where(random.random(N) < 0.2, 0, values)]
        for name, values in labels.items()
    }
    run = write_run(folder / "mnli-none", labels, logits, task="mnli")
    write_export(run, "float32", labels, logits, megabytes=90)
    write_export(run, "int8", labels, logits, megabytes=23)


def sample(folder: pathlib.Path) -> None:
    """Write a run on the sample, with a long name, whose file has collapsed."""
    name = "a-very-long-name-of-a-run-" * 4
    given = answers(0.7, 3)
    run = write_run(
        folder / name, LABELS, given, source="sample", history=curve(0.7, ("accuracy",))
    )
    write_export(run, "float32", LABELS, given, megabytes=90)
    only = np.eye(2, dtype=np.float32)[np.ones_like(LABELS)]
    write_export(run, "int4", LABELS, only, megabytes=14, collapsed=ONLY)


def write(folder: pathlib.Path) -> pathlib.Path:
    """Write the runs and their comparison, and return its page."""
    mrpc(folder / "runs")
    stsb(folder / "runs")
    mnli(folder / "runs")
    sample(folder / "runs")
    write_session(*(folder / "runs").glob("mrpc-*"))
    models = reading.read(sorted((folder / "runs").iterdir()))
    return files.write(folder / "comparison", group(models), verdicts.differences(models))


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    shutil.rmtree(folder / "runs", ignore_errors=True)
    page = write(folder)
    with Browser() as browser:
        for width in (1280, 400):
            for scheme in ("light", "dark"):
                browser.open(page, width, is_dark=scheme == "dark")
                browser.screenshot(folder / f"page_{width}_{scheme}.png")
            widest = "[innerWidth, document.documentElement.scrollWidth]"
            print(width, json.dumps(browser.evaluate(widest)))
        browser.open(page, 1280, media="")
        browser.print(folder / "page.pdf")
    print(page)


if __name__ == "__main__":
    main()
