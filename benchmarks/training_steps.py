"""A training step of this project's variants and of PyTorch, beside the machine's limit.

make bench-training ARGS="--data=/folder/with/glue --output=steps.jsonl"

Each variant is a process of its own (`VARIANTS`), which trains the embedded encoder on real
sentences of a task, as the command `train` does, or as Hugging Face's Trainer does on PyTorch. They
take turns of a few steps, in an order that changes with each round, so that whatever else the
machine does meets all of them alike: ratios of one run mean something, milliseconds do not. The
variants that draw batches alike have the same sentences in each step.

With --busy=1 each turn is taken twice, the second time beside so many processes that do nothing but
keep a core busy: what a variant then takes of its own time by itself says how its threads wait.

Then each measures, by itself, the matrix products of the shapes of its steps: less than they take
no step can take. With --profile=6 ours say where the rest goes, by TensorFlow's profiler; with
--memory_epochs=6 what memory is held after each of so many epochs.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from absl import flags, logging

from bert_glue_tf.core import cli, records
from bert_glue_tf.core.errors import UserError
from bert_glue_tf.models import embedded
from bert_glue_tf.reports import terminal
from bert_glue_tf.runs import command_line, config, versions

_HERE = pathlib.Path(__file__).resolve().parent
FLAGS = flags.FLAGS


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way to train.

    Attributes:
      settings: what differs from the settings of the command.
      padding: of PyTorch's; None for this project.
      environment: variables that its process is given.
      is_grouped: whether a batch has sentences of similar length.
    """

    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    padding: str | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    is_grouped: bool = False


_MASKED = {"final_sparsity": 0.5, "begin_step": 1}
VARIANTS: Mapping[str, Variant] = {
    "torch_128": Variant(padding="max_length"),
    "torch_dynamic": Variant(padding="longest"),
    "padded_128": Variant({"packing": "false", "length_buckets": False}),
    "padded": Variant({"packing": "false"}),
    "grouped": Variant({"packing": "false"}, is_grouped=True),
    "packed": Variant(),
    "magnitude": Variant({"pruning_method": "magnitude", **_MASKED}),
    "gradient": Variant({"pruning_method": "gradient", **_MASKED}),
    "movement": Variant({"pruning_method": "movement", **_MASKED}),
    # What threads do while they wait, and how many there are: for --busy.
    "torch_passive": Variant(padding="longest", environment={"OMP_WAIT_POLICY": "PASSIVE"}),
    "torch_1_thread": Variant(padding="longest", environment={"OMP_NUM_THREADS": "1"}),
    "one_operation": Variant(environment={"TF_NUM_INTEROP_THREADS": "1"}),
    "operations_alone": Variant(environment={"TF_NUM_INTRAOP_THREADS": "1"}),
    "without_onednn": Variant(environment={"TF_ENABLE_ONEDNN_OPTS": "0"}),
}
DEFAULT = ("torch_128", "torch_dynamic", "padded", "grouped", "packed")
# Part of a step -> how the nodes of it in TensorFlow's graph are named; the first that fits counts.
PARTS: Mapping[str, str] = {
    "waiting for input": r":IteratorGetNextOp",
    "optimizer": r"^AdamWeightDecay/",
    "matrix products": r"[Ee]insum|MatMul",
    "softmax": r"/softmax",
    "dropout": r"dropout",
    "layer norm": r"layer_norm",
    "GELU": r"/activation|Gelu",
    "biases, residuals": r"/(add|BiasAdd)[_\d]*[:/]",
    "embeddings": r"embedding",
    "other": r"",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingStep(records.Record):
    """The measurements of one variant on one task.

    Attributes:
      variant: which.
      settings: of the training.
      seconds: of a step, one number for each round.
      busy_seconds: the same beside busy processes, where that was asked for.
      positions, pieces: a step's, on average: what is computed, and what of it is no padding.
      products: seconds of the matrix products of a step by themselves, and their `operations`.
      peak_memory_bytes: of the process, after the last round.
      epochs: resident bytes after each epoch, where that was asked for.
      profile: seconds of each type of operation in a step, where that was asked for.
      environment: machine, versions and commit.
    """

    variant: str
    settings: Mapping[str, Any]
    seconds: Sequence[float]
    busy_seconds: Sequence[float] = ()
    positions: float
    pieces: float
    products: Mapping[str, float]
    peak_memory_bytes: int
    epochs: Sequence[int] = ()
    profile: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, Any]


class Process:
    """A variant's process, which works only while it is asked something."""

    def __init__(self, name: str, settings: config.ExperimentConfig) -> None:
        """Start it; it is ready when it has answered for the first time."""
        variant = VARIANTS[name]
        self.name = name
        self.settings = config.ExperimentConfig.from_json(
            {**settings.to_json(), **variant.settings}
        )
        told = [json.dumps(self.settings.to_json())]
        drawn = "grouped" if variant.is_grouped else "random"
        command = [sys.executable, str(_HERE / "training_worker.py"), *told, drawn]
        if variant.padding:
            program = str(_HERE / "training_worker_torch.py")
            command = [FLAGS.peers_python, program, *told, variant.padding, str(embedded.find())]
        paths = os.pathsep.join([str(_HERE.parent), str(_HERE)])
        self._process = subprocess.Popen(
            command,
            env={**os.environ, **variant.environment, "PYTHONPATH": paths},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Return the answer to a request.

        Raises:
          UserError: the process has ended; what it said stands on standard error.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # It has ended, which reading tells as well.
            self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("{"):
                answer: dict[str, Any] = json.loads(line)
                return answer
        raise UserError(f"{self.name}: ended with status {self._process.wait()} when asked {do}.")

    def end(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()


def measure(names: Sequence[str], settings: config.ExperimentConfig) -> list[TrainingStep]:
    """Return the measurements of some variants on one task, which take turns."""
    processes: list[Process] = []
    try:
        for name in names:  # One after the other, so that starting does not disturb.
            logging.info("%s: starting %s", settings.task, name)
            processes.append(Process(name, settings))
            if VARIANTS[name].padding is None:
                batches = processes[-1].ask("begin")["batches"]
                if not VARIANTS[name].is_grouped:
                    drawn = batches
        for one in processes:
            if VARIANTS[one.name].padding:
                one.ask("begin", batches=drawn)
        for one in processes:
            one.ask("steps", count=FLAGS.warmup_steps)
        turns = _rounds(processes, settings.task)
        made = [_measured(one, turns[one.name]) for one in processes]
    finally:
        for one in processes:
            one.end()
    return made


def _rounds(processes: Sequence[Process], task: str) -> dict[str, list[dict[str, Any]]]:
    """Return the answers of each variant to its turns."""
    turns: dict[str, list[dict[str, Any]]] = {one.name: [] for one in processes}
    order, chance = list(processes), random.Random(0)
    for turn in range(FLAGS.rounds):
        chance.shuffle(order)
        for one in order:
            turns[one.name].append(one.ask("steps", count=FLAGS.steps))
            if FLAGS.busy:
                with _busy_cores(FLAGS.busy):
                    beside = one.ask("steps", count=FLAGS.steps)
                turns[one.name][-1]["busy_seconds"] = beside["seconds"]
        told = (
            f"{name} {1e3 * found[-1]['seconds'] / FLAGS.steps:.0f}"
            for name, found in turns.items()
        )
        logging.info("%s: round %d, ms a step: %s", task, turn + 1, ", ".join(told))
    return turns


@contextlib.contextmanager
def _busy_cores(count: int) -> Iterator[None]:
    """Keep so many cores busy with processes that do nothing else."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for one in busy:
            one.kill()
            one.wait()


def _measured(one: Process, turns: Sequence[Mapping[str, Any]]) -> TrainingStep:
    """Return the record of a variant whose turns are over."""
    total = FLAGS.steps * len(turns)
    is_ours = VARIANTS[one.name].padding is None
    profile = one.ask("profile", count=FLAGS.profile) if FLAGS.profile and is_ours else {}
    epochs: Sequence[int] = ()
    if FLAGS.memory_epochs and is_ours:
        logging.info("%s: %d epochs", one.name, FLAGS.memory_epochs)
        epochs = one.ask("epochs", count=FLAGS.memory_epochs, steps=20)["resident"]
    return TrainingStep(
        variant=one.name,
        settings=one.settings.to_json(),
        seconds=[turn["seconds"] / FLAGS.steps for turn in turns],
        busy_seconds=[turn["busy_seconds"] / FLAGS.steps for turn in turns if FLAGS.busy],
        positions=sum(turn["positions"] for turn in turns) / total,
        pieces=sum(turn["pieces"] for turn in turns) / total,
        products=one.ask("products"),
        peak_memory_bytes=turns[-1]["peak"],
        epochs=epochs,
        profile=profile,
        environment=versions.environment([]) | {"load_average": os.getloadavg()[0]},
    )


def print_tables(task: str, made: Sequence[TrainingStep], base: str) -> None:
    """Print a task's tables: steps, memory over the epochs, and where the time goes.

    Args:
      task: its name.
      made: the measurements of each variant.
      base: the variant that ratios are to.
    """
    (reference,) = (one for one in made if one.variant == base)
    terminal.print_rows(
        f"{task}: a training step of {made[0].settings['batch_size']}",
        [row(one, reference) for one in made],
    )
    terminal.print_rows(f"{task}: MB that a process holds after an epoch", memory(made))
    if parts := [{"": o.variant, **shares(o.profile["operations"])} for o in made if o.profile]:
        terminal.print_rows(f"{task}: share of the operations' time", parts)


def row(one: TrainingStep, reference: TrainingStep) -> dict[str, str]:
    """Return the line of a variant, in the time of a reference of the same run.

    Ratios are those of the rounds, their median and range; `products` is the share of a step that
    its matrix products take by themselves.
    """
    ratios = [a / b for a, b in zip(one.seconds, reference.seconds, strict=True)]
    step = statistics.mean(one.seconds)
    made = {
        "": one.variant,
        f"of {reference.variant}": f"{statistics.median(ratios):.3f}",
        "range": f"{min(ratios):.2f} to {max(ratios):.2f}",
        "ms a step": f"{1e3 * step:.0f}",
        "products": f"{one.products['seconds'] / step:.0%}",
        "Gflop/s": f"{one.products['operations'] / step / 1e9:.0f}",
        "positions": f"{one.positions:.0f}",
        "used": f"{one.pieces / one.positions:.0%}",
        "peak MB": f"{one.peak_memory_bytes / 1e6:.0f}",
    }
    if one.busy_seconds:
        slower = [b / a for a, b in zip(one.seconds, one.busy_seconds, strict=True)]
        made["beside busy, of itself"] = (
            f"{statistics.median(slower):.2f} ({min(slower):.2f} to {max(slower):.2f})"
        )
    return made


def memory(made: Sequence[TrainingStep]) -> list[dict[str, str]]:
    """Return a line for each epoch: what each variant's process held after it, in MB."""
    noted = [one for one in made if one.epochs]
    epochs = zip(*(one.epochs for one in noted), strict=True)
    return [
        {"epoch": f"{number}"}
        | {one.variant: f"{held / 1e6:,.0f}" for one, held in zip(noted, after, strict=True)}
        for number, after in enumerate(epochs, 1)
    ]


def shares(operations: Mapping[str, float]) -> dict[str, str]:
    """Return the share of each of `PARTS` in the time of all operations (node:type -> seconds)."""
    spent = dict.fromkeys(PARTS, 0.0)
    for name, seconds in operations.items():
        spent[next(part for part, form in PARTS.items() if re.search(form, name))] += seconds
    total = sum(operations.values())
    return {part: f"{value / total:.1%}" for part, value in spent.items()}


def main() -> None:
    settings = command_line.from_flags(FLAGS)
    names = list(FLAGS.variants)
    unknown = set(names) - set(VARIANTS)
    if unknown or not names:
        raise UserError(f"--variants={','.join(names)}: good values are {', '.join(VARIANTS)}.")
    base = FLAGS.base or names[0]
    if base not in names:
        raise UserError(f"--base={base}: not among --variants={','.join(names)}.")
    if any(VARIANTS[name].padding for name in names):
        if not shutil.which(FLAGS.peers_python):
            raise UserError(
                f"--peers_python={FLAGS.peers_python}: no such program. `make bench-training` "
                "builds the environment of PyTorch and gives it."
            )
        if not {"packed", "padded", "padded_128"} & set(names):
            raise UserError("--variants: PyTorch's take their sentences from packed: add it.")
    for task in FLAGS.tasks:
        made = measure(
            names, config.ExperimentConfig.from_json({**settings.to_json(), "task": task})
        )
        print_tables(task, made, base)
        if FLAGS.output:
            with pathlib.Path(FLAGS.output).open("a", encoding="utf-8") as lines:
                lines.writelines(one.to_line() + "\n" for one in made)


def define_flags() -> None:
    """Not at import: the tests import this module beside the commands."""
    command_line.define_flags()
    flags.DEFINE_list("tasks", ["cola", "mrpc", "sst2"], "Tasks whose sentences are trained on.")
    flags.DEFINE_list("variants", list(DEFAULT), f"Of {', '.join(VARIANTS)}.")
    flags.DEFINE_string("base", "", "Variant that ratios are to; by default the first.")
    flags.DEFINE_string("peers_python", "", "Python of the environment with PyTorch.")
    flags.DEFINE_integer("rounds", 12, "Turns of each variant.")
    flags.DEFINE_integer("steps", 6, "Steps of a turn.")
    flags.DEFINE_integer("warmup_steps", 12, "Steps before; each new length allocates.")
    flags.DEFINE_integer("busy", 0, "Busy processes beside every second turn; 0 for none.")
    flags.DEFINE_integer("profile", 0, "Steps that TensorFlow's profiler records; 0 for none.")
    flags.DEFINE_integer(
        "memory_epochs", 0, "Epochs after each of which memory is noted; 0 for none."
    )
    flags.DEFINE_string("output", "", "File to which the records are added, a line each.")


if __name__ == "__main__":
    define_flags()
    cli.run(main, __doc__)
