"""The trainings behind the report's tables: which they are, and how they are run."""

from __future__ import annotations

import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence

from absl import logging

from bert_glue_tf.compression.names import DEFAULT_METHOD, NO_PRUNING
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.export.folder import FOLDER, ExportFolder
from bert_glue_tf.runs import results

QUANTIZED = ("mrpc", "sst2")
RECIPE = "dynamic_int8"  # What PyTorch's dynamic quantization does, as a .tflite file.


@dataclasses.dataclass(frozen=True)
class Plan:
    """One training that the tables need.

    Attributes:
      task: its name.
      method: pruning method.
      seed: of the training.
      limit: training examples, 0 = all.
      folder: of the run.
      exported: whether its quantized file is needed too.
    """

    task: str
    method: str
    seed: int
    limit: int
    folder: pathlib.Path
    exported: bool


def plans(
    root: pathlib.Path, seeds: Sequence[int], sst2_examples: int, examples: int = 0
) -> list[Plan]:
    """Return the trainings behind the three tables, in the order in which they are run.

    Args:
      root: folder of the runs.
      seeds: of the trainings.
      sst2_examples: training examples of SST-2; 0 = as the others.
      examples: training examples of each task; 0 = all.
    """
    found = []
    for seed in seeds:
        for task in ("mrpc", "cola", "sst2"):
            methods = (NO_PRUNING,) if task == "sst2" else (NO_PRUNING, DEFAULT_METHOD)
            for method in methods:
                found.append(
                    Plan(
                        task=task,
                        method=method,
                        seed=seed,
                        limit=sst2_examples if task == "sst2" and sst2_examples else examples,
                        folder=root / f"{task}-{method}-seed{seed}",
                        exported=method == NO_PRUNING and task in QUANTIZED,
                    )
                )
    return found


def dry_rows(trainings: Sequence[Plan]) -> list[dict[str, str]]:
    """Return what would be done as rows for `terminal.print_rows`, one a training."""
    return [
        {
            "run": plan.folder.name,
            "task": plan.task,
            "pruning": plan.method,
            "seed": str(plan.seed),
            "training examples": f"{plan.limit:,}" if plan.limit else "all",
            "file": RECIPE if plan.exported else "",
            "state": "finished" if (plan.folder / results.FILE_NAME).is_file() else "to be run",
        }
        for plan in trainings
    ]


def run(plan: Plan, settings: Mapping[str, str]) -> None:
    """Train, and export where needed; what is finished already is not done again.

    Each is done in a process of its own, as a user would, so that memory and graphs start afresh.

    Raises:
      UserError: one of them failed; it has said why.
    """
    arguments = {
        **settings,
        "task": plan.task,
        "pruning_method": plan.method,
        "seed": str(plan.seed),
        "train_examples": str(plan.limit),
        "workdir": str(plan.folder),
    }
    _call("train", arguments, is_done=(plan.folder / results.FILE_NAME).is_file())
    if plan.exported:
        export = ExportFolder(plan.folder / FOLDER)
        _call(
            "export_tflite",
            {"run": str(plan.folder), "recipes": RECIPE, "seq_lengths": "32,64,128"},
            is_done=RECIPE in export.records(),
        )


def _call(command: str, arguments: Mapping[str, str], is_done: bool) -> None:
    """Run a command; where its result is there already, silently.

    It then only checks that the folder has the same settings.

    Args:
      command: name of its module.
      arguments: name of a flag -> value.
      is_done: whether its result is there.

    Raises:
      UserError: it failed.
    """
    line = [sys.executable, "-m", f"bert_glue_tf.{command}"]
    line += [f"--{name}={value}" for name, value in arguments.items()]
    state = " (finished already)" if is_done else ""
    logging.info("%s %s%s", command, " ".join(line[3:]), state)
    # `text` for both, since it decides on the type of what is returned.
    done = subprocess.run(line, capture_output=is_done, text=True)
    if done.returncode:
        if is_done:
            print(done.stderr, end="", file=sys.stderr)
        raise UserError(
            f"{command} ended with status {done.returncode} (see above). What is finished stays; "
            "the same command goes on from there."
        )
